"""What the SQLite file promises beyond the contract: permissions, versions, a killed program, a vanished file."""

import asyncio
import json
import os
import shutil
import sqlite3
import stat
import sys
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from fakes.authority import NOW, StillClock, build_store, first_token, task_row

from gateway.errors import DoorwardError
from gateway.stores import epochs, schema, transactions
from gateway.stores.backends import sqlite
from gateway.stores.store import KEEP_SPENT, Above, IssuedToken, Store, StoreUnavailableError

WRITER = """
import asyncio, sys
from pathlib import Path
from gateway.clock import Clock
from gateway.stores.backends import sqlite
from gateway.stores.store import IssuedToken, TaskRow

async def main():
    clock = Clock()
    store = sqlite.build(sqlite.Config(path=sys.argv[1]), resolve=Path, clock=clock)
    await store.open()
    while True:
        now = clock.now()
        task = TaskRow(id=clock.identifier(), tenant="acme", agent="a", subject="a", starter="a", intents=("x",),
                       opened=now, ends=now + 3600, policy="p")
        await store.open_task(task, IssuedToken(clock.identifier(), task.id, now + 300))
        print("opened", task.id, flush=True)
        ending = await store.end_task(task.id, "revoked", "operator", now)
        print("ended", task.id, ending.revocation.seq, flush=True)

asyncio.run(main())
"""


async def test_the_file_is_private(tmp_path: Path):
    """The file and SQLite's companion files are their owner's alone; others can pass the folder but not see into it."""
    before = os.umask(0)
    try:
        store = build_store(tmp_path, StillClock())
        await store.open()
        task = task_row()
        await store.open_task(task, first_token(task))
    finally:
        os.umask(before)
    files = list((tmp_path / "store").iterdir())
    assert len(files) > 1
    assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}
    assert stat.S_IMODE((tmp_path / "store").stat().st_mode) == 0o711
    await store.close()


async def test_everything_acknowledged_survives_kill_9(tmp_path: Path):
    """A program that is killed while it writes has kept each task and revocation whose method had returned."""
    file = tmp_path / "doorward.db"
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-c", WRITER, str(file), stdout=asyncio.subprocess.PIPE, cwd=Path(__file__).parents[3]
    )
    assert child.stdout is not None
    lines = [(await child.stdout.readline()).decode().split() for _ in range(200)]
    child.kill()
    lines += [line.decode().split() for line in (await child.stdout.read()).splitlines(keepends=True) if line.endswith(b"\n")]
    await child.wait()
    store = build_store(tmp_path, StillClock(), where="doorward.db")
    await store.open()
    known = {}
    while page := await store.revocations(max(known.values(), default=0)):
        known |= {entry.id: entry.seq for entry in page}
    for line in lines:
        if line[0] == "ended":
            assert known[line[1]] == int(line[2])
        else:
            assert await store.task(line[1]) is not None
    await store.close()


async def test_the_epoch_lives_in_the_file(tmp_path: Path):
    """Opened again, the store has the same epoch; one that was lost begins the one after it, if that is remembered."""
    epochs = []
    for keep in (True, False, True):
        store = build_store(tmp_path, StillClock())
        await store.open()
        epochs.append((await store.beat()).epoch)
        await store.close()
        if not keep:
            (tmp_path / "store/doorward.db").unlink()
    assert epochs[0] == epochs[1] != epochs[2]
    assert [name[:8] for name in epochs] == ["00000001", "00000001", "00000002"]


FIRST_VERSION = """
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
INSERT INTO store VALUES ('epoch of before');
INSERT INTO tasks VALUES ('old', 'acme', 'a', 'a', 'a', 'x y', 18e8, 1800003600.0, 'p', 'open', NULL, NULL, 1800000300.0);
INSERT INTO tokens VALUES ('first', 'old', 1800000300.0);
INSERT INTO revocations (time, kind, id, cause, until) VALUES (1800000000.0, 'token', 'gone', 'returned', 1800000300.0);
"""


