"""Keeps tasks and revocations in one SQLite file, or in memory; knows nothing of tokens beyond their ids.

authority:
  store: {sqlite: var/doorward.db}     # or {sqlite: memory}: everything is forgotten when Doorward stops
"""

import asyncio
import os
import sqlite3
import stat
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Annotated, Final, TypeVar

from pydantic import Field, model_validator

from gateway.clock import Clock
from gateway.errors import DoorwardError
from gateway.kind import Config as BaseConfig
from gateway.kind import shorthand
from gateway.model import Revocation
from gateway.stores import transactions
from gateway.stores.store import Beat, Ending, IssuedToken, Store, StoreUnavailableError, TaskFilter, TaskRow

T = TypeVar("T")

MEMORY: Final = "memory"
_WAITING: Final = 1024


class Config(BaseConfig):
    """A SQLite file on this host."""

    path: Annotated[str, Field(min_length=1)]
    """The file, or `memory` for a store that ends with Doorward and with it every task."""

    _expand = model_validator(mode="before")(shorthand("path"))


class SqliteStore:
    """One file, one connection, one thread: a transaction runs alone, from its first statement to its commit."""

    def __init__(self, path: Path | None, clock: Clock) -> None:
        """`path` is None for a store in memory."""
        self.folder: Path | None = None if path is None else path.parent
        self._path = path
        self._clock = clock
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="store")
        self._connection: sqlite3.Connection | None = None
        self._file: tuple[int, int] | None = None
        self._waiting = 0

    async def open(self) -> None:
        """Make the file, readable by its owner alone, or check that it is a store of this version."""
        loop = asyncio.get_running_loop()
        try:
            await loop.run_in_executor(self._worker, self._open)
        except (sqlite3.Error, OSError) as error:
            raise DoorwardError(
                f"the store {self._path} cannot be used ({error}); check the path and its permissions"
            ) from None

    async def close(self) -> None:
        """Wait for the transactions under way, then close the file."""
        connection, self._connection = self._connection, None
        if connection is not None:
            await asyncio.get_running_loop().run_in_executor(self._worker, connection.close)
        self._worker.shutdown()

    async def open_task(self, task: TaskRow, first: IssuedToken) -> None:
        """See `Store.open_task`."""
        await self._write(lambda file: transactions.open_task(file, task, first))

    async def issue(self, token: IssuedToken, now: float) -> TaskRow:
        """See `Store.issue`."""
        return await self._write(lambda file: transactions.issue(file, token, now))

    async def task(self, task: str) -> TaskRow | None:
        """See `Store.task`."""
        return await self._read(lambda file: transactions.task(file, task))

    async def tasks(self, which: TaskFilter) -> Sequence[TaskRow]:
        """See `Store.tasks`."""
        return await self._read(lambda file: transactions.tasks(file, which))

    async def task_of(self, token: str, now: float) -> TaskRow | None:
        """See `Store.task_of`."""
        return await self._read(lambda file: transactions.task_of(file, token, now))

    async def end_task(self, task: str, state: str, cause: str, now: float) -> Ending:
        """See `Store.end_task`."""
        return await self._urgent("IMMEDIATE", lambda file: transactions.end_task(file, task, state, cause, now))

    async def revoke_token(self, token: str, cause: str, now: float) -> Revocation | None:
        """See `Store.revoke_token`."""
        return await self._urgent("IMMEDIATE", lambda file: transactions.revoke_token(file, token, cause, now))

    async def revocations(self, after: int) -> Sequence[Revocation]:
        """See `Store.revocations`."""
        return await self._urgent("DEFERRED", lambda file: transactions.revocations(file, after))

    async def beat(self) -> Beat:
        """See `Store.beat`."""
        return await self._urgent("DEFERRED", transactions.beat)

    async def purge(self, now: float) -> Sequence[TaskRow]:
        """See `Store.purge`."""
        return await self._urgent("IMMEDIATE", lambda file: transactions.purge(file, now))

    async def _read(self, work: Callable[[sqlite3.Connection], T]) -> T:
        return await self._queued("DEFERRED", work)

    async def _write(self, work: Callable[[sqlite3.Connection], T]) -> T:
        return await self._queued("IMMEDIATE", work)

    async def _queued(self, mode: str, work: Callable[[sqlite3.Connection], T]) -> T:
        # What ends access never waits behind a full queue; what asks for more of it does.
        if self._waiting >= _WAITING:
            raise StoreUnavailableError("too many transactions are waiting")
        return await self._urgent(mode, work)

    async def _urgent(self, mode: str, work: Callable[[sqlite3.Connection], T]) -> T:
        if self._connection is None:
            raise StoreUnavailableError("the store is closed")
        self._waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._worker, self._transact, mode, work)
        finally:
            self._waiting -= 1

    def _transact(self, mode: str, work: Callable[[sqlite3.Connection], T]) -> T:
        connection = self._connection
        if connection is None:
            raise StoreUnavailableError("the store is closed")
        try:
            self._check_file()
            connection.execute(f"BEGIN {mode}")
            try:
                outcome = work(connection)
                connection.execute("COMMIT")
            finally:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
        except (sqlite3.Error, OSError) as error:
            raise StoreUnavailableError(str(error)) from error
        return outcome

    def _open(self) -> None:
        if self._path is not None:
            _make_private(self._path)
        connection = _connect(":memory:" if self._path is None else str(self._path))
        try:
            transactions.prepare(connection, str(self._path or MEMORY), self._clock.identifier())
        except BaseException:
            connection.close()
            raise
        if self._path is not None:
            opened = self._path.stat()
            self._file = (opened.st_dev, opened.st_ino)
        self._connection = connection

    def _check_file(self) -> None:
        """A file that was deleted or replaced still takes writes, which nobody would ever read again."""
        if self._path is None:
            return
        present = self._path.stat()
        if (present.st_dev, present.st_ino) != self._file:
            raise StoreUnavailableError("the file of the store was replaced")


def build(config: Config, *, resolve: Callable[[str], Path], clock: Clock) -> Store:
    """The store that was configured, still closed. `resolve` finds a path relative to the configuration."""
    return SqliteStore(None if config.path == MEMORY else resolve(config.path), clock)


def _connect(path: str) -> sqlite3.Connection:
    # Opened, used and closed by the one worker thread, except that the interpreter may collect it elsewhere.
    return sqlite3.connect(path, timeout=5.0, isolation_level=None, check_same_thread=False)


def _make_private(path: Path) -> None:
    """Create the file for its owner alone; SQLite gives its companion files the same permissions."""
    # Agents under other users get through to the authority's socket, which may stand beside; the store itself is private.
    path.parent.mkdir(parents=True, mode=0o711, exist_ok=True)
    try:
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, 0o600))
    except FileExistsError:
        found = path.stat()
        if not stat.S_ISREG(found.st_mode):
            raise DoorwardError(f"the store {path} is no regular file; name another path") from None
        if found.st_mode & 0o077:
            raise DoorwardError(f"the store {path} is open to other users; run: chmod 600 {path}") from None
