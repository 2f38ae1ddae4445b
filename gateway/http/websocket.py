"""The rules of a WebSocket's opening handshake (RFC 6455 §4), for both sides of it; knows no sockets and reads no frames."""

import base64
import hashlib
import re
from collections.abc import Mapping
from typing import Final, final

from gateway.errors import Refusal
from gateway.http.fields import canonical

OPERATION: Final = "WEBSOCKET"
"""What an upgrade is called where an operation has a method, so that no rule for GET covers it; on the wire it is a GET."""
SWITCH: Final = (b"Upgrade: websocket", b"Connection: Upgrade")
"""What either side says of this hop: the request that goes out, and the answer to the caller."""

CLOSING: Final[Mapping[str, int]] = {
    "token_expired": 1008,
    "token_invalid": 1008,
    "token_revoked": 1008,
    "revocations_stale": 1013,
}
"""What a WebSocket's client is told when its access has ended: against policy, or to try again later (RFC 6455 §7.4)."""

# 16 bytes in base64, in the one canonical form: two spellings of one nonce would have two answers.
_KEY: Final = re.compile(rb"[A-Za-z0-9+/]{21}[AQgw]==").fullmatch
_GUID: Final = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_TOKEN: Final = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+").fullmatch


@final
class Handshake:
    """A valid request to open a WebSocket: the one `accept` that answers it, and the subprotocols that it offers."""

    __slots__ = ("accept", "offered")

    def __init__(self, accept: bytes, offered: tuple[bytes, ...]) -> None:
        self.accept: Final = accept
        self.offered: Final = offered


def read_handshake(upgrade: bytes, lines: list[bytes]) -> Handshake:
    """Check what a client asks for (RFC 6455 §4.2.1): the value of its Upgrade, and the header lines that go on.

    Raises `Refusal` with `request_malformed` for every other upgrade.
    """
    if upgrade.lower() != b"websocket":
        raise Refusal("request_malformed", "The only upgrade that is served is to websocket, alone.")
    if _values("sec-websocket-version", lines) != [b"13"]:
        raise Refusal("request_malformed", "A WebSocket handshake has the header Sec-WebSocket-Version: 13.")
    keys = _values("sec-websocket-key", lines)
    if len(keys) != 1 or _KEY(keys[0]) is None:
        raise Refusal("request_malformed", "A WebSocket handshake has one Sec-WebSocket-Key of 16 bytes in base64.")
    offered = [name.strip(b" \t") for value in _values("sec-websocket-protocol", lines) for name in value.split(b",")]
    if len(set(offered)) < len(offered) or not all(map(_TOKEN, offered)):
        raise Refusal("request_malformed", "Sec-WebSocket-Protocol offers tokens, none of them twice.")
    return Handshake(_accept_of(keys[0]), tuple(offered))


def check_answer(handshake: Handshake, upgrade: bytes | None, lines: list[bytes]) -> None:
    """Check a 101 (RFC 6455 §4.1): the value of its Upgrade, if its Connection names that, and its other header lines.

    Raises `Refusal` with `upstream_failed` for an answer to another handshake, or with more than was offered.
    """
    if upgrade is None or upgrade.lower() != b"websocket":
        raise _wrong("The upstream switched to something else than a WebSocket.")
    if _values("sec-websocket-accept", lines) != [handshake.accept]:
        raise _wrong("The upstream's Sec-WebSocket-Accept does not answer this handshake.")
    if _values("sec-websocket-extensions", lines):
        raise _wrong("The upstream uses a WebSocket extension that nobody offered.")
    chosen = _values("sec-websocket-protocol", lines)
    if len(chosen) > 1 or not set(chosen) <= set(handshake.offered):
        raise _wrong("The upstream chose a WebSocket subprotocol that nobody offered.")


def _accept_of(key: bytes) -> bytes:
    return base64.b64encode(hashlib.sha1(key + _GUID, usedforsecurity=False).digest())


def _values(name: str, lines: list[bytes]) -> list[bytes]:
    found = []
    for line in lines:
        spelled, _, value = line.partition(b":")
        if canonical(spelled.decode("ascii")) == name:
            found.append(value.strip(b" \t"))
    return found


def _wrong(told: str) -> Refusal:
    return Refusal("upstream_failed", told, error="http_upgrade_failed")


def closing_frame(status: int, reason: str) -> bytes:
    """A server's Close frame (RFC 6455 §5.5.1); `reason` is ASCII of at most 123 bytes."""
    content = status.to_bytes(2) + reason.encode("ascii")
    return bytes((0x88, len(content))) + content
