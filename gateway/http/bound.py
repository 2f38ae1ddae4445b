"""Listening sockets that outlive whoever accepts from them, so that a queued connection is never lost; accepts nothing."""

import socket
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, cast, final

from gateway.errors import DoorwardError
from gateway.http.unix_socket import EVERY_USER, bind, inode, remove


@final
class Bound:
    """All sockets of one address of the configuration. `text` is that address with its real port."""

    def __init__(self, text: str, sockets: Sequence[socket.socket], file: Path | None = None) -> None:
        """`file` is the socket file, if it is one."""
        self.text: Final = text
        self.sockets: Final = tuple(sockets)
        self._file: Final = None if file is None else (file, inode(file))

    def close(self) -> None:
        """Listen no more."""
        for each in self.sockets:
            each.close()
        if self._file is not None:
            remove(*self._file)


def bind_address(text: str, resolve: Callable[[str], Path], backlog: int, mode: int = EVERY_USER) -> Bound:
    """Listen on `host:port` or `unix:path`, which gets `mode`. Raises `DoorwardError`."""
    try:
        if text.startswith("unix:"):
            file = resolve(text.removeprefix("unix:"))
            one = bind(file, mode)
            one.listen(backlog)
            return Bound(text, (one,), file)
        host, _, port = text.rpartition(":")
        sockets = _listen(host.strip("[]"), int(port), backlog)
    except OSError as error:
        raise DoorwardError(f"cannot listen on {text}: {error.strerror or 'the address is not usable'}") from None
    return Bound(f"{host}:{sockets[0].getsockname()[1]}", sockets)


def _listen(host: str, port: int, backlog: int) -> list[socket.socket]:
    opened: list[socket.socket] = []
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        for family, _, _, _, address in dict.fromkeys(found):
            opened.append(socket.create_server(cast("tuple[str, int]", address), family=family, backlog=backlog))
    except OSError:
        for each in opened:
            each.close()
        raise
    return opened
