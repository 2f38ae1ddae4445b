"""Lets a body pass only as far as a meter allows, in either direction; knows neither who counts nor why.

What the meter has no room for yet is held here and its sender is not read from, so that no byte passes that was not taken
before. Whatever one read has brought passes whole or not at all.
"""

from collections.abc import Callable
from typing import Final, Protocol, final

from gateway.http.body import Body, ClosedBody
from gateway.http.house import Receiver
from gateway.http.read_body import ReadBody
from gateway.http.scrubbed_body import ScrubbedClosedBody
from gateway.http.scrubbed_messages import ScrubbedMessages


class Meter(Protocol):
    """Counts the content of one exchange."""

    def take(self, amount: int) -> bool:
        """Whether so many bytes may pass now; then they are counted."""
        ...

    def wait(self, amount: int, ready: Callable[[], None]) -> None:
        """Call `ready` when they may, or end the exchange if they never will. Raises `Refusal` if that is known already.

        Nothing is called any more once the exchange is over.
        """
        ...


class Source(Protocol):
    """The connection from which a response comes."""

    def hold(self) -> None:
        """Stop reading it."""

    def go_on(self, body: "MeteredBody") -> None:
        """Pass on what this body held back, if it is still the one that is read, and read on."""


class Brake(Protocol):
    """The connection from which a request comes."""

    @property
    def received(self) -> int:
        """Bytes of content that came in with this request."""

    def wait_for_meter(self, *, wait: bool) -> None:
        """Stop reading it, then go on."""


@final
class MeteredBody:
    """Follows another body, and passes on what the meter has counted."""

    __slots__ = ("_body", "_held", "_meter", "_owing", "_source", "done", "payload", "rest")

    def __init__(self, body: Body, meter: Meter, source: Source) -> None:
        self._body: Final = body
        self._meter: Final = meter
        self._source: Final = source
        self._held: list[bytes] = []
        self._owing = 0
        self.done = body.done
        """Whether the body has come and passed whole."""
        self.payload = 0
        """Bytes of content that have passed."""
        self.rest = b""

    @property
    def open_ended(self) -> bool:
        """Whether the body ends with its connection."""
        return _ends_with_connection(self._body)

    @property
    def arrived(self) -> bool:
        """Whether the body has come whole, though some of it may have to pass yet."""
        return self._body.done

    @property
    def between_frames(self) -> bool:
        """Whether frames are followed, and what has passed ends with a whole one."""
        return not self._held and isinstance(self._body, ScrubbedMessages) and self._body.between_frames

    def feed(self, data: bytes) -> bytes:
        """Return what to pass on of the bytes that arrived. Raises `BrokenChunkError` and `Refusal`."""
        passed = self._body.feed(data)
        self.rest = self._body.rest
        return self._pass_on(passed)

    def end(self) -> bytes:
        """The sender closed the connection in good order. What may not pass now does later. Raises `Refusal`."""
        body = self._body
        if not isinstance(body, (ClosedBody, ScrubbedClosedBody, ScrubbedMessages, ReadBody)):
            raise TypeError("only a body that is delimited by its connection ends with it")
        return self._pass_on(body.end())

    def release(self) -> bytes:
        """What was held back and is counted now."""
        passed = b"".join(self._held)
        self._held.clear()
        return passed

    def _pass_on(self, passed: bytes) -> bytes:
        body = self._body
        self._owing = body.payload - self.payload
        if not self._held and self._meter.take(self._owing):
            self.payload = body.payload
            self.done = body.done
            return passed
        self._held.append(passed)
        self._source.hold()
        if len(self._held) == 1:
            self._meter.wait(self._owing, self._ready)
        return b""

    def _ready(self) -> None:
        if self._meter.take(self._owing):
            self.payload = self._body.payload
            self.done = self._body.done
            self._source.go_on(self)
        else:
            self._meter.wait(self._owing, self._ready)


def _ends_with_connection(body: Body) -> bool:
    if isinstance(body, ReadBody):
        return body.open_ended
    return isinstance(body, (ClosedBody, ScrubbedClosedBody, ScrubbedMessages))


@final
class MeteredSender:
    """Stands before the receiver of a request body, and passes on what the meter has counted."""

    __slots__ = ("_caller", "_counted", "_held", "_meter", "_onward", "_owing")

    def __init__(self, onward: Receiver, meter: Meter, caller: Brake) -> None:
        self._onward: Final = onward
        self._meter: Final = meter
        self._caller: Final = caller
        self._counted = 0
        self._held: list[bytes] = []
        self._owing = 0

    @property
    def empty(self) -> bool:
        """Whether everything that came has passed."""
        return not self._held

    def send(self, data: bytes) -> None:
        """Pass bytes on, or hold them. Raises `Refusal`."""
        self._owing = self._caller.received - self._counted
        if not self._held and self._meter.take(self._owing):
            self._counted += self._owing
            self._onward.send(data)
            return
        self._held.append(data)
        self._caller.wait_for_meter(wait=True)
        if len(self._held) == 1:
            self._meter.wait(self._owing, self._ready)

    def hold(self) -> None:
        """Stop reading the response: the caller is slow."""
        self._onward.hold()

    def release_hold(self) -> None:
        """Go on reading."""
        self._onward.release_hold()

    def _ready(self) -> None:
        owing = self._owing
        if not self._meter.take(owing):
            self._meter.wait(owing, self._ready)
            return
        self._counted += owing
        held = b"".join(self._held)
        self._held.clear()
        self._onward.send(held)
        self._caller.wait_for_meter(wait=False)
