"""Keeps tasks and revocations in one SQLite file, or in memory; knows nothing of tokens beyond their ids.

authority:
  store: {sqlite: var/doorward.db}     # or {sqlite: memory}: everything is forgotten when Doorward stops
"""

import asyncio
import os
import sqlite3
import stat
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Annotated, Final, TypeVar

from pydantic import Field, model_validator

from gateway.clock import Clock
from gateway.errors import DoorwardError
from gateway.kind import Config as BaseConfig
from gateway.kind import shorthand
from gateway.model import Restoration, Revocation
from gateway.stores import counting, epochs, schema, stopping, transactions
from gateway.stores.files import Files
from gateway.stores.memory import Memory
from gateway.stores.store import (
    MOST_OPEN,
    Beat,
    Ending,
    Entry,
    IssuedToken,
    Purged,
    Stop,
    Store,
    StoreUnavailableError,
    TaskFilter,
    TaskRow,
)

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
        self.failures = 0
        self._path = path
        self._clock = clock
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="store")
        self._connection: sqlite3.Connection | None = None
        self._files: Files | None = None
        self._memory = Memory()
        self._drawn = ""
        """The rest of the names of epochs that begin since the file was opened; no two of them have one number."""
        self._waiting = 0

    async def open(self) -> None:
        """Make the file, readable by its owner alone, or check that it is a store of this version."""
        loop = asyncio.get_running_loop()
        try:
            self._drawn = self._clock.identifier()
            await loop.run_in_executor(self._worker, self._open)
        except (sqlite3.Error, OSError, StoreUnavailableError) as error:
            raise DoorwardError(
                f"the store {self._path} cannot be used ({error}); check the path and its permissions"
            ) from None

    async def close(self) -> None:
        """Wait for the transactions under way, then close the file."""
        connection, self._connection = self._connection, None
        if connection is not None:
            await asyncio.get_running_loop().run_in_executor(self._worker, self._close, connection)
        self._worker.shutdown()

    async def open_task(self, task: TaskRow, first: IssuedToken | None, most: int = MOST_OPEN) -> None:
        """See `Store.open_task`."""
        await self._write(lambda file: transactions.open_task(file, task, first, most))

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

    async def heartbeat(self, task: str, due: float, now: float) -> TaskRow:
        """See `Store.heartbeat`."""
        return await self._write(lambda file: transactions.heartbeat(file, task, due, now))

    async def end_task(self, task: str, state: str, cause: str, now: float) -> Ending:
        """See `Store.end_task`."""
        return await self._urgent("IMMEDIATE", lambda file: transactions.end_task(file, task, state, cause, now))

    async def end_tasks_of(self, kind: str, name: str, tenant: str, cause: str, now: float) -> Sequence[Ending]:
        """See `Store.end_tasks_of`."""
        return await self._urgent("IMMEDIATE", lambda file: transactions.end_tasks_of(file, kind, name, tenant, cause, now))

    async def revoke_token(self, token: str, cause: str, now: float) -> Revocation | None:
        """See `Store.revoke_token`."""
        return await self._urgent("IMMEDIATE", lambda file: transactions.revoke_token(file, token, cause, now))

    async def stop(self, kind: str, name: str, tenant: str, cause: str, until: float, now: float) -> Revocation:
        """See `Store.stop`."""
        return await self._urgent("IMMEDIATE", lambda file: stopping.stop(file, kind, name, tenant, cause, until, now))

    async def restore(self, kind: str, name: str, tenant: str, now: float) -> Restoration | None:
        """See `Store.restore`."""
        return await self._write(lambda file: transactions.restore(file, kind, name, tenant, now))

    async def stops(self, after: int) -> Sequence[Stop]:
        """See `Store.stops`."""
        return await self._urgent("DEFERRED", lambda file: stopping.stops(file, after))

    async def revocations(self, after: int) -> Sequence[Entry]:
        """See `Store.revocations`."""
        return await self._urgent("DEFERRED", lambda file: stopping.revocations(file, after))

    async def beat(self) -> Beat:
        """See `Store.beat`."""
        return await self._urgent("DEFERRED", stopping.beat, anew=True)

    async def begin_epoch(self, lost: str, seen: int) -> Beat:
        """See `Store.begin_epoch`."""
        return await self._urgent("IMMEDIATE", lambda file: stopping.begin_epoch(file, lost, seen, self._drawn))

    async def look_back(self, now: float) -> Beat:
        """See `Store.look_back`."""
        return await self._urgent("IMMEDIATE", lambda file: stopping.look_back(file, now, self._drawn))

    async def changed(self) -> None:
        """Wait for ever: one authority at a time writes to a file."""
        await asyncio.get_running_loop().create_future()

    async def draw(self, key: str, wanted: int, most: int, until: float, now: float) -> int:
        """See `Store.draw`."""
        return await self._write(lambda file: counting.draw(file, key, wanted, most, until, now))

    async def give_back(self, key: str, amount: int) -> None:
        """See `Store.give_back`."""
        await self._write(lambda file: counting.give_back(file, key, amount))

    async def count(self, amounts: Mapping[str, int], until: float, now: float) -> Mapping[str, int]:
        """See `Store.count`."""
        return await self._write(lambda file: counting.count(file, amounts, until, now))

    async def hold(self, key: str, holder: str, amount: int, *, most: int, until: float, now: float) -> int:
        """See `Store.hold`."""
        return await self._write(lambda file: counting.hold(file, key, holder, amount, most=most, until=until, now=now))

    async def prolong(self, holder: str, until: float, now: float) -> None:
        """See `Store.prolong`."""
        await self._write(lambda file: counting.prolong(file, holder, until, now))

    async def once(self, key: str, until: float, now: float) -> bool:
        """See `Store.once`."""
        return await self._write(lambda file: counting.once(file, key, until, now))

    async def keys(self, mine: Mapping[str, str], until: float, now: float) -> Mapping[str, tuple[str, float]]:
        """See `Store.keys`: nobody else uses the file."""
        return {name: (text, until) for name, text in mine.items() if now < until}

    @property
    def alone(self) -> bool:
        """See `Store.alone`."""
        return True

    async def label(self, task: str, added: Iterable[str]) -> frozenset[str]:
        """See `Store.label`."""
        names = tuple(added)
        return await self._write(lambda file: counting.label(file, task, names))

    async def labels(self, task: str) -> frozenset[str]:
        """See `Store.labels`."""
        return await self._read(lambda file: counting.labels(file, task))

    async def purge(self, now: float, tenants: Collection[str]) -> Purged:
        """See `Store.purge`."""
        return await self._urgent("IMMEDIATE", lambda file: transactions.purge(file, now, tenants))

    async def _read(self, work: Callable[[sqlite3.Connection], T]) -> T:
        return await self._queued("DEFERRED", work)

    async def _write(self, work: Callable[[sqlite3.Connection], T]) -> T:
        return await self._queued("IMMEDIATE", work)

    async def _queued(self, mode: str, work: Callable[[sqlite3.Connection], T]) -> T:
        # What ends access never waits behind a full queue; what asks for more of it does.
        if self._waiting >= _WAITING:
            raise StoreUnavailableError("too many transactions are waiting")
        return await self._urgent(mode, work)

    async def _urgent(self, mode: str, work: Callable[[sqlite3.Connection], T], *, anew: bool = False) -> T:
        if self._connection is None:
            raise StoreUnavailableError("the store is closed")
        self._waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(
                self._worker, partial(self._transact, mode, work, anew=anew)
            )
        finally:
            self._waiting -= 1

    def _transact(self, mode: str, work: Callable[[sqlite3.Connection], T], *, anew: bool) -> T:
        connection = self._connection
        if connection is None:
            raise StoreUnavailableError("the store is closed")
        try:
            if self._files is not None:
                self._files.check(connection)
            if anew:  # SQLite answers from its pages in memory, which proves nothing of the file: let it forget them
                connection.execute("PRAGMA shrink_memory")
            connection.execute(f"BEGIN {mode}")
            try:
                before = connection.total_changes
                reached = stopping.begin(connection, self._memory, self._drawn)
                outcome = work(connection)
                if connection.total_changes > before:
                    reached = stopping.count(connection)
                connection.execute("COMMIT")
            finally:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
        except (sqlite3.Error, OSError) as error:
            self.failures += 1
            raise StoreUnavailableError(str(error)) from error
        self._memory.learn(*reached)
        if anew:
            self._memory.save(synced=True)
        return outcome

    def _open(self) -> None:
        if self._path is not None:
            _make_private(self._path)
            self._memory.load(self._path.with_name(f"memory-of-{self._path.name}.json"))
        self._connection = connection = _connect(":memory:" if self._path is None else str(self._path))
        try:
            remembered = self._memory.epoch
            epoch = epochs.after(remembered, self._drawn)
            schema.prepare(connection, str(self._path or MEMORY), epoch, known=remembered != "")
            self._transact("DEFERRED", stopping.beat, anew=True)
            self._memory.compare(remembered)
            self._files = None if self._path is None else Files(self._path)
        except BaseException:
            self._connection = None
            connection.close()
            raise

    def _close(self, connection: sqlite3.Connection) -> None:
        connection.close()
        with suppress(StoreUnavailableError):  # then that of the last heartbeat stands
            self._memory.save(synced=True)


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