def write_version(version: int, folder: Path, *statements: str) -> None:
    """Make the file that a store of this version has left, by statements that end without a semicolon."""
    file = folder / "doorward.db"
    with closing(sqlite3.connect(file)) as connection:
        marks = ("PRAGMA application_id = 1148666994", f"PRAGMA user_version = {version}")
        connection.executescript(";".join((*statements, *marks)))
    file.chmod(0o600)


async def open_again(folder: Path) -> Store:
    """The store of today on that file."""
    store = build_store(folder, StillClock(), where="doorward.db")
    await store.open()
    return store


async def test_a_file_of_the_first_version_goes_on(tmp_path: Path):
    """Tasks, tokens, revocations and the epoch are those of before, and tasks of before have labels and children, too."""
    write_version(1, tmp_path, FIRST_VERSION)
    for _ in range(2):
        store = await open_again(tmp_path)
        assert await store.beat() == ("epoch of before", 1, 0.0)
        task = await store.task_of("first", NOW)
        assert task is not None
        assert (task.intents, task.parent, task.params, task.due) == (("x", "y"), None, {}, None)
        assert await store.label("old", ["seen"]) == {"seen"}
        assert [entry.mark for entry in await store.revocations(0)] == ["token:gone"]
        await store.close()
    store = await open_again(tmp_path)
    child = task_row(parent="old")
    await store.open_task(child, first_token(child, "child"))
    assert [below.task.id for below in (await store.end_task("old", "failed", "failed", NOW)).descendants] == [child.id]
    await store.close()


async def test_a_file_of_the_second_version_goes_on(tmp_path: Path):
    """Tasks of before have no limits and no ancestors, and new ones have."""
    write_version(2, tmp_path, FIRST_VERSION, schema._FROM_FIRST, schema._SECOND)
    store = await open_again(tmp_path)
    old = await store.task("old")
    assert old is not None
    assert (old.limits, old.above, old.delegated, old.met) == ({}, (), False, ())
    child = task_row(parent="old", above=(Above("old", "a", {}),), limits={"requests": 1})
    await store.open_task(child, first_token(child, "child"))
    assert await store.task(child.id) == child
    await store.close()


async def test_a_file_of_the_third_version_goes_on(tmp_path: Path):
    """Stops stand, and the numbers of the feed go on after those that were forgotten; else every token would die."""
    insert = "INSERT INTO revocations (seq, time, kind, id, cause, until, tenant, state) VALUES"
    write_version(
        3,
        tmp_path,
        *(FIRST_VERSION, schema._FROM_FIRST, schema._SECOND, schema._FROM_SECOND),
        "DELETE FROM revocations",
        f"{insert} (7, 1.0, 'agent', 'stopped agent', 'x', 9e9, 'acme', 'stopped')",
        f"{insert} (9, 1.0, 'agent', 'forgotten', 'x', 9e9, 'acme', 'ended')",
        "DELETE FROM revocations WHERE seq = 9",
    )
    store = await open_again(tmp_path)
    assert (await store.beat()).seq == 9
    (stop,) = await store.stops(0)
    assert (stop.tenant, stop.revocation.seq, stop.revocation.id) == ("acme", 7, "stopped agent")
    assert (await store.stop("agent", "stopped agent", "globex", "operator", 9e9, NOW)).seq == 10
    await store.close()


async def test_a_file_of_the_fourth_version_goes_on(tmp_path: Path):
    """It was swept by a date that nobody has noted, so none is too early; from the next sweep on it is noted."""
    tables = schema._TABLES.replace(", swept REAL NOT NULL DEFAULT 0, written INTEGER NOT NULL DEFAULT 0", "")
    write_version(4, tmp_path, tables, schema._SECOND, "INSERT INTO store VALUES ('epoch of before')")
    store = await open_again(tmp_path)
    assert await store.look_back(0.0) == ("epoch of before", 0, 0.0)
    await store.purge(NOW, ["acme"])
    assert (await store.look_back(NOW - KEEP_SPENT - 1)).epoch != "epoch of before"
    await store.close()


