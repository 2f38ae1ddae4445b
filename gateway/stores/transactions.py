"""The statements of the SQLite store for tasks and tokens, one function for one transaction; knows no thread and no file."""

import json
import sqlite3
from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import Any, Final

from gateway.model import AGENT, TASK, TENANT, TOKEN, Restoration, Revocation
from gateway.stores import stopping
from gateway.stores.store import (
    EXPIRED,
    HEARTBEAT_LOST,
    KEEP_ENDED,
    KEEP_SPENT,
    OPEN,
    PAGE,
    PARENT_ENDED,
    REVOKED,
    Ending,
    IssuedToken,
    Purged,
    TaskEndedError,
    TaskFilter,
    TaskRow,
    TasksOpenError,
    TaskUnknownError,
    TooManyTasksError,
    read_terms,
    terms_of,
)

_TASK: Final = (
    "id, tenant, agent, subject, starter, intents, opened, ends, policy, state, ended, cause, parent, params, due, terms"
)
_OWNER: Final = {AGENT: "agent", TENANT: "tenant"}
_OWN: Final = "tenant IN (SELECT value FROM json_each(?))"
_FORGOTTEN_AT_ONCE: Final = 10_000


def open_task(file: sqlite3.Connection, new: TaskRow, first: IssuedToken | None, most: int) -> None:
    """Keep a task with its first token if there is one, below its parent if it has one."""
    if first is not None:
        stopping.check_epoch(file, first)
    stopping.check_bars(file, new.tenant, new.agent, new.starter)
    ((count,),) = file.execute(
        "SELECT count(*) FROM tasks WHERE state = 'open' AND agent = ? AND tenant = ?", (new.agent, new.tenant)
    )
    if count >= most:
        raise TooManyTasksError(new.agent)
    root = new.id
    if new.parent is not None:
        parent = _open(file, new.parent, new.opened)
        if new.ends > parent.ends or new.tenant != parent.tenant:
            raise ValueError("a child task stays within the life and the tenant of its parent")
        ((root,),) = file.execute("SELECT root FROM tasks WHERE id = ?", (new.parent,))
    file.execute(
        f"INSERT INTO tasks ({_TASK}, root, covered) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",  # noqa: S608 column names only
        (
            new.id, new.tenant, new.agent, new.subject, new.starter, " ".join(new.intents), new.opened, new.ends, new.policy,
            new.state, new.ended, new.cause, new.parent, json.dumps(dict(new.params)), new.due,
            json.dumps(terms_of(new)), root, new.opened if first is None else first.expires,
        ),
    )  # fmt: skip
    if first is not None:
        _keep_token(file, first)


def issue(file: sqlite3.Connection, token: IssuedToken, now: float) -> TaskRow:
    """Keep a token if its task is open, and widen what a revocation of the task has to cover."""
    stopping.check_epoch(file, token)
    found = _open(file, token.task, now)
    stopping.check_bars(file, found.tenant, found.agent, found.starter)
    _keep_token(file, token)
    file.execute("UPDATE tasks SET covered = max(covered, ?) WHERE id = ?", (token.expires, token.task))
    return found


def heartbeat(file: sqlite3.Connection, name: str, due: float, now: float) -> TaskRow:
    """Put off the end of an open task that was heard of."""
    found = _open(file, name, now)
    stopping.check_bars(file, found.tenant, found.agent, found.starter)
    file.execute("UPDATE tasks SET due = ? WHERE id = ?", (due, name))
    return replace(found, due=due)


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
    if row is None or stopping.revocation_of(file, TOKEN, token) is not None:
        return None
    found = task(file, row[0])
    if found is None or found.state != OPEN or now >= found.ends:
        return None
    bars = ((AGENT, found.agent), (AGENT, found.starter), (TENANT, found.tenant))
    return None if any(stopping.revocation_of(file, kind, name, found.tenant) for kind, name in bars) else found


def end_task(file: sqlite3.Connection, name: str, state: str, cause: str, now: float) -> Ending:
    """End an open task and what is below it; each revocation lasts as long as the last of its task's tokens."""
    found = task(file, name)
    if found is None:
        raise TaskUnknownError(name)
    if found.state != OPEN:
        return Ending(found, stopping.revocation_of(file, TASK, name), first=False)
    return _end(file, found, state, cause, now)


def end_tasks_of(file: sqlite3.Connection, kind: str, name: str, tenant: str, cause: str, now: float) -> Sequence[Ending]:
    """End a page of the open tasks of an agent of a tenant, or of all that it has."""
    return _end_each(file, f"{_OWNER[kind]} = ? AND tenant = ?", (name, tenant), REVOKED, cause, now)


def revoke_token(file: sqlite3.Connection, token: str, cause: str, now: float) -> Revocation | None:
    """Revoke one token until it would have expired anyway."""
    earlier = stopping.revocation_of(file, TOKEN, token)
    if earlier is not None:
        return earlier
    row = file.execute(
        "SELECT expires, tenant FROM tokens JOIN tasks ON tasks.id = tokens.task WHERE tokens.id = ?", (token,)
    ).fetchone()
    return None if row is None else stopping.revoke(file, TOKEN, token, row[1], cause, row[0], now)


