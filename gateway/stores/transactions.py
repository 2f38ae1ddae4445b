"""The statements of the SQLite store, one function for one transaction; knows nothing of threads and files."""

import sqlite3
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final

from gateway.errors import DoorwardError
from gateway.model import Revocation
from gateway.stores.store import (
    EXPIRED,
    KEEP_ENDED,
    KEEP_SPENT,
    OPEN,
    PAGE,
    Beat,
    Ending,
    IssuedToken,
    TaskEndedError,
    TaskFilter,
    TaskRow,
    TaskUnknownError,
)

_APPLICATION: Final = 0x44774472
_VERSION: Final = 1

_SCHEMA: Final = """
CREATE TABLE store (epoch TEXT NOT NULL);
CREATE TABLE tasks (
    id TEXT PRIMARY KEY, tenant TEXT NOT NULL, agent TEXT NOT NULL, subject TEXT NOT NULL, starter TEXT NOT NULL,
    intents TEXT NOT NULL, opened REAL NOT NULL, ends REAL NOT NULL, policy TEXT NOT NULL, state TEXT NOT NULL,
    ended REAL, cause TEXT, covered REAL NOT NULL
) WITHOUT ROWID;
CREATE INDEX tasks_by_age ON tasks (opened DESC, id DESC);
CREATE INDEX tasks_open ON tasks (ends) WHERE state = 'open';
CREATE INDEX tasks_ended ON tasks (ended) WHERE ended IS NOT NULL;
CREATE TABLE tokens (id TEXT PRIMARY KEY, task TEXT NOT NULL, expires REAL NOT NULL) WITHOUT ROWID;
CREATE INDEX tokens_by_expiry ON tokens (expires);
CREATE TABLE revocations (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, time REAL NOT NULL, kind TEXT NOT NULL, id TEXT NOT NULL,
    cause TEXT NOT NULL, until REAL NOT NULL, UNIQUE (kind, id)
);
CREATE INDEX revocations_by_end ON revocations (until);
"""

_TASK: Final = "id, tenant, agent, subject, starter, intents, opened, ends, policy, state, ended, cause"
_REVOCATION: Final = "seq, time, kind, id, cause, until"


def prepare(file: sqlite3.Connection, name: str, epoch: str) -> None:
    """Make the tables of an empty file under a new epoch, or check those of an existing one. Raises `DoorwardError`."""
    try:
        ((application,),) = file.execute("PRAGMA application_id")
        ((version,),) = file.execute("PRAGMA user_version")
        ((tables,),) = file.execute("SELECT count(*) FROM sqlite_master")
        file.execute("PRAGMA journal_mode = WAL")
        file.execute("PRAGMA synchronous = FULL")
    except sqlite3.DatabaseError as error:
        if error.sqlite_errorcode == sqlite3.SQLITE_NOTADB:
            raise DoorwardError(f"the store {name} is no database of Doorward; name another path") from None
        raise
    if application == 0 and tables == 0:
        _create(file, epoch)
    elif application != _APPLICATION:
        raise DoorwardError(f"the store {name} is the database of another program; name another path")
    elif version != _VERSION:
        raise DoorwardError(f"the store {name} was written by another version of Doorward; use that version or another path")


def _create(file: sqlite3.Connection, epoch: str) -> None:
    file.execute("BEGIN IMMEDIATE")
    for statement in _SCHEMA.split(";\n"):
        file.execute(statement)
    file.execute("INSERT INTO store VALUES (?)", (epoch,))
    file.execute(f"PRAGMA application_id = {_APPLICATION}")
    file.execute(f"PRAGMA user_version = {_VERSION}")
    file.execute("COMMIT")


def open_task(file: sqlite3.Connection, new: TaskRow, first: IssuedToken) -> None:
    """Keep a task with its first token."""
    file.execute(
        f"INSERT INTO tasks ({_TASK}, covered) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",  # noqa: S608 column names only
        (
            new.id, new.tenant, new.agent, new.subject, new.starter, " ".join(new.intents),
            new.opened, new.ends, new.policy, new.state, new.ended, new.cause, first.expires,
        ),
    )  # fmt: skip
    file.execute("INSERT INTO tokens VALUES (?, ?, ?)", first)


def issue(file: sqlite3.Connection, token: IssuedToken, now: float) -> TaskRow:
    """Keep a token if its task is open, and widen what a revocation of the task has to cover."""
    found = task(file, token.task)
    if found is None:
        raise TaskUnknownError(token.task)
    if found.state != OPEN:
        raise TaskEndedError(found.state)
    if now >= found.ends:
        raise TaskEndedError(EXPIRED)
    file.execute("INSERT INTO tokens VALUES (?, ?, ?)", token)
    file.execute("UPDATE tasks SET covered = max(covered, ?) WHERE id = ?", (token.expires, token.task))
    return found


def task(file: sqlite3.Connection, name: str) -> TaskRow | None:
    """One task by its id."""
    row = file.execute(f"SELECT {_TASK} FROM tasks WHERE id = ?", (name,)).fetchone()  # noqa: S608 column names only
    return None if row is None else _task(row)


