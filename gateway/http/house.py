"""What a client connection is given: by its listener on one side, by its upstream on the other; types alone, no behaviour."""

from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, Protocol

from gateway.http.deadlines import Sweep
from gateway.http.limits import Limits
from gateway.http.waiting import Wait

if TYPE_CHECKING:
    from gateway.http.downstream import Downstream


class Receiver(Protocol):
    """Where the body of a request goes."""

    def send(self, data: bytes) -> None:
        """Pass bytes on."""

    def hold(self) -> None:
        """Stop reading the response: the caller is slow."""

    def release_hold(self) -> None:
        """Go on reading."""


class House(Protocol):
    """What all connections of a listener share."""

    limits: Limits
    sweep: Sweep
    draining: bool
    connections: set["Downstream"]
    serve: Callable[["Downstream"], Coroutine[Wait[Any], Any, None]]
