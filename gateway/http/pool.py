"""Keeps upstream connections that can be used again, apart by everything that must not mix; knows nothing of requests."""

import asyncio
from collections import deque
from collections.abc import Collection
from functools import partial
from typing import Final

from gateway.clock import Clock
from gateway.errors import Refusal
from gateway.http.deadlines import Sweep, ticks
from gateway.http.dial import dial
from gateway.http.downstream import Downstream
from gateway.http.outbound import PoolKey
from gateway.http.tls_context import UnusableFileError
from gateway.http.tls_watch import LiveContext, TlsWatch
from gateway.http.upstream import StaleConnectionError, UpstreamConnection
from gateway.http.waiting import Wait
from gateway.lookups import Lookups
from gateway.model import Upstream

IDLE_PER_KEY: Final = 64
"""How many connections of one key are kept idle."""
IDLE_SECONDS: Final = 55.0
"""How long a connection is kept idle: shorter than the 60 seconds after which many servers close."""
GOODBYE: Final = 5.0
"""How many seconds an upstream has to read what was sent to it last."""


class Pool:
    """The last connection that came back goes out first, so that the surplus grows old and is closed."""

    def __init__(self, clock: Clock, sweep: Sweep, largest_head: int, tls: TlsWatch) -> None:
        """`largest_head` bounds response heads, in bytes."""
        self._clock: Final = clock
        self._tls: Final = tls
        self._sweep: Final = sweep
        self._largest_head: Final = largest_head
        self._idle: Final[dict[PoolKey, deque[UpstreamConnection]]] = {}
        self._open: Final[set[UpstreamConnection]] = set()
        self._lookups: Final = Lookups()

    def take(self, key: PoolKey) -> UpstreamConnection | None:
        """An idle connection of this key, if there is one. Those from before a change of TLS files are ended here."""
        idle = self._idle.get(key)
        while idle:
            connection = idle.pop()
            self._sweep.watched.discard(connection)
            if connection.outdated:
                connection.abort()
            elif not connection.closing:
                return connection
        return None

    async def open(self, key: PoolKey, caller: Downstream) -> UpstreamConnection:
        """Dial in a task of its own, for it waits for foreign things, while the request waits for the task.

        Raises `Refusal` with `upstream_failed`, `upstream_timeout` or `overloaded`.
        """
        # Nothing here may refer to the frame that waits: it would be left in a circle with what it waits for.
        make = partial(UpstreamConnection, key, self._forget, self._largest_head, self._sweep.turn)
        wait: Wait[asyncio.Task[UpstreamConnection | Refusal]] = Wait(
            key.upstream.connect_timeout, partial(_too_late, key.upstream.name)
        )
        attempt = dial(key.upstream, make, self._lookups, self._live(key.upstream))
        task = self._clock.spawn(attempt, f"dial {key.upstream.name}")
        task.add_done_callback(partial(caller.resume, wait))
        try:
            result = (await wait).result()
        except BaseException:
            task.add_done_callback(_abandon)
            task.cancel()
            raise
        if isinstance(result, Refusal):
            raise result
        if result.closing:
            raise StaleConnectionError
        self._open.add(result)
        return result

    def give_back(self, connection: UpstreamConnection) -> None:
        """Keep a clean connection for the next request with the same key."""
        idle = self._idle.setdefault(connection.key, deque())
        if len(idle) >= IDLE_PER_KEY:
            connection.abort()
            return
        idle.append(connection)
        connection.deadline = self._sweep.tick + ticks(IDLE_SECONDS)
        self._sweep.watched.add(connection)

    def let_go(self, connection: UpstreamConnection) -> None:
        """End a connection in good order: what was sent to it still goes out, for a bounded time."""
        connection.close()
        if connection in self._open:
            connection.deadline = self._sweep.tick + ticks(GOODBYE)
            self._sweep.watched.add(connection)

    def keep(self, upstreams: Collection[Upstream]) -> int:
        """End the idle connections to all other upstreams; returns how many of those are still in use."""
        others = [connection for connection in self._open if connection.key.upstream not in upstreams]
        idle = [connection for connection in others if connection in self._idle.get(connection.key, ())]
        for connection in idle:
            connection.abort()
        return len(others) - len(idle)

    def close(self) -> None:
        """End all connections."""
        for connection in tuple(self._open):
            connection.abort()

    @property
    def size(self) -> int:
        """How many connections are open."""
        return len(self._open)

    @property
    def idle(self) -> int:
        """How many of them wait for a request."""
        return sum(len(idle) for idle in self._idle.values())

    def _live(self, upstream: Upstream) -> LiveContext | None:
        if upstream.origin.scheme != "https":
            return None
        try:
            return self._tls.call(f"upstream {upstream.name}", upstream.tls)
        except UnusableFileError:
            told = f"The certificates for the upstream {upstream.name} cannot be used."
            raise Refusal("upstream_failed", told, error="proxy_configuration_error") from None

    def _forget(self, connection: UpstreamConnection) -> None:
        self._open.discard(connection)
        self._sweep.watched.discard(connection)
        idle = self._idle.get(connection.key)
        if idle is not None:
            if connection in idle:
                idle.remove(connection)
            if not idle:
                del self._idle[connection.key]


def _too_late(upstream: str) -> Refusal:
    return Refusal("upstream_timeout", f"No connection to the upstream {upstream} in time.", error="connection_timeout")


def _abandon(task: "asyncio.Task[UpstreamConnection | Refusal]") -> None:
    """Nobody waits for this connection any more."""
    if not task.cancelled() and task.exception() is None:
        result = task.result()
        if isinstance(result, UpstreamConnection):
            result.abort()
