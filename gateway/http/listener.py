"""Accepts client connections on addresses and sockets, and drains them; knows nothing of what is served."""

import asyncio
import socket
from collections.abc import Callable, Coroutine, Iterable
from pathlib import Path
from typing import Any, Final

from gateway.clock import Clock
from gateway.errors import DoorwardError, Interrupted
from gateway.http.deadlines import Sweep
from gateway.http.downstream import Downstream
from gateway.http.house import House
from gateway.http.limits import Limits
from gateway.http.tls_door import TlsDoor
from gateway.http.tls_watch import LiveContext
from gateway.http.unix_socket import EVERY_USER, bind, inode, remove
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
    ) -> None:
        """`serve` makes the life of one request; the connection drives it. `tls` is for all addresses but Unix sockets."""
        super().__init__(serve, limits, sweep)
        self._clock: Final = clock
        self._door: Final = None if tls is None else TlsDoor(tls, self._connect, self._has_room, clock)
        self._servers: Final[list[asyncio.Server]] = []
        self._files: Final[list[tuple[Path, int]]] = []

    async def listen(self, address: str, resolve: Callable[[str], Path]) -> str:
        """Listen on `host:port` or `unix:path`; returns the address with its real port. Raises `DoorwardError`."""
        try:
            if address.startswith("unix:"):
                await self._listen_locally(resolve(address.removeprefix("unix:")))
                return address
            host, _, port = address.rpartition(":")
            return f"{host}:{await self._listen_openly(host.strip('[]'), int(port))}"
        except OSError as error:
            raise DoorwardError(f"cannot listen on {address}: {error.strerror or 'the address is not usable'}") from None

    async def listen_on(self, sockets: Iterable[socket.socket]) -> None:
        """Accept from sockets that listen already, with others who do so."""
        loop = asyncio.get_running_loop()
        for each in sockets:
            if each.family == socket.AF_UNIX:
                self._servers.append(await loop.create_unix_server(self._connect, sock=each, backlog=BACKLOG))
            elif self._door is not None:
                self._door.open_on(each, patience=self.limits.head_timeout)
            else:
                self._servers.append(await loop.create_server(self._connect, sock=each, backlog=BACKLOG))

    async def _listen_locally(self, path: Path) -> None:
        loop = asyncio.get_running_loop()
        self._servers.append(await loop.create_unix_server(self._connect, sock=bind(path, EVERY_USER), backlog=BACKLOG))
        self._files.append((path, inode(path)))

    async def _listen_openly(self, host: str, port: int) -> int:
        if self._door is not None:
            return await self._door.open(host, port, backlog=BACKLOG, patience=self.limits.head_timeout)
        loop = asyncio.get_running_loop()
        server = await loop.create_server(self._connect, host, port, backlog=BACKLOG, family=socket.AF_UNSPEC)
        self._servers.append(server)
        return int(server.sockets[0].getsockname()[1])

    async def drain(self) -> None:
        """Accept nothing more, let requests in flight finish within `limits.drain`, then interrupt what is left."""
        self.draining = True
        for server in self._servers:
            server.close()
        if self._door is not None:
            await self._door.close()
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

    def _has_room(self, handshakes: int) -> bool:
        return len(self.connections) + handshakes < self.limits.connections

    def _connect(self) -> Downstream:
        return Downstream(self)