def restore(file: sqlite3.Connection, kind: str, name: str, tenant: str, now: float) -> Restoration | None:
    """Lift a stop under which nothing is open any more."""
    stopped = stopping.stop_of(file, kind, name, tenant)
    if stopped is None:
        return None
    owner = _OWNER.get(kind)
    open_one = f"SELECT 1 FROM tasks WHERE state = 'open' AND {owner} = ? AND tenant = ?"  # noqa: S608 a column name only
    if owner is not None and file.execute(open_one, (name, tenant)).fetchone():
        raise TasksOpenError(stopped)
    return stopping.restore(file, stopped, tenant, now)


def purge(file: sqlite3.Connection, now: float, tenants: Collection[str]) -> Purged:
    """End what is over or silent, of these tenants or long ago; forget what is spent, and tasks that ended long ago."""
    own, orphaned = json.dumps(list(tenants)), now - KEEP_ENDED
    endings = (
        *_end_each(file, f"ends <= ? AND ({_OWN} OR ends <= ?)", (now, own, orphaned), EXPIRED, EXPIRED, now),
        *_end_each(file, f"due <= ? AND {_OWN}", (now, own), REVOKED, HEARTBEAT_LOST, now),
    )
    file.execute("UPDATE store SET swept = max(swept, ?)", (now,))
    spent, long_ago = now - KEEP_SPENT, now - KEEP_ENDED
    forgotten = [
        file.execute(
            f"DELETE FROM {table} WHERE {key} IN (SELECT {key} FROM {table} WHERE {condition} LIMIT {_FORGOTTEN_AT_ONCE})",  # noqa: S608 names only
            values,
        ).rowcount
        for table, key, condition, values in (
            ("revocations", "seq", "until < ? AND state != 'stopped'", (spent,)),
            ("tokens", "id", "expires < ?", (spent,)),
            ("labels", "task", "task IN (SELECT id FROM tasks WHERE ended < ? AND covered < ?)", (long_ago, spent)),
            ("tasks", "id", "ended < ? AND covered < ?", (long_ago, spent)),
            ("drawn", "key", "until < ?", (spent,)),
            ("places", "rowid", "until < ?", (spent,)),
            ("seen", "key", "until < ?", (spent,)),
        )
    ]
    return Purged(endings, bool(endings) or max(forgotten) >= _FORGOTTEN_AT_ONCE)


def _keep_token(file: sqlite3.Connection, token: IssuedToken) -> None:
    file.execute("INSERT INTO tokens VALUES (?, ?, ?)", (token.id, token.task, token.expires))


def _open(file: sqlite3.Connection, name: str, now: float) -> TaskRow:
    found = task(file, name)
    if found is None:
        raise TaskUnknownError(name)
    if found.state != OPEN:
        raise TaskEndedError(found.state)
    if now >= found.ends:
        raise TaskEndedError(EXPIRED)
    return found


def _end_each(
    file: sqlite3.Connection, condition: str, values: Sequence[str | float], state: str, cause: str, now: float
) -> Sequence[Ending]:
    rows = file.execute(
        f"SELECT {_TASK} FROM tasks WHERE state = 'open' AND {condition} LIMIT ?",  # noqa: S608 names only
        (*values, PAGE),
    ).fetchall()
    endings = list[Ending]()
    for row in rows:
        found = task(file, row[0])
        if found is not None and found.state == OPEN:  # it may have ended just now with its parent
            endings.append(_end(file, found, state, cause, now))
    return tuple(endings)


def _end(file: sqlite3.Connection, found: TaskRow, state: str, cause: str, now: float) -> Ending:
    ended = _end_one(file, found, state, cause, now)
    below, parents = list[Ending](), [found.id]
    how = (state, cause) if state == EXPIRED else (REVOKED, PARENT_ENDED)
    while parents:
        rows = file.execute(f"SELECT {_TASK} FROM tasks WHERE state = 'open' AND parent = ?", (parents.pop(),)).fetchall()  # noqa: S608 column names only
        for child in map(_task, rows):
            below.append(_end_one(file, child, *how, now))
            parents.append(child.id)
    return ended._replace(descendants=tuple(below))


def _end_one(file: sqlite3.Connection, found: TaskRow, state: str, cause: str, now: float) -> Ending:
    """A task past its longest life has expired, whatever is asked for. By a clock that is right its tokens may be good."""
    ended = replace(found, state=state, ended=now, cause=cause)
    if now >= found.ends:
        ended = replace(found, state=EXPIRED, ended=found.ends, cause=EXPIRED)
    file.execute(
        "UPDATE tasks SET state = ?, ended = ?, cause = ? WHERE id = ?", (ended.state, ended.ended, ended.cause, found.id)
    )
    ((covered,),) = file.execute("SELECT covered FROM tasks WHERE id = ?", (found.id,))
    forgotten = state == EXPIRED and covered < now - KEEP_SPENT  # in the same sweep
    revocation = None if forgotten else stopping.revoke(file, TASK, found.id, found.tenant, cause, covered, now)
    return Ending(ended, revocation, first=True)


def _task(row: Sequence[Any]) -> TaskRow:
    name, tenant, agent, subject, starter, intents, opened, ends, policy, state, ended, cause, parent, params, due, terms = row
    return TaskRow(
        id=name, tenant=tenant, agent=agent, subject=subject, starter=starter, intents=tuple(intents.split()),
        opened=opened, ends=ends, policy=policy, state=state, ended=ended, cause=cause, parent=parent,
        params=json.loads(params), due=due, **read_terms(json.loads(terms)),
    )  # fmt: skip
