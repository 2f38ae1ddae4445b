"""Keeps one secret out of what an upstream answers, in one piece or as it streams; knows nothing of HTTP.

What is found is masked at equal length, so that no length that was announced becomes wrong. A response without the secret
pays for one search for all forms of it, and is passed on as the very same bytes.
"""

from collections.abc import Iterable
from typing import Final, NoReturn, final

from ahocorasick_rs import BytesAhoCorasick, MatchKind

from gateway.credentials.injector import UnfitSecretError
from gateway.credentials.needles import needles_of
from gateway.credentials.secret import Secret
from gateway.model import Outcome

SHORTEST: Final = 8
"""A secret of fewer bytes also stands in answers by chance, so that masking would ruin them and tell what it is."""
_BEGINNING: Final = 16
"""Bytes of each form by which it is looked for; where one stands, the whole form is compared."""
_MASKS: Final = b"*#!^|~"


@final
class SecretScrubber:
    """Finds a secret in all its forms. Made once for each version of a credential; it shows nothing of the secret."""

    __slots__ = ("_begun", "_find", "_longest", "_mask", "_needles")

    def __init__(self, secrets: Iterable[Secret]) -> None:
        """`secrets` are all values that must not come back. Raises `UnfitSecretError` for one that is too short."""
        needles: list[bytes] = []
        for secret in secrets:
            value = secret.reveal()
            if len(value) < SHORTEST:
                raise UnfitSecretError(
                    f"the secret has fewer than {SHORTEST} bytes, so it cannot be kept out of answers; use a longer one, "
                    "or write scrub: none in each of its upstreams"
                )
            needles += needles_of(value)
        self._needles: Final = tuple(dict.fromkeys(needles))
        self._mask: Final = _mask_for(self._needles)
        # For short patterns, and of this kind, the library looks for all at once with vector instructions.
        beginnings = dict.fromkeys(needle[:_BEGINNING] for needle in self._needles)
        self._find: Final = BytesAhoCorasick(tuple(beginnings), matchkind=MatchKind.LeftmostFirst).find_matches_as_indexes
        self._begun: Final = _beginnings(self._needles)
        self._longest: Final = max(map(len, self._needles))

    def head(self, raw: bytes, outcome: Outcome) -> bytes:
        """The bytes of a response head with the secret masked, or the same object if there is none."""
        if self.is_clean(raw):
            return raw
        stretches = self.stretches(raw, 0)
        outcome.scrubbed += len(stretches)
        return self.masked(raw, stretches)

    def stream(self, outcome: Outcome) -> "SecretStream":
        """For the body of one response, whose outcome counts what is masked."""
        return SecretStream(self, outcome)

    def is_clean(self, content: bytes) -> bool:
        """Whether no form of the secret stands in it."""
        return not self._find(content) or all(needle not in content for needle in self._needles)

    def unfinished(self, content: bytes) -> int:
        """How many bytes at the end could be the beginning of a form that goes on in what comes next; 0 for most."""
        begun = self._begun.get(content[-1])
        if begun is None:
            return 0
        if len(content) >= _BEGINNING and self._find(content[-self._longest :]):
            ending = content[-_BEGINNING:]
            longest = max([_longest_beginning(needle, content, ending) for needle in self._needles])
            if longest:
                return longest
        for beginning in begun:
            if content.endswith(beginning):
                return len(beginning)
        return 0

    def stretches(self, content: bytes, covered: int) -> list[tuple[int, int]]:
        """Where it stands, from and to, those that meet made one. The first `covered` bytes count as found already."""
        found = [(0, covered)] if covered else []
        for needle in self._needles:
            at = content.find(needle)
            while at >= 0:
                found.append((at, at + len(needle)))
                at = content.find(needle, at + 1)
        found.sort()
        merged: list[tuple[int, int]] = []
        for start, end in found:
            if merged and start <= merged[-1][1]:
                merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
            else:
                merged.append((start, end))
        return merged

    def masked(self, content: bytes, stretches: Iterable[tuple[int, int]]) -> bytes:
        """A copy with these stretches masked. The mask stands in no form, so masking makes no new one."""
        text = bytearray(content)
        for start, end in stretches:
            text[start:end] = self._mask * (end - start)
        return bytes(text)

    def __repr__(self) -> str:
        return "<SecretScrubber>"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a scrubber holds a secret and is not serialised")


