"""Opens, bounds and closes the sockets of Doorward's own servers; knows nothing of what they answer."""

import asyncio
import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, cast, final

from aiohttp import web

from gateway import telemetry
from gateway.authority.addresses import Address
from gateway.clock import Clock
from gateway.http.bound import Bound, bind_address
from gateway.http.plain_door import PlainDoor
from gateway.http.tls_door import TlsDoor
from gateway.http.tls_watch import LiveContext

BODY: Final = 64 * 1024
"""The largest request body, in bytes."""
CONNECTIONS: Final = 1000
"""The most open connections of one server; further ones are closed at once."""
IDLE: Final = 15.0
"""Seconds in which a request head has to be complete, and for which a connection is kept for the next one."""
_LINE: Final = 8190
_FIELD: Final = 16 * 1024
_FIELDS: Final = 64
_BACKLOG: Final = 1024
_FAILED: Final = 500

_log = telemetry.logger("endpoints")


@final
class Site:
    """One application on its sockets."""

    def __init__(self, runner: web.AppRunner, clock: Clock, tls: LiveContext | None) -> None:
        """Made by `start_site`."""
        self._runner = runner
        self._clock = clock
        self._tls = tls
        self._doors: list[PlainDoor | TlsDoor] = []
        self._bound: list[Bound] = []
        self.ports: list[int] = []
        """The TCP ports that are listened on, in the order of the addresses."""

    def open(self, address: Address, path: Path | None, mode: int) -> None:
        """Listen on one more address. Raises `DoorwardError`."""
        server = self._runner.server
        if server is None:
            raise RuntimeError("the site has stopped")
        factory = _bounded(server)
        text = f"unix:{path}" if path is not None else f"{address.host}:{address.port}"
        bound = bind_address(text, Path, _BACKLOG, mode)
        self._bound.append(bound)
        door: PlainDoor | TlsDoor = PlainDoor(factory, self._clock)
        if path is None and self._tls is not None:
            door = TlsDoor(
                self._tls, factory, lambda waiting: len(server.connections) + waiting < CONNECTIONS, self._clock, patience=IDLE
            )
        self._doors.append(door)
        for each in bound.sockets:
            if path is None:
                self.ports.append(each.getsockname()[1])
            door.open_on(each)

    async def stop(self) -> None:
        """Accept nothing more, let the requests under way finish within the grace given at the start, close the rest."""
        for door in self._doors:
            await door.close()
        await self._runner.cleanup()
        for bound in self._bound:
            bound.close()


async def start_site(
    application: web.Application,
    addresses: Sequence[Address],
    *,
    mode: int,
    resolve: Callable[[str], Path],
    clock: Clock,
    tls: LiveContext | None = None,
    grace: float = 5.0,
) -> Site:
    """Listen on all of the addresses, or on none. Raises `DoorwardError`.

    `mode` is for Unix sockets, `tls` for all others, `grace` in seconds.
    """
    runner = web.AppRunner(application, shutdown_timeout=grace)
    await runner.setup()
    site = Site(runner, clock, tls)
    try:
        for address in addresses:
            site.open(address, resolve(address.path) if address.path else None, mode)
    except BaseException:
        await site.stop()
        raise
    return site


class _Connection(web.RequestHandler):
    """A connection that tells neither its peer nor a log what was in a request: it could be a token."""

    __slots__ = ()

    def handle_error(
        self, request: web.BaseRequest, status: int = 500, exc: BaseException | None = None, message: str | None = None
    ) -> web.StreamResponse:
        """Answer what could not be read, or what failed in a way that nobody foresaw."""
        del message  # it repeats what was sent
        if request.writer.output_size > 0:
            raise ConnectionError("the answer had begun")
        failed = status >= _FAILED
        if failed:
            self.log_exception(exc_info=exc)
        sentence = "Doorward failed; its operator finds more in the log." if failed else "The request cannot be read."
        code = "server_error" if failed else "invalid_request"
        answer = web.json_response({"error": code, "error_description": sentence}, status=status)
        answer.force_close()
        return answer

    def log_exception(self, *_args: object, exc_info: object = None, **_more: object) -> None:
        """Only the type of an error is logged, since its text could hold anything."""
        _log.error("request_failed", error=type(exc_info).__name__)


class _Full(asyncio.Protocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        cast("asyncio.Transport", transport).abort()


def _bounded(server: web.Server) -> Callable[[], asyncio.Protocol]:
    loop = asyncio.get_running_loop()
    # Who asked for what is in the audit log; an access log would only be a second place for ids.
    silent = logging.getLogger("doorward.silent")
    silent.disabled = True

    def connect() -> asyncio.Protocol:
        if len(server.connections) >= CONNECTIONS:
            return _Full()
        return _Connection(
            server,
            loop=loop,
            access_log=silent,
            keepalive_timeout=IDLE,
            max_line_size=_LINE,
            max_field_size=_FIELD,
            max_headers=_FIELDS,
        )

    return connect
