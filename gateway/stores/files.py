"""Tells whether the files that SQLite has open are still the ones at their path, and whole; knows nothing of what is in them.

SQLite holds its files by descriptor: it goes on reading and writing what was deleted, replaced or cut off under it, and nobody
else would ever see what it wrote. They are looked at by path alone, since opening and closing one of them here would give up
SQLite's own locks on it (https://www.sqlite.org/howtocorrupt.html §2.2).
"""

import sqlite3
from pathlib import Path
from typing import Final, final

from gateway.stores.store import StoreUnavailableError

_COMPANIONS: Final = ("-wal", "-shm")


@final
class Files:
    """A database in WAL mode: the file, its log and the index of that log, as they are when this is made.

    SQLite keeps the log and its index for as long as anybody has the database open.
    """

    def __init__(self, path: Path) -> None:
        """Look at them for the first time, after the first transaction has made them. Raises `OSError`."""
        self._paths = (path, *(path.with_name(path.name + ending) for ending in _COMPANIONS))
        self._opened, self._sizes = self._look()
        self._whole = True

    def check(self, connection: sqlite3.Connection) -> None:
        """Raises `StoreUnavailableError`, or the `OSError` or `sqlite3.Error` of looking, if they are not what was opened.

        What was cut off once is never trusted again: SQLite would fill the gap with what it writes next.
        """
        present, sizes = self._look()
        if present != self._opened:
            raise StoreUnavailableError("the file of the store was replaced")
        if any(size < before for size, before in zip(sizes, self._sizes, strict=True)):
            # A VACUUM or a checkpoint by an operator makes files smaller, too. Then everything can still be read.
            self._whole = self._whole and _all_there(connection)
        self._sizes = sizes
        if not self._whole:
            raise StoreUnavailableError("the file of the store was cut off")

    def _look(self) -> tuple[list[tuple[int, int]], list[int]]:
        """Device and inode of each, and the bytes of each."""
        found = [path.stat() for path in self._paths]
        return [(each.st_dev, each.st_ino) for each in found], [each.st_size for each in found]


def _all_there(connection: sqlite3.Connection) -> bool:
    """Read every page anew, and write nothing."""
    connection.execute("PRAGMA shrink_memory")
    try:
        return connection.execute("PRAGMA quick_check(1)").fetchall() == [("ok",)]
    except sqlite3.Error:
        return False