@final
class SecretStream:
    """The state of one body. What it returns in total is as long as what it was given, once it was given the last."""

    __slots__ = ("_covered", "_held", "_masking", "_outcome", "_scrubber")

    def __init__(self, scrubber: SecretScrubber, outcome: Outcome) -> None:
        self._scrubber: Final = scrubber
        self._outcome: Final = outcome
        self._held = b""
        """What has come and could be the beginning of the secret; shorter than its longest form."""
        self._covered = 0
        """How many of the held bytes belong to what was found already."""
        self._masking = False
        """Whether the byte that was passed on last was masked."""

    def pass_on(self, content: bytes, *, last: bool) -> bytes:
        """Return what may go on of what was held and what has come: the very same bytes, if they are clean and all may go."""
        if self._held:
            content = self._held + content
        if not content:
            return content
        scrubber = self._scrubber
        keep = 0 if last else scrubber.unfinished(content)
        if self._covered or not scrubber.is_clean(content):
            return self._pass_on_masked(content, len(content) - keep)
        if not keep:
            self._held = b""
            self._masking = False
            return content
        self._held = content[-keep:]
        if keep < len(content):
            self._masking = False
        return content[:-keep]

    def _pass_on_masked(self, content: bytes, end: int) -> bytes:
        """Mask what is found, pass on what stands before `end`, and count the stretches that begin there."""
        stretches = self._scrubber.stretches(content, self._covered)
        begun = [stretch for stretch in stretches if stretch[0] < end]
        self._held = content[end:]
        self._covered = max(0, begun[-1][1] - end) if begun else self._covered
        if end:
            goes_on = self._masking and bool(begun) and begun[0][0] == 0
            self._outcome.scrubbed += len(begun) - 1 if goes_on else len(begun)
            self._masking = bool(begun) and begun[-1][1] >= end
        return self._scrubber.masked(content, stretches)[:end]

    def __repr__(self) -> str:
        return f"<SecretStream holding {len(self._held)} bytes>"


def _beginnings(needles: Iterable[bytes]) -> dict[int, list[bytes]]:
    """The beginnings of forms that are shorter than `_BEGINNING`, the longest first, by their last byte.

    Each byte is there that stands in a form before its end.
    """
    begun: dict[int, list[bytes]] = {byte: [] for byte in set(b"".join([needle[:-1] for needle in needles]))}
    for size in range(_BEGINNING - 1, 0, -1):
        for beginning in dict.fromkeys([needle[:size] for needle in needles if len(needle) > size]):
            begun[beginning[-1]].append(beginning)
    return begun


def _longest_beginning(needle: bytes, content: bytes, ending: bytes) -> int:
    """How many bytes at the end of the content begin the form and are not all of it; 0 if fewer than `_BEGINNING`.

    `ending` is looked for in the form, for how often it stands there no upstream can choose: the content's last `_BEGINNING`.
    """
    at = needle.rfind(ending, 0, min(len(needle) - 1, len(content)))
    while at >= 0 and not content.endswith(needle[: at + _BEGINNING]):
        at = needle.rfind(ending, 0, at + _BEGINNING - 1)
    return at + _BEGINNING if at >= 0 else 0


def _mask_for(needles: Iterable[bytes]) -> bytes:
    """A character that no form has, so that masks cannot be read as a part of one."""
    taken = set(b"".join(needles))
    for mask in _MASKS:
        if mask not in taken:
            return bytes((mask,))
    raise UnfitSecretError(f"the secret holds all of {_MASKS.decode()}, so nothing is left to mask it with")
