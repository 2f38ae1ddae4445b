"""Follows the body of a response whose content is read on its way, and perhaps changed; knows not who reads it, nor what for.

The injected secret is looked for in what comes of the reading, since that is what the caller gets.
"""

from typing import Final, Protocol, final

from gateway.errors import Refusal
from gateway.http.body import Body, ClosedBody, follow
from gateway.http.chunked import LAST_CHUNK, as_chunk
from gateway.http.framing import Delimiter, Framing
from gateway.http.response_head import ResponseHead
from gateway.http.scrubber import Scrubber, Stream
from gateway.model import Outcome

_FRAMING: Final = (b"content-length:", b"transfer-encoding:")


class Reading(Protocol):
    """The content of one body, on its way to somebody who reads it."""

    @property
    def gathers(self) -> bool:
        """Whether nothing may go on before everything has come."""
        ...

    @property
    def changes(self) -> bool:
        """Whether what goes on may be of another length than what came."""
        ...

    def pass_on(self, content: bytes, *, last: bool) -> bytes:
        """Return what may go on, of whatever length. Raises `Refusal`."""
        ...


class Answers(Protocol):
    """What reads the answers to one request."""

    @property
    def asked(self) -> bytes:
        """How the caller names the request that it wants answered: JSON, as a refusal has to repeat it."""
        ...

    def head(self, lines: list[bytes]) -> list[bytes]:
        """The lines of a response head as the caller may have them."""
        ...

    def reading(self, response: ResponseHead, outcome: Outcome) -> Reading | None:
        """What reads the body; None for one that nobody reads. Raises `Refusal` for one that cannot be read and has to be."""
        ...


class ReadBody:
    """A body that is passed on in chunks as it is read, or without `framed` as it comes."""

    __slots__ = ("_body", "_framed", "_reading", "_stream", "done", "payload", "rest")

    def __init__(self, framing: Framing, reading: Reading, stream: Stream | None, *, framed: bool) -> None:
        """`stream` masks the secret; None where nothing is masked."""
        self._body: Final = follow(framing, framed=False)
        self._reading: Final = reading
        self._stream: Final = stream
        self._framed: Final = framed
        self.done = False
        self.payload = 0
        """Bytes of content that were passed on."""
        self.rest = b""

    @property
    def open_ended(self) -> bool:
        """Whether the body ends with its connection."""
        return isinstance(self._body, ClosedBody)

    def feed(self, data: bytes) -> bytes:
        """Pass on what may go on. Raises `BrokenChunkError` and `Refusal`."""
        body: Body = self._body
        content = body.feed(data)
        self.done = done = body.done
        self.rest = body.rest
        return self._pass_on(content, last=done)

    def end(self) -> bytes:
        """The sender closed the connection in good order."""
        self.done = True
        return self._pass_on(b"", last=True)

    def _pass_on(self, content: bytes, *, last: bool) -> bytes:
        passed = self._reading.pass_on(content, last=last)
        if self._stream is not None:
            passed = self._stream.pass_on(passed, last=last)
        self.payload += len(passed)
        if not self._framed:
            return passed
        chunk = as_chunk(passed) if passed else b""
        return chunk + LAST_CHUNK if last else chunk


@final
class GatheredBody(ReadBody):
    """A body that is passed on when it is here whole, so that its length is known before its head goes out."""

    __slots__ = ("whole",)

    def __init__(self, framing: Framing, reading: Reading, stream: Stream | None) -> None:
        """`reading` gathers: nothing comes of it before everything has come."""
        super().__init__(framing, reading, stream, framed=False)
        self.whole = b""
        """The content, once it is done."""

    def feed(self, data: bytes) -> bytes:
        """Keep what has come. Raises `BrokenChunkError` and `Refusal`."""
        self.whole += super().feed(data)
        return b""

    def end(self) -> bytes:
        """The sender closed the connection in good order."""
        self.whole += super().end()
        return b""


def follow_read(
    answers: Answers, response: ResponseHead, scrubber: Scrubber | None, lines: list[bytes], outcome: Outcome, *, framed: bool
) -> ReadBody | None:
    """The follower for a body that is read, whose framing in `lines` is made to fit; None for one that nobody reads.

    Raises `Refusal` for one that cannot be read.
    """
    if response.framing.by == Delimiter.NOTHING:
        return None
    reading = answers.reading(response, outcome)
    if reading is None:
        return None
    if response.coded:
        raise Refusal(
            "upstream_failed",
            "The upstream encoded its answer though it was asked not to, so it cannot be read.",
            error="http_response_content_coding",
        )
    stream = None if scrubber is None else scrubber.stream(outcome)
    if not reading.changes and response.framing.by == Delimiter.LENGTH:
        return ReadBody(response.framing, reading, stream, framed=False)
    lines[:] = [line for line in lines if not line.lower().startswith(_FRAMING)]
    if reading.gathers:
        return GatheredBody(response.framing, reading, stream)
    if framed:
        lines.append(b"Transfer-Encoding: chunked")
    return ReadBody(response.framing, reading, stream, framed=framed)
