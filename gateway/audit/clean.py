"""Makes strings of callers fit for a record: short, printable and free of tokens; knows nothing of records.

What a caller writes can hold a token by mistake or by intent. What has the form of one is replaced, also under percent
encoding. Secrets of other forms cannot be told from words, which is why no header value and no query value is recorded.
"""

import re
from collections.abc import Mapping
from typing import Final, final
from urllib.parse import unquote

import orjson

PLAIN_PATH: Final = 192
"""A longer path is looked at more closely, in characters."""
REPLACEMENT: Final = "[token]"
CUT: Final = "…"

_LONGEST_READ: Final = 16_384
_CACHED_STRINGS: Final = 4096
_CACHED_LENGTH: Final = 256
_ENCODINGS_LOOKED_THROUGH: Final = 3

_TOKEN: Final = re.compile(
    r"dwt_[\w.~+/=%-]*"  # task tokens
    r"|eyJ[\w-]{6,}(?:\.[\w-]*)*"  # JWTs and other base64url JSON
    r"|(?<![A-Za-z0-9])(?:sk-|sk_live_|rk_live_|gh[opsur]_|github_pat_|glpat-|xox[abeprs]-|AKIA|AIza)[\w-]{12,}"
)


# Most strings are plain: nothing to escape, to cut or to replace in them.
_PLAIN: Final = re.compile(r"[A-Za-z0-9_.~:,/@+ -]{0,128}").fullmatch
_PREFIX: Final = re.compile(r"[desrgxA](?:wt_|yJ|k-|k_live_|h[opsur]_|ithub_pat_|lpat-|ox[abeprs]-|KIA|Iza)").search


def stands_as_it_is(path: str) -> bool:
    """Whether a path in which nothing is escaped can be recorded as it is, as can its parts: it is short and holds no token."""
    return len(path) <= PLAIN_PATH and _PREFIX(path) is None


def clean(text: str, limit: int) -> str:
    """Replace tokens and unprintable characters, then cut so that the JSON form has at most `limit` bytes and its quotes."""
    text = text[:_LONGEST_READ]
    if not text.isprintable():
        text = "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in text)
    text = REPLACEMENT if _hides_token(text) else _TOKEN.sub(REPLACEMENT, text)
    return text if _size(text) <= limit else _cut(text, limit)


def _hides_token(text: str) -> bool:
    for _ in range(_ENCODINGS_LOOKED_THROUGH):
        if "%" not in text:
            return False
        text = unquote(text)
        if _TOKEN.search(text):
            return True
    return False


def _size(text: str) -> int:
    return len(text.encode()) + text.count('"') + text.count("\\")


def _cut(text: str, limit: int) -> str:
    limit -= len(CUT.encode())
    kept = 0
    for length, letter in enumerate(text):
        kept += 2 if letter in '"\\' else len(letter.encode())
        if kept > limit:
            return text[:length] + CUT
    return text


@final
class Quoted:
    """Turns a string into a JSON string of a bounded size, and remembers those without a token that it has seen lately."""

    __slots__ = ("_known", "limit")

    def __init__(self, limit: int) -> None:
        """`limit` is in bytes of JSON between the quotes."""
        self.limit = limit
        self._known: dict[str, str] = {}

    def of(self, text: str | None) -> str:
        """The JSON form; `null` for None."""
        if text is None:
            return "null"
        known = self._known.get(text)
        return self._make(text) if known is None else known

    def _make(self, text: str) -> str:
        if len(text) <= self.limit and _PLAIN(text) is not None and _PREFIX(text) is None:
            return self._remember(text, f'"{text}"')
        cleaned = clean(text, self.limit)
        made = orjson.dumps(cleaned).decode()
        return self._remember(text, made) if cleaned == text and len(text) <= _CACHED_LENGTH else made

    def _remember(self, text: str, made: str) -> str:
        if len(self._known) >= _CACHED_STRINGS:
            self._known = {}
        self._known[text] = made
        return made


@final
class QuotedList:
    """Turns strings into a JSON array of a bounded number of strings of a bounded size."""

    __slots__ = ("_each", "_most")

    def __init__(self, most: int, limit: int) -> None:
        """`most` counts elements, `limit` the bytes of each."""
        self._most = most
        self._each = Quoted(limit)

    def of(self, texts: tuple[str, ...]) -> str:
        """The JSON form. When there are too many, the last element is the mark of a cut."""
        if not texts:
            return "[]"
        each = [self._each.of(text) for text in texts]
        if len(each) > self._most:
            each[self._most - 1 :] = [f'"{CUT}"']
        return f"[{','.join(each)}]"


@final
class QuotedMap:
    """Turns a mapping of strings into a JSON object of a bounded number of members of a bounded size."""

    __slots__ = ("_key", "_most", "_value")

    def __init__(self, most: int, key: int, value: int) -> None:
        """`most` counts members, `key` and `value` are bytes of each."""
        self._most = most
        self._key = Quoted(key)
        self._value = Quoted(value)

    def of_plain(self, texts: Mapping[str, str]) -> str:
        """The JSON form of values that stand as they are: those are written without being remembered, for few come again."""
        if len(texts) > self._most:
            return self.of(texts)
        key = self._key
        return "{" + ",".join([f'{key.of(name)}:"{value}"' for name, value in texts.items()]) + "}"

    def of(self, texts: Mapping[str, str]) -> str:
        """The JSON form. When there are too many, the rest is left out."""
        if not texts:
            return "{}"
        members: dict[str, str] = {}
        for key, value in texts.items():
            if len(members) < self._most:
                members[self._key.of(key)] = self._value.of(value)
        return "{" + ",".join([f"{key}:{value}" for key, value in members.items()]) + "}"
