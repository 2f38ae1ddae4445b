"""What has come of a request body before there is an upstream to send it to; knows neither connection nor upstream."""

from typing import Final, final

from gateway.errors import Refusal
from gateway.http.body import Body
from gateway.http.waiting import Wait

EARLY: Final = 64 * 1024
"""Bytes of a request body that are held until there is an upstream to send them to."""


@final
class Early:
    """Held as it came, in the framing that it goes on with; a look at the whole of it lets more be held, up to a size."""

    __slots__ = ("_admitted", "_inspected", "held", "largest", "looking")

    def __init__(self, admitted: int) -> None:
        """`admitted` is how many bytes of content the largest body may have."""
        self._admitted: Final = admitted
        self.begin()

    def begin(self) -> None:
        """Another body begins."""
        self.held = b""
        self.largest = self._admitted
        self.looking: Wait[None] | None = None
        """Resumed once the body has come in whole."""
        self._inspected = False

    def hold(self, passed: bytes) -> bool:
        """Hold more of it; whether that is enough for now. Raises `Refusal` for a body that is nearly nothing but framing."""
        self.held = self.held + passed if self.held else passed
        if self.looking is None:
            return len(self.held) > EARLY
        if len(self.held) > self.largest + EARLY:
            raise self.too_large()
        return False

    def take(self) -> bytes:
        """Everything that is held, to send it on."""
        held, self.held = self.held, b""
        return held

    def look(self, body: Body, announced: int, most: int, seconds: float) -> Wait[None] | None:
        """What to wait for until it is here whole, within so many seconds; None if it is.

        From now on more content than `most` bytes is refused. Raises `Refusal` if more is there or `announced`.
        """
        self._inspected = most < self._admitted
        self.largest = min(most, self._admitted)
        if max(body.payload, announced) > self.largest:
            raise self.too_large()
        if not body.done:
            self.looking = Wait(seconds, _unfinished)
        return self.looking

    def too_large(self) -> Refusal:
        """What to tell the sender of too much."""
        if self._inspected:
            return Refusal("body_too_large", f"A rule reads the body, of which the gateway looks at {self.largest} bytes.")
        return Refusal("body_too_large", f"The gateway admits {self.largest} bytes.")


def _unfinished() -> Refusal:
    return Refusal("request_malformed", "A rule reads the body, which did not arrive in time.")
