"""Opens, bounds and closes the sockets of Doorward's own servers; knows nothing of what they answer."""

import asyncio
import logging
import os
import socket
import stat
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final, final

from aiohttp import web

from gateway import telemetry
from gateway.authority.addresses import Address
from gateway.errors import DoorwardError

OWNER_ONLY: Final = 0o600
EVERY_USER: Final = 0o666
"""For the authority's socket: any local user may ask, and the kernel tells who does; the folder may still narrow it."""

BODY: Final = 64 * 1024
"""The largest request body, in bytes."""
CONNECTIONS: Final = 1000
"""The most open connections of one server; further ones are closed at once."""
IDLE: Final = 15.0
"""Seconds in which a request head has to be complete, and for which a connection is kept for the next one."""
_LINE: Final = 8190
_FIELD: Final = 16 * 1024
_FIELDS: Final = 64
_BACKLOG: Final = 128
_FAILED: Final = 500

_log = telemetry.logger("endpoints")


@final
class Site:
    """One application on its sockets."""

    def __init__(self, runner: web.AppRunner) -> None:
        """Made by `start_site`."""
        self._runner = runner
        self._servers: list[asyncio.Server] = []
        self._files: list[tuple[Path, int]] = []
        self.ports: list[int] = []
        """The TCP ports that are listened on, in the order of the addresses."""

    async def open(self, address: Address, path: Path | None, mode: int) -> None:
        """Listen on one more address. Raises `DoorwardError`."""
        server = self._runner.server
        if server is None:
            raise RuntimeError("the site has stopped")
        loop = asyncio.get_running_loop()
        factory = _bounded(server)
        try:
            if path is None:
                opened = await loop.create_server(factory, address.host, address.port, backlog=_BACKLOG)
                self.ports.append(opened.sockets[0].getsockname()[1])
            else:
                opened = await loop.create_unix_server(factory, sock=_bind(path, mode), backlog=_BACKLOG)
                self._files.append((path, _inode(path)))
        except OSError as error:
            where = f"unix:{path}" if path is not None else f"{address.host}:{address.port}"
            raise DoorwardError(f"cannot listen on {where}: {error.strerror or error}") from None
        self._servers.append(opened)

    async def stop(self) -> None:
        """Accept nothing more, let the requests under way finish within the grace given at the start, close the rest."""
        for server in self._servers:
            server.close()
        await self._runner.cleanup()
        for path, inode in self._files:
            _remove(path, inode)


async def start_site(
    application: web.Application,
    addresses: Sequence[Address],
    *,
    mode: int,
    resolve: Callable[[str], Path],
    grace: float = 5.0,
) -> Site:
    """Listen on all of the addresses, or on none. `mode` is for Unix sockets, `grace` in seconds. Raises `DoorwardError`."""
    runner = web.AppRunner(application, shutdown_timeout=grace)
    await runner.setup()
    site = Site(runner)
    try:
        for address in addresses:
            await site.open(address, resolve(address.path) if address.path else None, mode)
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
        if isinstance(transport, asyncio.Transport):
            transport.abort()


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


def _bind(path: Path, mode: int) -> socket.socket:
    """A socket file that never has wider permissions than `mode`, not even between its making and a chmod."""
    if not path.parent.exists():
        # Who may open the socket has to get through the folder, but need not see what else is in it.
        path.parent.mkdir(parents=True, mode=0o711 if mode == EVERY_USER else 0o700)
    _clear(path)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    before = os.umask(0o777 & ~mode)
    try:
        listener.bind(str(path))
    except OSError:
        listener.close()
        raise
    finally:
        os.umask(before)
    return listener


def _inode(path: Path) -> int:
    return path.lstat().st_ino


def _remove(path: Path, inode: int) -> None:
    """Remove our own socket file, and not one that somebody else has put there since."""
    with suppress(FileNotFoundError):
        if _inode(path) == inode:
            path.unlink()


def _clear(path: Path) -> None:
    """Remove what a killed run has left: a socket that nobody listens on, and nothing else."""
    try:
        found = path.lstat()
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(found.st_mode):
        raise DoorwardError(f"cannot listen on unix:{path}: the file there is no socket; remove it or name another path")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(1.0)
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            path.unlink()
            return
        except TimeoutError:
            pass
    raise DoorwardError(f"cannot listen on unix:{path}: another program listens there; stop it first")
