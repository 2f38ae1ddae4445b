"""Which trailers of a response reach a caller that takes them: announced ones, and only what may be said late.

A trailer comes when all is decided: nobody waits for it before acting on the response. So what tells a reader how to
take the message, where it is from, or what it may do, is never let through as one (RFC 9110 §6.5.1).
"""

from collections.abc import Iterable
from typing import Final, final

from gateway.http.fields import Role, Vocabulary

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
        if name not in _NEVER and not name.startswith(_NEVER_BEGINNING) and vocabulary.role_of(name) == Role.FORWARD
    )


@final
class Trailers:
    """The trailers that one response may end with."""

    __slots__ = ("_announced", "_vocabulary")

    def __init__(self, announced: frozenset[str], vocabulary: Vocabulary) -> None:
        """`announced` is what `may_trail` has left of the response's Trailer field."""
        self._announced: Final = announced
        self._vocabulary: Final = vocabulary

    @property
    def announcement(self) -> bytes:
        """The header line that tells the caller of them."""
        return b"Trailer: " + ", ".join(sorted(self._announced)).encode("ascii")

    def admits(self, line: bytes) -> bool:
        """Whether a line that has the form of a header line goes on."""
        return self._vocabulary.classify(line).name in self._announced
