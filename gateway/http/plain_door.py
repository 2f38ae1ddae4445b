"""Lets in every connection, without TLS; knows nothing of what is said on it."""

import asyncio
import socket
from collections.abc import Callable, Collection
from typing import Any, Final, final

from gateway.clock import Clock
from gateway.http.door import Door
from gateway.http.turns import Turns


@final
class PlainDoor:
    """Sockets that listen, without TLS."""

    def __init__(
        self, connect: Callable[[], asyncio.Protocol], clock: Clock, turns: Turns | None = None,
        count: Callable[[], int] | None = None,
    ) -> None:  # fmt: skip
        """`connect` makes the protocol of a connection.

        With others on the same sockets `turns` says whose turn it is, by the `count` of each.
        """
        self._connect: Final = connect
        self._clock: Final = clock
        self._door: Final = Door(self._let_in, count or (lambda: 0), clock, turns)
        self._arriving: Final[dict[asyncio.Task[Any], asyncio.Protocol]] = {}

    @property
    def arriving(self) -> Collection[asyncio.Protocol]:
        """The protocols of connections that were just accepted, some of which may have been told already."""
        return self._arriving.values()

    def open_on(self, listening: socket.socket) -> None:
        """Accept from a socket that listens already."""
        self._door.open_on(listening)

    async def close(self) -> None:
        """Accept nothing more; whoever was accepted already gets its protocol, which is a matter of a turn or two."""
        await self._door.close()
        await asyncio.gather(*self._arriving, return_exceptions=True)

    def _let_in(self, accepted: socket.socket) -> None:
        protocol = self._connect()
        opening = asyncio.get_running_loop().connect_accepted_socket(lambda: protocol, accepted)
        task = self._clock.spawn(opening, "accepted connection")
        self._arriving[task] = protocol
        task.add_done_callback(self._arriving.pop)