async def test_a_file_of_the_fifth_version_goes_on(tmp_path: Path):
    """Its epoch has a name without a number, and nobody remembers it; from the first write on it is known how far it was."""
    tables = schema._TABLES.replace(", written INTEGER NOT NULL DEFAULT 0", "")
    write_version(5, tmp_path, tables, schema._SECOND, "INSERT INTO store VALUES ('9abcdef0 of before', 0)")
    shutil.copyfile(tmp_path / "doorward.db", tmp_path / "kept")
    for _ in range(2):
        store = await open_again(tmp_path)
        assert (await store.beat()).epoch == "9abcdef0 of before"
        await store.stop("agent", "a", "acme", "operator", 9e9, NOW)
        await store.revoke_token("unknown", "operator", NOW)
        await store.close()
        found = json.loads((tmp_path / "memory-of-doorward.db.json").read_text())
        assert (found["epoch"], found["count"]) == ("9abcdef0 of before", 1), "what changes nothing does not count"
    shutil.copyfile(tmp_path / "kept", tmp_path / "doorward.db")
    store = await open_again(tmp_path)
    assert (await store.beat()).epoch.startswith("9abcdef1")
    await store.close()


async def test_a_file_of_an_earlier_version_that_is_put_back_begins_a_new_epoch(tmp_path: Path):
    """A later one stood in its place. The names of its epochs tell no order: this one only looks like a later epoch."""
    tables = schema._TABLES.replace(", written INTEGER NOT NULL DEFAULT 0", "")
    write_version(5, tmp_path, tables, schema._SECOND, "INSERT INTO store VALUES ('f0f0f0f0 of before', 0)")
    remembered = {"name": "", "epoch": "10101010 of later", "count": 0}
    (tmp_path / "memory-of-doorward.db.json").write_text(json.dumps(remembered))
    store = await open_again(tmp_path)
    assert epochs.number((await store.beat()).epoch) == 0x10101011
    await store.close()


