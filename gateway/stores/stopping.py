"""The statements by which the SQLite store revokes and restores, one function for one transaction; knows no tasks."""

import sqlite3
from collections.abc import Sequence
from typing import Any, Final

from gateway.model import AGENT, STOPS, TENANT, Restoration, Revocation
from gateway.stores import epochs
from gateway.stores.memory import Memory
from gateway.stores.store import (
    EPOCH_OVER,
    KEEP_ENDED,
    KEEP_SPENT,
    PAGE,
    BarredError,
    Beat,
    Entry,
    IssuedToken,
    Stop,
    StoreUnavailableError,
)

_ENDED: Final = "ended"
_STOPPED: Final = "stopped"
_RESTORED: Final = "restored"
_ENTRY: Final = "seq, time, kind, id, cause, until, tenant, state"


def revoke(file: sqlite3.Connection, kind: str, name: str, tenant: str, cause: str, until: float, now: float) -> Revocation:
    """Write a revocation, in the place of whatever else is written of the same thing, under a new number."""
    file.execute("DELETE FROM revocations WHERE kind = ? AND id = ? AND tenant = ?", (kind, name, tenant))
    state = _STOPPED if kind in STOPS else _ENDED
    return Revocation(_insert(file, now, kind, name, cause, until, tenant, state), now, kind, name, cause, until, tenant)


def stop(file: sqlite3.Connection, kind: str, name: str, tenant: str, cause: str, until: float, now: float) -> Revocation:
    """Revoke what only a restoration gives back, unless it is revoked for as long already."""
    earlier = revocation_of(file, kind, name, tenant)
    if earlier is not None and earlier.until >= until:
        return earlier
    return revoke(file, kind, name, tenant, cause, until, now)


def stop_of(file: sqlite3.Connection, kind: str, name: str, tenant: str) -> Revocation | None:
    """The stop of one thing that is in force in this tenant."""
    row = file.execute(
        f"SELECT {_ENTRY} FROM revocations WHERE kind = ? AND id = ? AND tenant = ? AND state = ?",  # noqa: S608 column names only
        (kind, name, tenant, _STOPPED),
    ).fetchone()
    return None if row is None else Revocation(*row[:-1])


def restore(file: sqlite3.Connection, stopped: Revocation, tenant: str, now: float) -> Restoration:
    """Write that a stop is lifted, in its place and under a new number."""
    file.execute("DELETE FROM revocations WHERE seq = ?", (stopped.seq,))
    seq = _insert(file, now, stopped.kind, stopped.id, "", now + KEEP_ENDED, tenant, _RESTORED)
    return Restoration(seq, now, stopped.kind, stopped.id, tenant)


def stops(file: sqlite3.Connection, after: int) -> Sequence[Stop]:
    """A page of what is stopped now."""
    rows = file.execute(
        f"SELECT {_ENTRY} FROM revocations WHERE state = 'stopped' AND seq > ? ORDER BY seq LIMIT ?",  # noqa: S608 column names only
        (after, PAGE),
    )
    return tuple(Stop(row[-2], Revocation(*row[:-1])) for row in rows)


def check_bars(file: sqlite3.Connection, tenant: str, *agents: str) -> None:
    """Nothing is issued to an agent or in a tenant that is stopped. Raises `BarredError`."""
    for kind, name in ((TENANT, tenant), *((AGENT, agent) for agent in agents)):
        barred = revocation_of(file, kind, name, tenant)
        if barred is not None:
            raise BarredError(barred)


def check_epoch(file: sqlite3.Connection, token: IssuedToken) -> None:
    """A token is kept in the epoch that it carries, if it carries one. Raises `StoreUnavailableError`."""
    if token.epoch and token.epoch != beat(file).epoch:
        raise StoreUnavailableError(EPOCH_OVER)


def revocations(file: sqlite3.Connection, after: int) -> Sequence[Entry]:
    """A page of the feed in the order in which it was stored."""
    rows = file.execute(f"SELECT {_ENTRY} FROM revocations WHERE seq > ? ORDER BY seq LIMIT ?", (after, PAGE))  # noqa: S608 column names only
    return tuple(_entry(row) for row in rows)


def revocation_of(file: sqlite3.Connection, kind: str, name: str, tenant: str | None = None) -> Revocation | None:
    """The revocation of one thing that is in force; in this tenant, where others may call something else the same."""
    row = file.execute(
        f"SELECT {_ENTRY} FROM revocations WHERE kind = ? AND id = ? AND state != 'restored' AND tenant = coalesce(?, tenant)",  # noqa: S608 column names only
        (kind, name, tenant),
    ).fetchone()
    return None if row is None else Revocation(*row[:-1])


def beat(file: sqlite3.Connection) -> Beat:
    """The epoch, the number of the newest entry, purged ones included, and the time of the latest purge."""
    ((epoch, swept),) = file.execute("SELECT epoch, swept FROM store")
    row = file.execute("SELECT seq FROM sqlite_sequence WHERE name = 'revocations'").fetchone()
    return Beat(epoch, 0 if row is None else row[0], swept)


def begin(file: sqlite3.Connection, memory: Memory, drawn: str) -> tuple[str, int]:
    """What comes first in each transaction: a new epoch if the store was set back behind what is remembered of it.

    Returns the epoch and how many transactions have written.
    """
    ((epoch, written),) = file.execute("SELECT epoch, written FROM store")
    if memory.exceeds(epoch, written):
        epoch = _begin_after(file, memory.epoch, drawn)
    return epoch, written


def count(file: sqlite3.Connection) -> tuple[str, int]:
    """What comes last in a transaction that has written; returns the same of what is kept now."""
    file.execute("UPDATE store SET written = written + 1")
    ((epoch, written),) = file.execute("SELECT epoch, written FROM store")
    return epoch, written


def begin_epoch(file: sqlite3.Connection, lost: str, seen: int, drawn: str) -> Beat:
    """A new epoch if that of `lost` is still the one and does not reach to what was seen of it."""
    found = beat(file)
    if found.epoch == lost and found.seq < seen:
        _begin_after(file, lost, drawn)
    return beat(file)


def look_back(file: sqlite3.Connection, now: float, drawn: str) -> Beat:
    """A new epoch if the last sweep was at a time so much later that it has forgotten what could be good again."""
    found = beat(file)
    if found.swept > now + KEEP_SPENT:
        _begin_after(file, found.epoch, drawn)
        file.execute("UPDATE store SET swept = ?", (now,))
    return beat(file)


def _begin_after(file: sqlite3.Connection, lost: str, drawn: str) -> str:
    epoch = epochs.after(lost, drawn)
    file.execute("UPDATE store SET epoch = ?", (epoch,))
    return epoch


def _insert(file: sqlite3.Connection, *values: object) -> int:
    written = file.execute(
        "INSERT INTO revocations (time, kind, id, cause, until, tenant, state) VALUES (?, ?, ?, ?, ?, ?, ?)", values
    )
    if written.lastrowid is None:
        raise sqlite3.IntegrityError("a revocation was written without a number")
    return written.lastrowid


def _entry(row: Sequence[Any]) -> Entry:
    seq, time, kind, name, cause, until, tenant, state = row
    if state == _RESTORED:
        return Restoration(seq, time, kind, name, tenant)
    return Revocation(seq, time, kind, name, cause, until, tenant)
