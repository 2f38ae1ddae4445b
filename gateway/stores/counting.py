"""The statements by which the SQLite store counts, remembers and labels, one for each transaction; knows no revocation."""

import sqlite3
from collections.abc import Iterable, Mapping

from gateway.stores.store import TaskUnknownError


def draw(file: sqlite3.Connection, key: str, wanted: int, most: int, until: float, now: float) -> int:
    """Take what is left, up to what is wanted."""
    row = file.execute("SELECT amount, until FROM drawn WHERE key = ?", (key,)).fetchone()
    amount, lasts = (0, until) if row is None or row[1] <= now else row
    taken = max(0, min(wanted, most - amount))
    file.execute("INSERT OR REPLACE INTO drawn VALUES (?, ?, ?)", (key, amount + taken, max(until, lasts)))
    return taken


def give_back(file: sqlite3.Connection, key: str, amount: int) -> None:
    """Nothing is given back that was not drawn."""
    file.execute("UPDATE drawn SET amount = max(0, amount - ?) WHERE key = ?", (max(0, amount), key))


def count(file: sqlite3.Connection, amounts: Mapping[str, int], until: float, now: float) -> dict[str, int]:
    """What was counted before, beside what is now."""
    before: dict[str, int] = {}
    for key, amount in amounts.items():
        row = file.execute("SELECT amount, until FROM drawn WHERE key = ?", (key,)).fetchone()
        before[key], lasts = (0, until) if row is None or row[1] <= now else row
        file.execute("INSERT OR REPLACE INTO drawn VALUES (?, ?, ?)", (key, before[key] + amount, max(until, lasts)))
    return before


def hold(
    file: sqlite3.Connection, key: str, holder: str, amount: int, *, most: int, until: float, now: float
) -> int:  # fmt: skip
    """Let the holder have what others leave, up to what is wanted; who held it too long ago holds it no more."""
    file.execute("DELETE FROM places WHERE key = ? AND (until <= ? OR holder = ?)", (key, now, holder))
    ((others,),) = file.execute("SELECT coalesce(sum(amount), 0) FROM places WHERE key = ?", (key,))
    held: int = max(0, min(amount, most - others))
    if held:
        file.execute("INSERT INTO places VALUES (?, ?, ?, ?)", (key, holder, held, until))
    return held


def prolong(file: sqlite3.Connection, holder: str, until: float, now: float) -> None:
    """What was given up meanwhile stays so."""
    file.execute("UPDATE places SET until = ? WHERE holder = ? AND until > ?", (until, holder, now))


def once(file: sqlite3.Connection, key: str, until: float, now: float) -> bool:
    """Whether this key is seen for the first time."""
    row = file.execute("SELECT until FROM seen WHERE key = ?", (key,)).fetchone()
    first = row is None or row[0] <= now
    file.execute("INSERT OR REPLACE INTO seen VALUES (?, ?)", (key, until if first else max(until, row[0])))
    return first


def label(file: sqlite3.Connection, task: str, added: Iterable[str]) -> frozenset[str]:
    """Labels belong to the whole family of a task, so they are kept with its first ancestor."""
    root = _root(file, task)
    file.executemany("INSERT OR IGNORE INTO labels VALUES (?, ?)", [(root, name) for name in added])
    return _labels(file, root)


def labels(file: sqlite3.Connection, task: str) -> frozenset[str]:
    """All labels of the family of a task."""
    return _labels(file, _root(file, task))


def _labels(file: sqlite3.Connection, root: str) -> frozenset[str]:
    return frozenset(name for (name,) in file.execute("SELECT label FROM labels WHERE task = ?", (root,)))


def _root(file: sqlite3.Connection, task: str) -> str:
    row = file.execute("SELECT root FROM tasks WHERE id = ?", (task,)).fetchone()
    if row is None:
        raise TaskUnknownError(task)
    root: str = row[0]
    return root
