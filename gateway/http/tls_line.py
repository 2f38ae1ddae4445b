"""One connection over TLS for those who call us: OpenSSL reads from the socket and writes to it; knows nothing of what is said.

Event loops put two buffers in memory between a socket and OpenSSL, which grow to the largest body that passed at once and
stay so, and a third for what they read: an idle connection holds as much. Here nothing stands between.
"""

import asyncio
import socket
import ssl
from collections.abc import Callable, Iterable
from typing import Any, Final, final

RECORDS: Final = 16
"""How many records are read before others have their turn."""
_RECORD: Final = 16 * 1024  # RFC 8446 §5.1: none holds more, so nothing of one that was read stays with OpenSSL


@final
class TlsLine(asyncio.Transport):
    """A transport, once hands were shaken. Its end waits `goodbye` seconds for the other side's close_notify."""

    __slots__ = (
        "_closing", "_descriptor", "_full", "_goodbye", "_loop", "_lost", "_most_unsent", "_own", "_paused", "_peer",
        "_protocol", "_timer", "_tls", "_unsent",
    )  # fmt: skip

    def __init__(self, accepted: socket.socket, context: ssl.SSLContext, protocol: asyncio.Protocol, *, goodbye: float) -> None:
        """The socket is this line's from now on. Raises `OSError` if the client has gone already."""
        super().__init__()
        accepted.settimeout(0)
        accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._peer: Final = accepted.getpeername()
        self._own: Final = accepted.getsockname()
        self._tls: Final = context.wrap_socket(accepted, server_side=True, do_handshake_on_connect=False)
        self._descriptor: Final = self._tls.fileno()
        self._loop: Final = asyncio.get_running_loop()
        self._protocol: Final = protocol
        self._most_unsent = 0
        self._goodbye: Final = goodbye
        self._timer: asyncio.TimerHandle | None = None
        self._unsent = bytearray()
        self._full = False
        self._paused = False
        self._closing = False
        self._lost = False

    async def shake_hands(self) -> None:
        """Complete the handshake and make the connection. Raises `ssl.SSLError` and `OSError`."""
        while True:
            try:
                self._tls.do_handshake()
                break
            except ssl.SSLWantReadError:
                await self._ready(self._loop.add_reader, self._loop.remove_reader)
            except ssl.SSLWantWriteError:
                await self._ready(self._loop.add_writer, self._loop.remove_writer)
        self._protocol.connection_made(self)
        if self.is_reading():
            self._loop.add_reader(self._descriptor, self._read)

    async def part(self) -> None:
        """After a handshake that failed: wait for the client to leave, or else it might not read why (RFC 8446 §6.2).

        Whoever closes a socket on which something unread has come takes back what it has sent. Raises `OSError`.
        """
        self._tls.shutdown(socket.SHUT_WR)  # from here on without TLS
        for _ in range(RECORDS):
            await self._ready(self._loop.add_reader, self._loop.remove_reader)
            if not self._tls.recv(_RECORD):
                return

    def drop(self) -> None:
        """End what has not become a connection."""
        if not self._lost:
            self._lost = self._closing = True
            self._tls.close()

    # What a protocol asks of its transport.

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """See `asyncio.BaseTransport`."""
        match name:
            case "ssl_object" | "socket":
                return self._tls
            case "sslcontext":
                return self._tls.context
            case "peername":
                return self._peer
            case "sockname":
                return self._own
            case "peercert":
                return self._tls.getpeercert()
            case "cipher":
                return self._tls.cipher()
        return default

    def is_closing(self) -> bool:
        """See `asyncio.BaseTransport`."""
        return self._closing

    def is_reading(self) -> bool:
        """See `asyncio.ReadTransport`."""
        return not self._paused and not self._closing

    def pause_reading(self) -> None:
        """See `asyncio.ReadTransport`."""
        if self.is_reading():
            self._paused = True
            self._loop.remove_reader(self._descriptor)

    def resume_reading(self) -> None:
        """See `asyncio.ReadTransport`."""
        if self._paused and not self._closing:
            self._paused = False
            self._loop.add_reader(self._descriptor, self._read)

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:  # noqa: ARG002 it goes on at 0
        """See `asyncio.WriteTransport`."""
        self._most_unsent = high or 0

    def get_write_buffer_size(self) -> int:
        """See `asyncio.WriteTransport`."""
        return len(self._unsent)

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """See `asyncio.WriteTransport`."""
        if self._closing:
            return
        if self._unsent:
            self._unsent += data
        else:
            sent = self._push(data)
            if sent == len(data) or self.is_closing():
                return
            self._unsent += memoryview(data)[sent:]
            self._loop.add_writer(self._descriptor, self._write)
        if len(self._unsent) > self._most_unsent and not self._full:
            self._full = True
            self._protocol.pause_writing()

    def can_write_eof(self) -> bool:
        """See `asyncio.WriteTransport`: TLS cannot end one direction alone."""
        return False

    def writelines(self, list_of_data: Iterable[bytes | bytearray | memoryview]) -> None:
        """See `asyncio.WriteTransport`; all that is small leaves in one record."""
        self.write(b"".join(list_of_data))

    def close(self) -> None:
        """See `asyncio.BaseTransport`."""
        if not self._closing:
            self._closing = True
            self._loop.remove_reader(self._descriptor)
            if not self._unsent:
                self._part()

    def abort(self) -> None:
        """See `asyncio.WriteTransport`."""
        self._lose(None)

    # What the event loop calls.

    def _read(self) -> None:
        parts: list[bytes] = []
        error: OSError | None = None
        ended = False
        for _ in range(RECORDS):
            try:
                part = self._tls.recv(_RECORD)
            except ssl.SSLWantReadError:
                break
            except ssl.SSLWantWriteError:  # the answer to a KeyUpdate is stuck, and goes first: `_write` lets reading go on
                self._loop.remove_reader(self._descriptor)
                self._loop.add_writer(self._descriptor, self._write)
                break
            except OSError as problem:
                error = problem
                break
            if not part:
                ended = True
                break
            parts.append(part)
            if len(part) < _RECORD:
                break
        if parts:
            self._protocol.data_received(parts[0] if len(parts) == 1 else b"".join(parts))
        if error is not None:
            self._lose(error)
        elif ended and not self._closing:
            self._protocol.eof_received()
            self.close()

    def _write(self) -> None:
        sent = self._push(self._unsent)
        if self._lost:
            return
        del self._unsent[:sent]
        if self.is_reading():
            self._loop.add_reader(self._descriptor, self._read)  # it may have waited for room, see there
        if self._unsent:
            return
        self._unsent = bytearray()  # an emptied one would keep its size
        self._loop.remove_writer(self._descriptor)
        if self._closing:
            self._part()
        elif self._full:
            self._full = False
            self._protocol.resume_writing()

    def _push(self, data: bytes | bytearray | memoryview) -> int:
        """Hand over what the kernel takes; how many bytes those were."""
        sent = 0
        with memoryview(data) as view:
            try:
                while sent < len(view):
                    sent += self._tls.send(view[sent:])
            except ssl.SSLWantWriteError:
                pass
            except OSError as error:  # and where half a KeyUpdate has come: OpenSSL waits for its rest, which may never come
                self._lose(error)
        return sent

    def _part(self) -> None:
        """Say goodbye (RFC 8446 §6.1), and hear the other side say it."""
        self._loop.remove_reader(self._descriptor)
        self._loop.remove_writer(self._descriptor)
        if self._timer is None:
            self._timer = self._loop.call_later(self._goodbye, self._lose, None)
        tls: Any = self._tls
        try:
            tls._sslobj.shutdown()  # noqa: SLF001 `unwrap` would forget the certificate, which a request may still ask for
        except ssl.SSLWantReadError:
            self._loop.add_reader(self._descriptor, self._part)
        except ssl.SSLWantWriteError:
            self._loop.add_writer(self._descriptor, self._part)
        except (OSError, ValueError):  # it has gone without it
            self._lose(None)
        else:
            self._lose(None)

    def _lose(self, error: OSError | None) -> None:
        if self._lost:
            return
        self._lost = self._closing = True
        self._loop.remove_reader(self._descriptor)
        self._loop.remove_writer(self._descriptor)
        if self._timer is not None:
            self._timer.cancel()
        self._loop.call_soon(self._end, error)

    def _end(self, error: OSError | None) -> None:
        try:
            self._protocol.connection_lost(error)
        finally:
            self._unsent = bytearray()
            self._tls.close()

    async def _ready(self, wait: Callable[..., object], leave: Callable[[int], object]) -> None:
        ready = self._loop.create_future()
        wait(self._descriptor, _tell, ready)
        try:
            await ready
        finally:
            leave(self._descriptor)


def _tell(ready: "asyncio.Future[None]") -> None:
    if not ready.done():
        ready.set_result(None)
