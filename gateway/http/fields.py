"""One header line: its strict form and what becomes of it, remembered for lines that repeat; knows no identity.

A line is classified alone, by its own bytes, so no request can plant a verdict for another.
"""

import re
from collections.abc import Iterable
from typing import Final, final

from gateway.http.memory import Memory

NAMES: Final = 512
"""How many spellings of names a vocabulary remembers; what comes later is worked out each time."""
LONGEST_NAME: Final = 64
"""A longer name is worked out each time, in bytes."""


class Role:
    """What becomes of a header line: plain numbers, for nothing is compared more often."""

    FORWARD: Final = 0
    DROP: Final = 1
    WATCHED: Final = 2
    """A step of the request's life wants to read it; whether it goes on is decided there."""
    HOST: Final = 3
    CONTENT_LENGTH: Final = 4
    TRANSFER_ENCODING: Final = 5
    CONNECTION: Final = 6
    EXPECT: Final = 7
    REFUSED: Final = 8
    ONCE: Final = 9
    """Goes on, but two of it would have two meanings."""
    TRAILERS: Final = 10
    """Says for this hop which trailers are taken (TE) or will come (Trailer)."""
    WATCHED_ONCE: Final = 11
    """Watched, and two of it would have two meanings."""
    CODING: Final = 12
    """Goes on, and says whether the content is encoded."""
    UPGRADE: Final = 13
    """Asks to switch protocols, or says which one is switched to."""


@final
class Field:
    """A classified line. `name` is canonical: lower case, with `_` as `-`, for CGI and WSGI read both alike."""

    __slots__ = ("line", "name", "role", "token", "value")

    def __init__(self, role: int, name: str, value: bytes, line: bytes) -> None:
        self.role: Final = role
        self.name: Final = name
        self.value: Final = value
        self.line: Final = line
        self.token: bytes | None = None
        """The token that was read from the value, for a line that comes again; its presence proves nothing."""


MAX_FORWARDS: Final = "max-forwards"
"""Says how many intermediaries an OPTIONS may pass (RFC 9110 §7.6.2)."""


class MalformedLineError(Exception):
    """A line that is no header line by RFC 9112 §5."""


# RFC 9110 §5.1 and §5.5: a token, a colon without space before it, then visible bytes with inner spaces and tabs.
# The blanks before the value are not given back (`*+`): those behind could take each, and a wrong byte would cost their square.
_LINE: Final = re.compile(
    rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*+"
    rb"([\x21-\x7e\x80-\xff](?:[\t\x20-\x7e\x80-\xff]*[\x21-\x7e\x80-\xff])?)?[ \t]*"
).fullmatch

HOP_BY_HOP: Final = frozenset(
    (
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "upgrade",
    )
)
"""Never forwarded, whether `Connection` names them or not (RFC 9110 §7.6.1)."""

FRAMING_ROLES: Final = {
    "content-length": Role.CONTENT_LENGTH,
    "transfer-encoding": Role.TRANSFER_ENCODING,
    "connection": Role.CONNECTION,
}


@final
class Vocabulary:
    """Which names mean what, in one direction."""

    def __init__(
        self,
        *,
        roles: dict[str, int],
        dropped_prefixes: Iterable[str] = (),
        remembers: bool = True,
    ) -> None:
        """`roles` maps canonical names to roles; a name that is in none, and begins with no dropped prefix, is forwarded.

        Without `remembers` every line is classified each time it comes.
        """
        self._roles: Final = roles
        self._dropped_prefixes: Final = tuple(dropped_prefixes)
        self._lines: Final[Memory[Field]] = Memory() if remembers else Memory(0)
        self._names: Final[dict[bytes, tuple[str, int]]] = {}
        self.known: Final = self._lines.known
        """The lines that were classified before and came again."""

    def classify(self, line: bytes) -> Field:
        """Classify a line that is not `known`. Raises `MalformedLineError`."""
        parts = _LINE(line)
        if parts is None:
            raise MalformedLineError
        spelling: bytes = parts[1]
        known = self._names.get(spelling)
        if known is None:
            known = self._meaning(spelling)
        field = Field(known[1], known[0], parts[2] or b"", line)
        self._lines.keep(line, field)
        return field

    def _meaning(self, spelling: bytes) -> tuple[str, int]:
        """The canonical name and the role of a name as it came."""
        spelled = spelling.decode("ascii").lower()
        name = spelled.replace("_", "-")
        role = self._roles.get(name)
        if role is None:
            role = Role.DROP if name.startswith(self._dropped_prefixes) else Role.FORWARD
        elif spelled != name and role not in _ANY_SPELLING:
            role = Role.REFUSED
        if len(spelling) <= LONGEST_NAME and len(self._names) < NAMES:
            self._names[spelling] = (name, role)
        return name, role

    def is_relied_on(self, name: str) -> bool:
        """Whether a step reads this field, so that `Connection` may not name it."""
        return self.role_of(name) not in (Role.FORWARD, Role.DROP, Role.REFUSED, Role.TRAILERS, Role.UPGRADE)

    def role_of(self, name: str) -> int:
        """The role of a field with this canonical name."""
        role = self._roles.get(name)
        if role is None:
            role = Role.DROP if name.startswith(self._dropped_prefixes) else Role.FORWARD
        return role


