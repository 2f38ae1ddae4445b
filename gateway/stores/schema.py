"""The tables of the SQLite store and how older ones become these; knows nothing of what happens to the rows."""

import sqlite3
from typing import Final

from gateway.errors import DoorwardError

_APPLICATION: Final = 0x44774472
_VERSION: Final = 6

_TABLES: Final = """
CREATE TABLE store (epoch TEXT NOT NULL, swept REAL NOT NULL DEFAULT 0, written INTEGER NOT NULL DEFAULT 0);
CREATE TABLE tasks (
    id TEXT PRIMARY KEY, tenant TEXT NOT NULL, agent TEXT NOT NULL, subject TEXT NOT NULL, starter TEXT NOT NULL,
    intents TEXT NOT NULL, opened REAL NOT NULL, ends REAL NOT NULL, policy TEXT NOT NULL, state TEXT NOT NULL,
    ended REAL, cause TEXT, covered REAL NOT NULL,
    parent TEXT, root TEXT NOT NULL DEFAULT '', params TEXT NOT NULL DEFAULT '{}', due REAL, terms TEXT NOT NULL DEFAULT '{}'
) WITHOUT ROWID;
CREATE TABLE tokens (id TEXT PRIMARY KEY, task TEXT NOT NULL, expires REAL NOT NULL) WITHOUT ROWID;
CREATE TABLE revocations (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, time REAL NOT NULL, kind TEXT NOT NULL, id TEXT NOT NULL,
    cause TEXT NOT NULL, until REAL NOT NULL, tenant TEXT NOT NULL DEFAULT '', state TEXT NOT NULL DEFAULT 'ended',
    UNIQUE (kind, id, tenant)
);
CREATE INDEX tasks_by_age ON tasks (opened DESC, id DESC);
CREATE INDEX tasks_open ON tasks (ends) WHERE state = 'open';
CREATE INDEX tasks_ended ON tasks (ended) WHERE ended IS NOT NULL;
CREATE INDEX tokens_by_expiry ON tokens (expires);
CREATE INDEX revocations_by_end ON revocations (until)
"""
# What the second version of the tables has besides; the first gets the columns that stand above, too.
_SECOND: Final = """
CREATE INDEX tasks_due ON tasks (due) WHERE state = 'open' AND due IS NOT NULL;
CREATE INDEX tasks_of_agent ON tasks (agent, tenant, state) WHERE state = 'open';
CREATE INDEX tasks_of_tenant ON tasks (tenant) WHERE state = 'open';
CREATE INDEX tasks_of_parent ON tasks (parent) WHERE state = 'open' AND parent IS NOT NULL;
CREATE INDEX stops ON revocations (seq) WHERE state = 'stopped';
CREATE TABLE drawn (key TEXT PRIMARY KEY, amount INTEGER NOT NULL, until REAL NOT NULL) WITHOUT ROWID;
CREATE INDEX drawn_by_end ON drawn (until);
CREATE TABLE places (
    key TEXT NOT NULL, holder TEXT NOT NULL, amount INTEGER NOT NULL, until REAL NOT NULL, PRIMARY KEY (key, holder)
);
CREATE INDEX places_by_holder ON places (holder);
CREATE INDEX places_by_end ON places (until);
CREATE TABLE seen (key TEXT PRIMARY KEY, until REAL NOT NULL) WITHOUT ROWID;
CREATE INDEX seen_by_end ON seen (until);
CREATE TABLE labels (task TEXT NOT NULL, label TEXT NOT NULL, PRIMARY KEY (task, label)) WITHOUT ROWID
"""
_FROM_FIRST: Final = """
ALTER TABLE tasks ADD COLUMN parent TEXT;
ALTER TABLE tasks ADD COLUMN root TEXT NOT NULL DEFAULT '';
ALTER TABLE tasks ADD COLUMN params TEXT NOT NULL DEFAULT '{}';
ALTER TABLE tasks ADD COLUMN due REAL;
UPDATE tasks SET root = id;
ALTER TABLE revocations ADD COLUMN tenant TEXT NOT NULL DEFAULT '';
ALTER TABLE revocations ADD COLUMN state TEXT NOT NULL DEFAULT 'ended'
"""
_FROM_SECOND: Final = "ALTER TABLE tasks ADD COLUMN terms TEXT NOT NULL DEFAULT '{}'"
# Two tenants may stop the same agent, and the numbers of the feed go on.
_FROM_THIRD: Final = """
ALTER TABLE revocations RENAME TO earlier;
CREATE TABLE revocations (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, time REAL NOT NULL, kind TEXT NOT NULL, id TEXT NOT NULL,
    cause TEXT NOT NULL, until REAL NOT NULL, tenant TEXT NOT NULL DEFAULT '', state TEXT NOT NULL DEFAULT 'ended',
    UNIQUE (kind, id, tenant)
);
INSERT INTO revocations SELECT seq, time, kind, id, cause, until, tenant, state FROM earlier;
DELETE FROM sqlite_sequence WHERE name = 'revocations';
INSERT INTO sqlite_sequence SELECT 'revocations', seq FROM sqlite_sequence WHERE name = 'earlier';
DROP TABLE earlier;
CREATE INDEX revocations_by_end ON revocations (until);
CREATE INDEX stops ON revocations (seq) WHERE state = 'stopped';
DROP INDEX tasks_of_agent;
CREATE INDEX tasks_of_agent ON tasks (agent, tenant, state) WHERE state = 'open'
"""
_FROM_FOURTH: Final = "ALTER TABLE store ADD COLUMN swept REAL NOT NULL DEFAULT 0"
_FROM_FIFTH: Final = "ALTER TABLE store ADD COLUMN written INTEGER NOT NULL DEFAULT 0"
_EARLIER: Final = (f"{_FROM_FIRST};{_SECOND}", _FROM_SECOND, _FROM_THIRD, _FROM_FOURTH, _FROM_FIFTH)
"""What makes of each version the one after it, from the first on."""


def prepare(file: sqlite3.Connection, name: str, epoch: str, *, known: bool) -> None:
    """Make the tables of an empty file under a new epoch, or check and bring up to date those of an existing one.

    If a later one is `known` to have stood in its place, an earlier one was put back, and begins the new epoch as well.
    Raises `DoorwardError`.
    """
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
        _make(file, f"{_TABLES};{_SECOND}", "INSERT INTO store (epoch) VALUES (?)", epoch)
    elif application != _APPLICATION:
        raise DoorwardError(f"the store {name} is the database of another program; name another path")
    elif 1 <= version < _VERSION:
        _make(file, ";".join(_EARLIER[version - 1 :]), "UPDATE store SET epoch = ? WHERE ?", epoch, known)
    elif version != _VERSION:
        raise DoorwardError(f"the store {name} was written by another version of Doorward; use that version or another path")


def _make(file: sqlite3.Connection, statements: str, last: str, *values: object) -> None:
    """All of it, or after a kill nothing of it. The `last` statement is given the values."""
    file.execute("BEGIN IMMEDIATE")
    try:
        for statement in statements.split(";"):
            file.execute(statement)
        file.execute(last, values)
        file.execute(f"PRAGMA application_id = {_APPLICATION}")
        file.execute(f"PRAGMA user_version = {_VERSION}")
        file.execute("COMMIT")
    finally:
        if file.in_transaction:
            file.execute("ROLLBACK")
