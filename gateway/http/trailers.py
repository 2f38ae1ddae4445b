"""Which trailers of a response reach a caller that takes them: announced ones, and only what may be said late.

A trailer comes when all is decided: nobody waits for it before acting on the response. So what tells a reader how to
take the message, where it is from, or what it may do, is never let through as one (RFC 9110 §6.5.1).
"""

import re
from collections.abc import Iterable
from typing import Final, final

from gateway.http.fields import Role, Vocabulary
from gateway.http.scrubber import Scrubber
from gateway.model import Outcome

_NAME: Final = re.compile(r"[!#$%&'*+.^_`|~0-9a-z-]+").fullmatch
_NEVER: Final = frozenset(
    (
        "age",
        "authentication-info",
        "authorization",
        "cache-control",
        "content-disposition",
        "content-encoding",
        "content-language",
        "content-location",
        "content-range",
        "content-security-policy",
        "content-type",
        "cookie",
        "date",
        "expires",
        "host",
        "location",
        "pragma",
        "refresh",
        "retry-after",
        "strict-transport-security",
        "vary",
        "via",
        "warning",
        "x-request-id",
    )
)
_NEVER_BEGINNING: Final = ("access-control-", "agent-", "proxy-")


def may_trail(names: Iterable[str], vocabulary: Vocabulary) -> frozenset[str]:
    """Those of the announced names, canonical, that may come as trailers: ordinary fields by the rules for response heads."""
    return frozenset(
        name
        for name in names
        if _NAME(name) is not None
        and name not in _NEVER
        and not name.startswith(_NEVER_BEGINNING)
        and vocabulary.role_of(name) == Role.FORWARD
    )


@final
class Trailers:
    """The trailers that one response may end with."""

    __slots__ = ("_announced", "_outcome", "_scrubber", "_vocabulary")

    def __init__(self, announced: frozenset[str], vocabulary: Vocabulary, scrubber: Scrubber | None, outcome: Outcome) -> None:
        """`announced` is what `may_trail` has left of the response's Trailer field; `scrubber` is that of the response."""
        self._announced: Final = announced
        self._vocabulary: Final = vocabulary
        self._scrubber: Final = scrubber
        self._outcome: Final = outcome

    @property
    def announcement(self) -> bytes:
        """The header line that tells the caller of them."""
        return b"Trailer: " + ", ".join(sorted(self._announced)).encode("ascii")

    def admit(self, line: bytes) -> bytes:
        """What goes on of a header line and its CR LF: the line without the injected secret, or nothing."""
        field = line[:-2]
        if self._scrubber is not None:
            field = self._scrubber.head(field, self._outcome)
        return field + b"\r\n" if self._vocabulary.classify(field).name in self._announced else b""
