"""What a client connection is given: by its listener on one side, by its upstream on the other; knows the use of neither."""

from collections import Counter
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, Final, Protocol

from gateway.compiling import mypyc_attr
from gateway.http.deadlines import Sweep, ticks
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


@mypyc_attr(allow_interpreted_subclasses=True)
class House:
    """What all connections of a listener share."""

    def __init__(
        self, serve: Callable[["Downstream"], Coroutine[Wait[Any], Any, None]], limits: Limits, sweep: Sweep
    ) -> None:  # fmt: skip
        """`serve` makes the life of one request; the connection drives it."""
        self.serve: Final = serve
        self.limits: Final = limits
        self.sweep: Final = sweep
        self.draining = False
        self.turned_away = 0
        """Connections that were one too many."""
        self.connections: Final[set[Downstream]] = set()
        self.awaited: Final[Counter[str]] = Counter()
        """How many requests of each agent wait for their bodies, which have to be here before anything is decided."""
        # What every request asks, worked out once.
        self.largest_head: Final = limits.head
        self.largest_body: Final = limits.body
        self.idle_ticks: Final = ticks(limits.idle_timeout)

    def leave(self, connection: "Downstream") -> None:
        """A connection has ended."""
        self.connections.discard(connection)
        self.sweep.watched.discard(connection)
        self.sweep.unread.discard(connection)
