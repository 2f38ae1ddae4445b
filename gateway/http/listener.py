"""Accepts client connections on addresses and sockets, and drains them; knows nothing of what is served."""

import asyncio
import socket
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, Final

from gateway.clock import Clock
from gateway.errors import DoorwardError, Interrupted
from gateway.http.deadlines import Sweep
from gateway.http.downstream import Downstream
from gateway.http.limits import Limits
from gateway.http.unix_socket import EVERY_USER, bind, inode, remove
from gateway.http.waiting import Wait

BACKLOG: Final = 1024
_DRAIN_STEP: Final = 0.05


class Listener:
    """What all client connections share, and the sockets they come from."""

    def __init__(
        self, serve: Callable[[Downstream], Coroutine[Wait[Any], Any, None]], limits: Limits, sweep: Sweep, clock: Clock
    ) -> None:
        """`serve` makes the life of one request; the connection drives it."""
        self.serve = serve
        self.limits = limits
        self.sweep = sweep
        self.draining = False
        self.connections: set[Downstream] = set()
        self._clock: Final = clock
        self._servers: Final[list[asyncio.Server]] = []
        self._files: Final[list[tuple[Path, int]]] = []

    async def listen(self, address: str, resolve: Callable[[str], Path]) -> str:
        """Listen on `host:port` or `unix:path`; returns the address with its real port. Raises `DoorwardError`."""
        loop = asyncio.get_running_loop()
        try:
            if address.startswith("unix:"):
                path = resolve(address.removeprefix("unix:"))
                server = await loop.create_unix_server(self._connect, sock=bind(path, EVERY_USER), backlog=BACKLOG)
                self._files.append((path, inode(path)))
            else:
                host, _, port = address.rpartition(":")
                server = await loop.create_server(
                    self._connect, host.strip("[]"), int(port), backlog=BACKLOG, family=socket.AF_UNSPEC
                )
        except OSError as error:
            raise DoorwardError(f"cannot listen on {address}: {error.strerror or 'the address is not usable'}") from None
        self._servers.append(server)
        if address.startswith("unix:"):
            return address
        return f"{address.rpartition(':')[0]}:{server.sockets[0].getsockname()[1]}"

    async def drain(self) -> None:
        """Accept nothing more, let requests in flight finish within `limits.drain`, then interrupt what is left."""
        self.draining = True
        for server in self._servers:
            server.close()
        for path, made in self._files:
            remove(path, made)
        for connection in tuple(self.connections):
            connection.close_when_idle()
        until = self._clock.steady() + self.limits.drain
        while self.connections and self._clock.steady() < until:
            await self._clock.sleep(_DRAIN_STEP)
        for connection in tuple(self.connections):
            connection.interrupt(Interrupted("drained"))
            connection.abort()

    def _connect(self) -> Downstream:
        return Downstream(self)
