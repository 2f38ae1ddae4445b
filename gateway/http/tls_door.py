"""Accepts TCP connections and lets in those that complete a TLS handshake in time; knows nothing of what is said after it."""

import asyncio
import socket
import ssl
from collections.abc import Callable
from typing import Final, cast, final

from gateway import telemetry
from gateway.clock import Clock
from gateway.http.tls_serving import ServingContext
from gateway.http.tls_watch import LiveContext

GOODBYE: Final = 2.0
"""Seconds for which a connection that we close waits for the other side's close_notify."""
PAUSE: Final = 1.0
"""Seconds before the next accept when there is no file descriptor left for a connection."""
TELL_EVERY: Final = 10.0
"""Seconds between two lines in the log about handshakes that failed; the second one counts those of the meantime."""
UNSENT: Final = 64 * 1024
"""Bytes that may wait to be encrypted before a writer is told to stop: as many as without TLS."""

_log = telemetry.logger("tls")


@final
class TlsDoor:
    """Sockets with TLS. A handshake takes a connection's place from the first moment, and loses it when its time is over.

    The gateway accepts by itself here because a server of the event loop counts nothing before the handshake is complete,
    and is bound to one context for all its life.
    """

    def __init__(
        self, live: LiveContext, connect: Callable[[], asyncio.Protocol], has_room: Callable[[int], bool], clock: Clock
    ) -> None:
        """`connect` makes the protocol of a connection; `has_room` is asked with the number of unfinished handshakes."""
        self._live: Final = live
        self._connect: Final = connect
        self._has_room: Final = has_room
        self._clock: Final = clock
        self._sockets: Final[list[socket.socket]] = []
        self._accepting: Final[list[asyncio.Task[None]]] = []
        self._handshakes: Final[set[asyncio.Task[None]]] = set()
        self._failures = 0
        self._told = -TELL_EVERY

    @property
    def handshakes(self) -> int:
        """How many have begun and are not complete."""
        return len(self._handshakes)

    async def open(self, host: str, port: int, *, backlog: int, patience: float) -> int:
        """Listen on all addresses of a host, and give a handshake `patience` seconds; returns the port. Raises `OSError`."""
        loop = asyncio.get_running_loop()
        opened: list[socket.socket] = []
        found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        try:
            for family, _, _, _, address in dict.fromkeys(found):
                opened.append(socket.create_server(cast("tuple[str, int]", address), family=family, backlog=backlog))
        except OSError:
            for each in opened:
                each.close()
            raise
        for each in opened:
            self.open_on(each, patience=patience)
        return int(opened[0].getsockname()[1])

    def open_on(self, listening: socket.socket, *, patience: float) -> None:
        """Accept from a socket that listens already, perhaps beside others who do so."""
        listening.setblocking(False)  # noqa: FBT003 the standard library names it so
        self._accepting.append(self._clock.spawn(self._accept(listening, patience), f"accept TLS on {listening.getsockname()}"))
        self._sockets.append(listening)

    async def close(self) -> None:
        """Accept nothing more, and drop the handshakes that are not complete."""
        ended = (*self._accepting, *self._handshakes)
        for task in ended:
            task.cancel()
        await asyncio.gather(*ended, return_exceptions=True)
        for each in self._sockets:
            each.close()

    async def _accept(self, listening: socket.socket, patience: float) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                accepted, _ = await loop.sock_accept(listening)
            except ConnectionError:  # it was gone before it was accepted
                continue
            except OSError as error:
                _log.error("cannot_accept", problem=error.strerror)
                await self._clock.sleep(PAUSE)
                continue
            if not self._has_room(self.handshakes):
                accepted.close()
                continue
            task = self._clock.spawn(self._shake_hands(accepted, patience), "TLS handshake")
            self._handshakes.add(task)
            task.add_done_callback(self._handshakes.discard)

    async def _shake_hands(self, accepted: socket.socket, patience: float) -> None:
        context = self._live.context
        try:
            transport, _ = await asyncio.get_running_loop().connect_accepted_socket(
                self._connect, accepted, ssl=context, ssl_handshake_timeout=patience, ssl_shutdown_timeout=GOODBYE
            )
        except OSError:  # it was refused, or has gone, or its time is over
            if isinstance(context, ServingContext) and context.refusals:
                self._tell(context.refusals.popleft())
        else:
            cast("asyncio.WriteTransport", transport).set_write_buffer_limits(high=UNSENT)

    def _tell(self, error: ssl.SSLError) -> None:
        """Log why a handshake failed, but only now and then: how many fail is for strangers to decide."""
        self._failures += 1
        now = self._clock.boot()
        if now - self._told >= TELL_EVERY:
            _log.warning("tls_handshakes_failed", count=self._failures, last=error.reason)
            self._told, self._failures = now, 0
