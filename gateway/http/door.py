"""Accepts every connection that waits on listening sockets, in turn with other processes that do; knows no protocol.

The servers of the event loop accept one connection in each of its turns (libuv since 1.45). Where a turn is long because many
ask, newcomers would wait behind all of them, for as long as they go on. And of several processes with one socket whoever wakes
first would take all.
"""

import asyncio
import socket
from collections.abc import Callable, Coroutine
from typing import Any, Final, final

from gateway import telemetry
from gateway.clock import Clock
from gateway.http.turns import Turns

AT_ONCE: Final = 256
"""Connections that are accepted before those that are open have their turn again."""
PAUSE: Final = 1.0
"""Seconds before the next accept when there is no file descriptor left for a connection."""
LEAVE: Final = 0.001
"""Seconds after which it is looked whether a process that has fewer connections has taken one."""
LOOKS: Final = 100
"""So often that process may not have moved before it is taken for frozen; from then on, once, until it moves."""
TAKE_OVER: Final = 8
"""Connections that are accepted then all the same, each time."""

_log = telemetry.logger("listener")


def source_of(transport: asyncio.BaseTransport) -> str:
    """Where a connection comes from: an address, or `unix`; empty for one that has been reset, of which nobody can tell."""
    peer = transport.get_extra_info("peername")
    if isinstance(peer, tuple):
        return str(peer[0])
    return "" if isinstance(transport.get_extra_info("sockname"), tuple) else "unix"


@final
class Door:
    """Sockets that listen, perhaps for other processes too."""

    def __init__(
        self, take: Callable[[socket.socket], None], count: Callable[[], int], clock: Clock, turns: Turns | None = None
    ) -> None:
        """`take` gets what was accepted; `count` is how many connections this process has, those just taken among them."""
        self._take: Final = take
        self._count: Final = count
        self._clock: Final = clock
        self._turns: Final = turns
        self._sockets: Final[list[socket.socket]] = []
        self._resting: Final[set[asyncio.Task[Any]]] = set()
        self._frozen = -1
        """How many connections the process has that was taken for frozen."""

    def open_on(self, listening: socket.socket) -> None:
        """Accept from a socket that listens already."""
        listening.setblocking(False)  # noqa: FBT003 the standard library names it so
        self._sockets.append(listening)
        if self._turns is not None:
            self._turns.tell(self._count())
        self._watch(listening)

    async def close(self) -> None:
        """Accept nothing more."""
        if self._turns is not None:
            self._turns.leave()
        loop = asyncio.get_running_loop()
        sockets, self._sockets[:] = list(self._sockets), []
        for each in sockets:
            loop.remove_reader(each)
            each.close()
        for task in tuple(self._resting):
            task.cancel()
        await asyncio.gather(*self._resting, return_exceptions=True)

    def _watch(self, listening: socket.socket) -> None:
        if listening in self._sockets:
            asyncio.get_running_loop().add_reader(listening, self._accept, listening)

    def _accept(self, listening: socket.socket) -> None:
        try:
            for _ in range(AT_ONCE):
                if self._turns is not None:
                    self._turns.tell(self._count())
                    if not self._turns.ours():
                        self._rest(listening, self._leave_to_others(listening, self._turns))
                        return
                if not self._accept_one(listening):
                    return
        except OSError as error:
            self._rest(listening, self._pause(error))

    def _accept_one(self, listening: socket.socket) -> bool:
        """Whether there may be more. Raises `OSError` if there may be and they cannot be accepted now."""
        try:
            accepted, _ = listening.accept()
        except (BlockingIOError, InterruptedError):
            return False
        except ConnectionError:  # it was gone before it was accepted
            return True
        accepted.setblocking(False)  # noqa: FBT003 the standard library names it so
        self._take(accepted)
        return True

    async def _leave_to_others(self, listening: socket.socket, turns: Turns) -> None:
        before = turns.least()
        for _ in range(1 if before == self._frozen else LOOKS):
            await self._clock.sleep(LEAVE)
            if turns.least() != before:
                self._frozen = -1
                return
        self._frozen = -1
        try:
            for _ in range(TAKE_OVER):
                if listening not in self._sockets or not self._accept_one(listening):
                    return
                self._frozen = before  # it has left this one waiting; one that came and went would look the same
        except OSError as error:
            await self._pause(error)

    async def _pause(self, error: OSError) -> None:
        _log.error("cannot_accept", problem=error.strerror)
        await self._clock.sleep(PAUSE)

    def _rest(self, listening: socket.socket, until: Coroutine[Any, Any, None]) -> None:
        """Watch the socket again only after `until`; one that rests is not watched, so it rests once."""
        asyncio.get_running_loop().remove_reader(listening)
        task = self._clock.spawn(self._resume(listening, until), "accept again")
        self._resting.add(task)
        task.add_done_callback(self._resting.discard)

    async def _resume(self, listening: socket.socket, until: Coroutine[Any, Any, None]) -> None:
        await until
        self._watch(listening)
