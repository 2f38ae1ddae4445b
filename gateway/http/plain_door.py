"""Accepts every connection that waits, each time one comes; knows nothing of what is said on it.

The servers of the event loop accept one connection in each of its turns (libuv since 1.45). Where a turn is long because many
ask, newcomers would wait behind all of them, for as long as they go on.
"""

import asyncio
import socket
from collections.abc import Callable
from typing import Any, Final, final

from gateway import telemetry
from gateway.clock import Clock

AT_ONCE: Final = 256
"""Connections that are accepted before those that are open have their turn again."""
PAUSE: Final = 1.0
"""Seconds before the next accept when there is no file descriptor left for a connection."""

_log = telemetry.logger("listener")


@final
class PlainDoor:
    """Sockets that listen, without TLS."""

    def __init__(self, connect: Callable[[], asyncio.Protocol], clock: Clock) -> None:
        """`connect` makes the protocol of a connection."""
        self._connect: Final = connect
        self._clock: Final = clock
        self._sockets: Final[list[socket.socket]] = []
        self._waiting: Final[set[asyncio.Task[Any]]] = set()

    def open_on(self, listening: socket.socket) -> None:
        """Accept from a socket that listens already."""
        listening.setblocking(False)  # noqa: FBT003 the standard library names it so
        self._sockets.append(listening)
        self._watch(listening)

    async def close(self) -> None:
        """Accept nothing more."""
        loop = asyncio.get_running_loop()
        sockets, self._sockets[:] = list(self._sockets), []
        for each in sockets:
            loop.remove_reader(each)
            each.close()
        for task in tuple(self._waiting):
            task.cancel()
        await asyncio.gather(*self._waiting, return_exceptions=True)

    def _watch(self, listening: socket.socket) -> None:
        if listening in self._sockets:
            asyncio.get_running_loop().add_reader(listening, self._accept, listening)

    def _accept(self, listening: socket.socket) -> None:
        for _ in range(AT_ONCE):
            try:
                accepted, _ = listening.accept()
            except (BlockingIOError, InterruptedError):
                return
            except ConnectionError:  # it was gone before it was accepted
                continue
            except OSError as error:
                _log.error("cannot_accept", problem=error.strerror)
                asyncio.get_running_loop().remove_reader(listening)
                self._spawn(self._resume(listening), "accept again")
                return
            accepted.setblocking(False)  # noqa: FBT003 the standard library names it so
            self._spawn(asyncio.get_running_loop().connect_accepted_socket(self._connect, accepted), "accepted connection")

    async def _resume(self, listening: socket.socket) -> None:
        await self._clock.sleep(PAUSE)
        self._watch(listening)

    def _spawn(self, work: Any, name: str) -> None:
        task = self._clock.spawn(work, name)
        self._waiting.add(task)
        task.add_done_callback(self._waiting.discard)
