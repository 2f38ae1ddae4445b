"""Follows a body to its end, whichever way it is delimited; knows nothing of who sends it to whom."""

from typing import Final, Protocol, final

from gateway.http.chunked import LAST_CHUNK, ChunkedBody, as_chunk
from gateway.http.framing import Delimiter, Framing
from gateway.http.trailers import Trailers


class Body(Protocol):
    """The state of one body. Bytes of its content are counted in `payload`, without framing."""

    done: bool
    payload: int
    rest: bytes

    def feed(self, data: bytes) -> bytes:
        """Return what to pass on of the bytes that arrived. Raises `BrokenChunkError`."""


@final
class NoBody:
    """A message without a body: whatever follows belongs to the next one."""

    __slots__ = ("done", "payload", "rest")

    def __init__(self) -> None:
        self.done = True
        self.payload = 0
        self.rest = b""

    def feed(self, data: bytes) -> bytes:
        """Pass nothing on."""
        self.rest += data
        return b""


@final
class LengthBody:
    """A body of announced length, relayed by count; no parser touches it."""

    __slots__ = ("_left", "done", "payload", "rest")

    def __init__(self, length: int) -> None:
        self._left = length
        self.done = False
        self.payload = 0
        self.rest = b""

    def feed(self, data: bytes) -> bytes:
        """Pass on what belongs to the body."""
        left = self._left - len(data)
        if left < 0:
            data, self.rest, left = data[: self._left], data[self._left :], 0
        self._left = left
        self.payload += len(data)
        self.done = not left
        return data


@final
class ClosedBody:
    """A body that ends with its connection; passed on in chunks, so that the receiver can tell a whole one from a cut one."""

    __slots__ = ("_framed", "done", "payload", "rest")

    def __init__(self, *, framed: bool = True) -> None:
        """Without `framed` it is passed on as it comes."""
        self._framed: Final = framed
        self.done = False
        self.payload = 0
        self.rest = b""

    def feed(self, data: bytes) -> bytes:
        """Pass everything on."""
        if not data:
            return b""
        self.payload += len(data)
        return as_chunk(data) if self._framed else data

    def end(self) -> bytes:
        """The sender closed the connection in good order."""
        self.done = True
        return LAST_CHUNK if self._framed else b""


def follow(framing: Framing, *, framed: bool = True, trailers: Trailers | None = None) -> Body:
    """The follower for a body that is delimited this way. Without `framed` no chunk framing is passed on, for HTTP/1.0."""
    if framing.by == Delimiter.LENGTH:
        return LengthBody(framing.length)
    if framing.by == Delimiter.CHUNKS:
        return ChunkedBody(framed=framed, trailers=trailers)
    return ClosedBody(framed=framed) if framing.by == Delimiter.CLOSE else NoBody()