def never_forwarded(name: str) -> bool:
    """Whether a request header of this canonical name stays here, whatever else is configured."""
    return name in _DROPPED or name in _OVERRIDES or name in FRAMING_ROLES or name.startswith(_DROPPED_PREFIXES)


def is_spoken_for(name: str) -> bool:
    """Whether a request header of this canonical name means something to HTTP or to the gateway and cannot mean another."""
    return never_forwarded(name) or name in _SPOKEN_FOR


def canonical(name: str) -> str:
    """A header name as it is compared everywhere."""
    return name.lower().replace("_", "-")


def request_vocabulary(watched: Iterable[str]) -> Vocabulary:
    """What comes from callers. `watched` names the headers that steps read: tokens, intent, places of credentials."""
    roles = dict.fromkeys(_DROPPED, Role.DROP)
    roles |= dict.fromkeys(_SINGLE, Role.ONCE) | dict.fromkeys(_OVERRIDES, Role.REFUSED)
    roles |= {name: Role.WATCHED_ONCE if name in _SINGLE else Role.WATCHED for name in map(canonical, watched)}
    roles[MAX_FORWARDS] = Role.WATCHED_ONCE
    roles |= FRAMING_ROLES | {"host": Role.HOST, "expect": Role.EXPECT, "upgrade": Role.UPGRADE, "te": Role.TRAILERS}
    return Vocabulary(roles=roles, dropped_prefixes=_DROPPED_PREFIXES)


PASSABLE: Final = frozenset(("alt-svc", "proxy-authenticate", "proxy-status", "set-cookie", "www-authenticate"))
"""Response headers that reach a caller only from upstreams whose configuration says so.

`Proxy-Status` is one of them so that what it says is said by this gateway, and nothing tells of the network behind it
(RFC 9209 §4) unless the operator wants to see the whole chain.
"""


def response_vocabulary() -> Vocabulary:
    """What comes from upstreams."""
    roles = dict.fromkeys(HOP_BY_HOP, Role.DROP) | dict.fromkeys(PASSABLE, Role.WATCHED)
    roles |= {"dpop-nonce": Role.DROP, "trailer": Role.TRAILERS, "content-encoding": Role.CODING, "upgrade": Role.UPGRADE}
    return Vocabulary(roles=roles | FRAMING_ROLES)


# A WebSocket with extensions is one whose messages nobody on the way can read.
_DROPPED: Final = HOP_BY_HOP | {"cookie", "forwarded", "sec-websocket-extensions", "x-real-ip", "x-request-id"}
_SPOKEN_FOR: Final = frozenset(
    (
        "expect",
        "host",
        "traceparent",
        "tracestate",
        "upgrade",
        "via",
        "x-request-id",
        "dpop",
        "sec-websocket-key",
        "sec-websocket-version",
    )
)
_DROPPED_PREFIXES: Final = ("agent-", "proxy-", "x-forwarded-", "client-cert")

# What is only taken off may be spelled as it likes. What means something must be spelled so that everybody reads it alike.
_ANY_SPELLING: Final = frozenset((Role.FORWARD, Role.DROP, Role.WATCHED))

# Fields of one value, by which somebody decides what the content is, which part of it is meant, or what is opened.
_SINGLE: Final = (
    "content-location",
    "content-range",
    "content-type",
    "if-range",
    MAX_FORWARDS,
    "range",
    "sec-websocket-key",
    "sec-websocket-version",
)

# With these a request could be judged as one operation and served as another.
_OVERRIDES: Final = (
    "x-http-method",
    "x-http-method-override",
    "x-method-override",
    "x-original-url",
    "x-original-uri",
    "x-rewrite-url",
)
