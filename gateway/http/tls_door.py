"""Accepts TCP connections and lets in those that complete a TLS handshake in time; knows nothing of what is said after it."""

import asyncio
import socket
import ssl
from collections.abc import Callable
from typing import Final, final

from gateway import telemetry
from gateway.clock import Clock
from gateway.http.door import Door
from gateway.http.tls_line import TlsLine
from gateway.http.tls_watch import LiveContext
from gateway.http.turns import Turns

GOODBYE: Final = 2.0
"""Seconds for which a connection that we close waits for the other side's close_notify."""
TELL_EVERY: Final = 10.0
"""Seconds between two lines in the log about handshakes that failed; the second one counts those of the meantime."""
_LATE: Final = "TIMED_OUT"
"""Why a handshake failed whose time is over, spelled as OpenSSL spells its reasons."""

_log = telemetry.logger("tls")


@final
class TlsDoor:
    """Sockets with TLS. A handshake takes a connection's place from the first moment, and loses it when its time is over.

    The gateway accepts by itself here because a server of the event loop counts nothing before the handshake is complete,
    and is bound to one context for all its life. A client that is refused is told why by an alert, and has what remains of the
    time of a handshake to read it.
    """

    def __init__(
        self,
        live: LiveContext,
        connect: Callable[[], asyncio.Protocol],
        admits: Callable[[int], bool],
        clock: Clock,
        *,
        patience: float,
        turns: Turns | None = None,
        count: Callable[[], int] | None = None,
    ) -> None:
        """`connect` makes the protocol of a connection.

        `admits` is asked once about each that comes, with the number of unfinished handshakes. A handshake is given `patience`
        seconds. With others on the same sockets `turns` says whose turn it is, by the `count` of each.
        """
        self._live: Final = live
        self._connect: Final = connect
        self._admits: Final = admits
        self._clock: Final = clock
        self._patience: Final = patience
        self._door: Final = Door(self._let_in, count or (lambda: 0), clock, turns)
        self._handshakes: Final[dict[asyncio.Protocol, asyncio.Task[None]]] = {}
        self._failures = 0
        self._told = -TELL_EVERY

    @property
    def arriving(self) -> int:
        """How many handshakes have begun and are not complete."""
        return len(self._handshakes)

    def open_on(self, listening: socket.socket) -> None:
        """Accept from a socket that listens already."""
        self._door.open_on(listening)

    async def close(self) -> None:
        """Accept nothing more, and drop the handshakes that are not complete."""
        await self._door.close()
        ended = tuple(self._handshakes.values())
        for task in ended:
            task.cancel()
        await asyncio.gather(*ended, return_exceptions=True)

    def _let_in(self, accepted: socket.socket) -> None:
        if not self._admits(self.arriving):
            accepted.close()
            return
        protocol = self._connect()
        task = self._clock.spawn(self._shake_hands(accepted, protocol), "TLS handshake")
        self._handshakes[protocol] = task
        task.add_done_callback(lambda _: self._handshakes.pop(protocol, None))

    async def _shake_hands(self, accepted: socket.socket, protocol: asyncio.Protocol) -> None:
        try:
            line = TlsLine(accepted, self._live.context, protocol, goodbye=GOODBYE)
        except OSError:  # it has gone
            accepted.close()
            return
        try:
            async with asyncio.timeout(self._patience) as patience:
                try:
                    await line.shake_hands()
                    del self._handshakes[protocol]  # at once: the connection counts for itself from here on
                except ssl.SSLError as error:
                    if not isinstance(error, ssl.SSLEOFError):
                        self._tell(error.reason)
                    await line.part()
                    line.drop()
                except asyncio.CancelledError:
                    if patience.expired():
                        self._tell(_LATE)
                    raise
        except OSError:  # it has gone, or its time is over
            line.drop()
        except BaseException:
            line.drop()
            raise

    def _tell(self, reason: str | None) -> None:
        """Log why a handshake failed, but only now and then: how many fail is for strangers to decide."""
        self._failures += 1
        now = self._clock.boot()
        if now - self._told >= TELL_EVERY:
            _log.warning("tls_handshakes_failed", count=self._failures, last=reason)
            self._told, self._failures = now, 0
