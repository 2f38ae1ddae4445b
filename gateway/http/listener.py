"""Lets client connections in from listening sockets, and drains them; knows nothing of what is served."""

import socket
from collections.abc import Callable, Coroutine, Iterable
from typing import Any, Final

from gateway.clock import Clock
from gateway.errors import Interrupted
from gateway.http.deadlines import Sweep
from gateway.http.downstream import Downstream
from gateway.http.house import House
from gateway.http.limits import Limits
from gateway.http.plain_door import PlainDoor
from gateway.http.tls_door import TlsDoor
from gateway.http.tls_watch import LiveContext
from gateway.http.turns import Turns
from gateway.http.waiting import Wait

BACKLOG: Final = 1024
_DRAIN_STEP: Final = 0.05


class Listener(House):
    """What all client connections share, and the sockets they come from."""

    def __init__(
        self,
        serve: Callable[[Downstream], Coroutine[Wait[Any], Any, None]],
        limits: Limits,
        sweep: Sweep,
        clock: Clock,
        tls: LiveContext | None = None,
        turns: Turns | None = None,
    ) -> None:
        """`serve` makes the life of one request; the connection drives it. `tls` is for all addresses but Unix sockets.

        `turns` are taken with other processes that accept from the same sockets.
        """
        super().__init__(serve, limits, sweep)
        self._clock: Final = clock
        self._turns: Final = turns
        self._plain: Final = PlainDoor(self._connect, clock, turns, self.count)
        self._tls: Final = tls and TlsDoor(
            tls, self._connect, self._admit, clock, patience=limits.head_timeout, turns=turns, count=self.count
        )

    def listen_on(self, sockets: Iterable[socket.socket]) -> None:
        """Accept from sockets that listen already, perhaps with others who do so."""
        for each in sockets:
            door = self._plain if self._tls is None or each.family == socket.AF_UNIX else self._tls
            door.open_on(each)

    def leave(self, connection: Downstream) -> None:
        """A connection has ended: there is room for another one here, and the other processes may know."""
        super().leave(connection)
        if self._turns is not None:
            self._turns.tell(self.count())

    def count(self) -> int:
        """How many connections there are, with those that shake hands or were just accepted."""
        accepted = sum(each not in self.connections for each in self._plain.arriving)
        return len(self.connections) + accepted + (0 if self._tls is None else self._tls.arriving)

    async def drain(self) -> None:
        """Accept nothing more, let requests in flight finish within `limits.drain`, then interrupt what is left."""
        self.draining = True
        await self._plain.close()
        if self._tls is not None:
            await self._tls.close()
        for connection in tuple(self.connections):
            connection.close_when_idle()
        until = self._clock.steady() + self.limits.drain
        while self.connections and self._clock.steady() < until:
            await self._clock.sleep(_DRAIN_STEP)
        for connection in tuple(self.connections):
            connection.interrupt(Interrupted("drained"))
            connection.abort()

    def _admit(self, handshakes: int) -> bool:
        """Whether there is a place for one more that would shake hands; else it is one too many."""
        full = len(self.connections) + handshakes >= self.limits.connections
        self.turned_away += full
        return not full

    def _connect(self) -> Downstream:
        return Downstream(self)