async def test_only_so_much_is_forgotten_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Nobody waits long behind a purge; it says that there is more to do."""
    monkeypatch.setattr(transactions, "_FORGOTTEN_AT_ONCE", 2)
    store = build_store(tmp_path, StillClock(), where="memory")
    await store.open()
    for number in range(5):
        await store.once(str(number), NOW + 1, NOW)
    assert [(await store.purge(NOW + 2 * KEEP_SPENT, ["acme"])).more for _ in range(3)] == [True, True, False]
    await store.close()


def _text(file: Path) -> None:
    file.write_text("no database, " * 100)


def _foreign(file: Path) -> None:
    with sqlite3.connect(file) as connection:
        connection.execute("CREATE TABLE theirs (x)")
    connection.close()


def _newer(file: Path) -> None:
    connection = sqlite3.connect(file)
    connection.execute(f"PRAGMA application_id = {0x44774472}")
    connection.execute("PRAGMA user_version = 99")
    connection.execute("CREATE TABLE later (x)")
    connection.close()


def _open(file: Path) -> None:
    file.write_bytes(b"")
    file.chmod(0o644)


def _folder(file: Path) -> None:
    file.mkdir()


@pytest.mark.parametrize(
    ("prepare", "sentence"),
    [
        (_text, "no database of Doorward"),
        (_foreign, "database of another program"),
        (_newer, "another version of Doorward"),
        (_open, "chmod 600"),
        (_folder, "no regular file"),
    ],
)
async def test_an_unusable_file_is_refused(tmp_path: Path, prepare: Callable[[Path], None], sentence: str):
    """A file that is not ours, is newer, or is open to others stays untouched, and the sentence says what to do."""
    file = tmp_path / "doorward.db"
    prepare(file)
    if file.is_file() and prepare is not _open:
        file.chmod(0o600)
    store = build_store(tmp_path, StillClock(), where="doorward.db")
    with pytest.raises(DoorwardError, match=sentence):
        await store.open()
    await store.close()


async def test_a_file_that_cannot_be_made_is_refused(tmp_path: Path):
    """A path below a file is an error with the path in it."""
    (tmp_path / "file").write_text("")
    store = build_store(tmp_path, StillClock(), where="file/doorward.db")
    with pytest.raises(DoorwardError, match=r"file/doorward\.db cannot be used"):
        await store.open()
    await store.close()


async def test_a_vanished_or_replaced_file_is_unavailable(tmp_path: Path):
    """SQLite would go on writing into a file that nobody can read any more; the store does not."""
    store = build_store(tmp_path, StillClock())
    await store.open()
    task = task_row()
    file = tmp_path / "store/doorward.db"
    file.rename(tmp_path / "away")
    for broken in (False, True):
        if broken:
            file.write_bytes(b"")
        with pytest.raises(StoreUnavailableError):
            await store.beat()
        with pytest.raises(StoreUnavailableError):
            await store.open_task(task, first_token(task))
    (tmp_path / "away").rename(file)
    await store.open_task(task, first_token(task))
    await store.close()


async def test_what_fails_leaves_nothing_behind(tmp_path: Path):
    """A transaction that fails in its middle is undone, and the next one works."""
    store = build_store(tmp_path, StillClock())
    await store.open()
    one, two = task_row(), task_row("2" * 32)
    await store.open_task(one, first_token(one))
    with pytest.raises(StoreUnavailableError):
        await store.open_task(two, IssuedToken("first", two.id, NOW + 1))
    assert await store.task(two.id) is None
    await store.open_task(two, first_token(two, "second"))
    await store.close()


async def test_a_full_queue_refuses_more_access_but_still_ends_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Waiting transactions are bounded, save for those that end access."""
    monkeypatch.setattr(sqlite, "_WAITING", 2)
    store = build_store(tmp_path, StillClock())
    await store.open()
    task = task_row()
    await store.open_task(task, first_token(task))
    asked = [asyncio.ensure_future(store.task(task.id)) for _ in range(3)]
    await asyncio.sleep(0)
    ending = asyncio.ensure_future(store.end_task(task.id, "revoked", "operator", NOW))
    found = await asyncio.gather(*asked, return_exceptions=True)
    assert [type(one).__name__ for one in found] == ["TaskRow", "TaskRow", "StoreUnavailableError"]
    assert (await ending).first
    await store.close()


async def test_a_locked_file_is_unavailable_for_a_while(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Another program that holds the file makes transactions fail after a bounded wait, not hang."""
    real = sqlite3.connect
    monkeypatch.setattr(sqlite.sqlite3, "connect", lambda path, **options: real(path, **{**options, "timeout": 0.05}))
    store = build_store(tmp_path, StillClock())
    await store.open()
    other = real(tmp_path / "store/doorward.db", isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    started = time.monotonic()
    with pytest.raises(StoreUnavailableError):
        await store.revoke_token("x", "returned", NOW)
    assert time.monotonic() - started < 5
    other.execute("ROLLBACK")
    other.close()
    assert await store.revoke_token("x", "returned", NOW) is None
    await store.close()


async def test_open_tasks_of_an_agent_are_counted_from_an_index_alone(tmp_path: Path) -> None:
    """Each task that is opened counts them: with 10,000 of them open, looking each one up took three quarters of the time."""
    store = build_store(tmp_path, StillClock())
    await store.open()
    await store.close()
    (file,) = tmp_path.rglob("*.db")
    with closing(sqlite3.connect(file)) as opened:
        plan = opened.execute(
            "EXPLAIN QUERY PLAN SELECT count(*) FROM tasks WHERE state = 'open' AND agent = ? AND tenant = ?", ("a", "t")
        ).fetchall()
    assert [row[-1].partition(" (")[0] for row in plan] == ["SEARCH tasks USING COVERING INDEX tasks_of_agent"]
