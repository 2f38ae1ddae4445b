"""Makes and removes socket files: never wider open than asked, never over something else; knows nothing of who connects."""

import os
import socket
import stat
from contextlib import suppress
from pathlib import Path
from typing import Final

from gateway.errors import DoorwardError

OWNER_ONLY: Final = 0o600
EVERY_USER: Final = 0o666
"""Any local user may connect, and the kernel tells who does; the folder may still narrow it."""
FOLDER: Final = 0o711
"""Who may open a socket has to get through its folder, but need not see what else is in it."""
_PROBE_SECONDS: Final = 1.0


def bind(path: Path, mode: int) -> socket.socket:
    """A listening-ready socket file that never has wider permissions than `mode`, not even between its making and a chmod.

    What a killed run has left is removed. Raises `DoorwardError` if something else is there, and `OSError`.
    """
    path.parent.mkdir(parents=True, mode=FOLDER, exist_ok=True)
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


def inode(path: Path) -> int:
    """What tells this socket file from another one at the same path."""
    return path.lstat().st_ino


def remove(path: Path, made: int) -> None:
    """Remove our own socket file, and not one that somebody else has put there since."""
    with suppress(FileNotFoundError):
        if inode(path) == made:
            path.unlink()


def _clear(path: Path) -> None:
    """Remove a socket that nobody listens on, and nothing else."""
    try:
        found = path.lstat()
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(found.st_mode):
        raise DoorwardError(f"cannot listen on unix:{path}: the file there is no socket; remove it or name another path")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(_PROBE_SECONDS)
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            path.unlink()
            return
        except TimeoutError:
            pass
    raise DoorwardError(f"cannot listen on unix:{path}: another program listens there; stop it first")