def tasks(file: sqlite3.Connection, which: TaskFilter) -> Sequence[TaskRow]:
    """A page of tasks, newest first."""
    conditions, values = ["TRUE"], list[str | float]()
    for column, value in (("tenant", which.tenant), ("agent", which.agent), ("state", which.state)):
        if value is not None:
            conditions.append(f"{column} = ?")
            values.append(value)
    if which.before is not None:
        conditions.append("(opened, id) < (?, ?)")
        values.extend(which.before)
    rows = file.execute(
        f"SELECT {_TASK} FROM tasks WHERE {' AND '.join(conditions)} ORDER BY opened DESC, id DESC LIMIT ?",  # noqa: S608 values are bound
        (*values, max(1, min(which.limit, PAGE))),
    )
    return tuple(_task(row) for row in rows)


def task_of(file: sqlite3.Connection, token: str, now: float) -> TaskRow | None:
    """The open task of a live token."""
    row = file.execute("SELECT task FROM tokens WHERE id = ? AND expires > ?", (token, now)).fetchone()
    if row is None or _revocation_of(file, "token", token) is not None:
        return None
    found = task(file, row[0])
    return found if found is not None and found.state == OPEN and now < found.ends else None


def end_task(file: sqlite3.Connection, name: str, state: str, cause: str, now: float) -> Ending:
    """End an open task and revoke what was issued for it; the revocation lasts as long as the last of its tokens."""
    found = task(file, name)
    if found is None:
        raise TaskUnknownError(name)
    if found.state != OPEN:
        return Ending(found, _revocation_of(file, "task", name), first=False)
    if now >= found.ends:
        return Ending(_expire(file, found), None, first=True)
    ((covered,),) = file.execute("SELECT covered FROM tasks WHERE id = ?", (name,))
    file.execute("UPDATE tasks SET state = ?, ended = ?, cause = ? WHERE id = ?", (state, now, cause, name))
    revocation = _revoke(file, "task", name, cause, now, covered)
    return Ending(replace(found, state=state, ended=now, cause=cause), revocation, first=True)


def revoke_token(file: sqlite3.Connection, token: str, cause: str, now: float) -> Revocation | None:
    """Revoke one token until it would have expired anyway."""
    earlier = _revocation_of(file, "token", token)
    if earlier is not None:
        return earlier
    row = file.execute("SELECT expires FROM tokens WHERE id = ?", (token,)).fetchone()
    return None if row is None else _revoke(file, "token", token, cause, now, row[0])


def revocations(file: sqlite3.Connection, after: int) -> Sequence[Revocation]:
    """A page of revocations in the order in which they were stored."""
    rows = file.execute(f"SELECT {_REVOCATION} FROM revocations WHERE seq > ? ORDER BY seq LIMIT ?", (after, PAGE))  # noqa: S608 column names only
    return tuple(Revocation(*row) for row in rows)


def beat(file: sqlite3.Connection) -> Beat:
    """The epoch and the number of the newest revocation, purged ones included."""
    ((epoch,),) = file.execute("SELECT epoch FROM store")
    row = file.execute("SELECT seq FROM sqlite_sequence WHERE name = 'revocations'").fetchone()
    return Beat(epoch, 0 if row is None else row[0])


def purge(file: sqlite3.Connection, now: float) -> Sequence[TaskRow]:
    """Expire what is over; forget revocations and tokens that are spent, and tasks that ended long ago."""
    rows = file.execute(f"SELECT {_TASK} FROM tasks WHERE state = 'open' AND ends <= ? LIMIT ?", (now, PAGE)).fetchall()  # noqa: S608 column names only
    expired = tuple(_expire(file, _task(row)) for row in rows)
    file.execute("DELETE FROM revocations WHERE until < ?", (now - KEEP_SPENT,))
    file.execute("DELETE FROM tokens WHERE expires < ?", (now - KEEP_SPENT,))
    file.execute("DELETE FROM tasks WHERE ended < ? AND covered < ?", (now - KEEP_ENDED, now - KEEP_SPENT))
    return expired


def _expire(file: sqlite3.Connection, found: TaskRow) -> TaskRow:
    file.execute("UPDATE tasks SET state = ?, ended = ends, cause = ? WHERE id = ?", (EXPIRED, EXPIRED, found.id))
    return replace(found, state=EXPIRED, ended=found.ends, cause=EXPIRED)


def _revoke(file: sqlite3.Connection, kind: str, name: str, cause: str, now: float, until: float) -> Revocation:
    written = file.execute(
        "INSERT INTO revocations (time, kind, id, cause, until) VALUES (?, ?, ?, ?, ?)", (now, kind, name, cause, until)
    )
    if written.lastrowid is None:
        raise sqlite3.IntegrityError("a revocation was written without a number")
    return Revocation(written.lastrowid, now, kind, name, cause, until)


def _revocation_of(file: sqlite3.Connection, kind: str, name: str) -> Revocation | None:
    row = file.execute(f"SELECT {_REVOCATION} FROM revocations WHERE kind = ? AND id = ?", (kind, name)).fetchone()  # noqa: S608 column names only
    return None if row is None else Revocation(*row)


def _task(row: Sequence[Any]) -> TaskRow:
    name, tenant, agent, subject, starter, intents, opened, ends, policy, state, ended, cause = row
    return TaskRow(
        id=name, tenant=tenant, agent=agent, subject=subject, starter=starter, intents=tuple(intents.split()),
        opened=opened, ends=ends, policy=policy, state=state, ended=ended, cause=cause,
    )  # fmt: skip
