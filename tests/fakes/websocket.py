"""The handshake of a WebSocket and the frames of a server, written out by hand for scripted upstreams and raw clients."""

import asyncio

from fakes.house import Exchange, ScriptedUpstream, get

KEY = "dGhlIHNhbXBsZSBub25jZQ=="
ASKING = ("Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13", f"Sec-WebSocket-Key: {KEY}")
ACCEPT = b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="  # RFC 6455 §1.3
ACCEPTED = (
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: "
    + ACCEPT
    + b"\r\n"
)
PATH = "/api/items/7/events"
"""What `items.watch` covers."""


def asking(token: str, *more: str) -> bytes:
    """A whole handshake of a client."""
    return get(PATH, token, "items.watch", *ASKING, *more)


async def took_handshake(upstream: ScriptedUpstream, reader: asyncio.StreamReader) -> None:
    """Read a handshake as the upstream sees it."""
    upstream.seen.append(Exchange((await reader.readuntil(b"\r\n\r\n"))[:-4], b""))


def frame(content: bytes, opcode: int = 1, *, last: bool = True) -> bytes:
    """One frame (RFC 6455 §5.2), by default a whole message of text."""
    first = bytes([opcode | (0x80 if last else 0)])
    if len(content) < 126:
        return first + bytes([len(content)]) + content
    if len(content) < 65_536:
        return first + b"\x7e" + len(content).to_bytes(2) + content
    return first + b"\x7f" + len(content).to_bytes(8) + content
