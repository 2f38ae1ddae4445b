"""Follows the body of a response while the injected secret is kept out of it; knows neither the secret nor how it is found.

The secret is looked for in the content, across reads and across chunks; the framing stays as it came.
"""

from http import HTTPStatus
from typing import Final, final

from gateway.errors import Refusal
from gateway.http.body import Body, LengthBody, NoBody
from gateway.http.chunked import LAST_CHUNK, ChunkedBody, as_chunk
from gateway.http.framing import Delimiter
from gateway.http.response_head import ResponseHead
from gateway.http.scrubber import Scrubber, Stream
from gateway.http.trailers import Trailers
from gateway.model import Outcome


def follow_scrubbed(
    response: ResponseHead, scrubber: Scrubber, outcome: Outcome, *, framed: bool = True, trailers: Trailers | None = None
) -> Body:
    """The follower for the body of this response; `framed` and `trailers` as for a body that is passed on unseen.

    Raises `Refusal` for a body in which the secret could not be found.
    """
    by = response.framing.by
    if by == Delimiter.NOTHING:
        return NoBody()
    if response.coded:
        raise Refusal(
            "upstream_failed",
            "The upstream encoded its answer though it was asked not to, so it cannot be scrubbed.",
            error="http_response_content_coding",
        )
    if response.status == HTTPStatus.PARTIAL_CONTENT:
        raise Refusal("upstream_failed", "The upstream answered with parts that nobody asked for, so they cannot be scrubbed.")
    stream = scrubber.stream(outcome)
    if by == Delimiter.LENGTH:
        return ScrubbedLengthBody(stream, response.framing.length)
    if by == Delimiter.CHUNKS:
        return ScrubbedChunkedBody(stream, framed=framed, trailers=trailers)
    return ScrubbedClosedBody(stream, framed=framed)


@final
class ScrubbedLengthBody:
    """A body of announced length."""

    __slots__ = ("_body", "_stream", "done", "payload", "rest")

    def __init__(self, stream: Stream, length: int) -> None:
        self._body: Final = LengthBody(length)
        self._stream: Final = stream
        self.done = False
        self.payload = 0
        """Bytes of content that were passed on."""
        self.rest = b""

    def feed(self, data: bytes) -> bytes:
        """Pass on what belongs to the body and is no secret."""
        body = self._body
        content = body.feed(data)
        self.done = done = body.done
        self.rest = body.rest
        passed = self._stream.pass_on(content, last=done)
        self.payload += len(passed)
        return passed


@final
class ScrubbedClosedBody:
    """A body that ends with its connection; passed on in chunks, or without `framed` as it comes."""

    __slots__ = ("_framed", "_stream", "done", "payload", "rest")

    def __init__(self, stream: Stream, *, framed: bool) -> None:
        self._framed: Final = framed
        self._stream: Final = stream
        self.done = False
        self.payload = 0
        self.rest = b""

    def feed(self, data: bytes) -> bytes:
        """Pass on what is no secret."""
        return self._frame(self._stream.pass_on(data, last=False))

    def end(self) -> bytes:
        """The sender closed the connection in good order."""
        self.done = True
        rest = self._frame(self._stream.pass_on(b"", last=True))
        return rest + LAST_CHUNK if self._framed else rest

    def _frame(self, content: bytes) -> bytes:
        self.payload += len(content)
        return as_chunk(content) if content and self._framed else content


@final
class ScrubbedChunkedBody:
    """A chunked body. Content that is held back holds back the framing that follows it, and nothing before it."""

    __slots__ = ("_body", "_layout", "_stream", "done", "payload", "rest")

    def __init__(self, stream: Stream, *, framed: bool, trailers: Trailers | None) -> None:
        self._body: Final = ChunkedBody(framed=framed, trailers=trailers)
        self._stream: Final = stream
        self._layout: list[bytes | int] = []
        """What is to be passed on next: framing, and the lengths of content that is held back."""
        self.done = False
        self.payload = 0
        self.rest = b""

    def feed(self, data: bytes) -> bytes:
        """Pass on framing as it came and content that is no secret. Raises `BrokenChunkError`."""
        body = self._body
        contents: list[int] = []
        pieces = body.pieces(data, contents)
        self.done = done = body.done
        self.rest = body.rest
        content = pieces[contents[0]] if len(contents) == 1 else b"".join([pieces[index] for index in contents])
        passed = self._stream.pass_on(content, last=done)
        self.payload += len(passed)
        if passed is content and not self._layout:
            return pieces[0] if len(pieces) == 1 else b"".join(pieces)
        marks = set(contents)
        self._layout += [len(piece) if index in marks else piece for index, piece in enumerate(pieces)]
        return lay_out(self._layout, passed)


def lay_out(layout: list[bytes | int], content: bytes) -> bytes:
    """Put the content between its framing, as far as it goes. What was laid out is taken off the layout."""
    out: list[bytes] = []
    at = placed = 0
    for piece in layout:
        if isinstance(piece, bytes):
            out.append(piece)
        else:
            part = content[at : at + piece]
            out.append(part)
            at += len(part)
            if len(part) < piece:
                layout[placed] = piece - len(part)
                break
        placed += 1
    del layout[:placed]
    return b"".join(out)
