"""A store whose files are cut off, replaced or taken away under it says so, though SQLite could answer from memory."""

import os
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest
from fakes.authority import NOW, StillClock, build_store, first_token, task_row

from gateway.stores.store import Store, StoreUnavailableError


def settle(file: Path) -> None:
    """Bring everything from the log into the file, lest the log makes good what the file loses."""
    with sqlite3.connect(file) as other:
        other.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    other.close()


def halve(file: Path) -> None:
    os.truncate(file, file.stat().st_size // 2)


def empty(file: Path) -> None:
    os.truncate(file, 0)


def overwrite(file: Path) -> None:
    size = file.stat().st_size
    with file.open("r+b") as opened:
        opened.write(b"\xa5" * size)


def replace(file: Path) -> None:
    beside = file.with_name("beside")
    shutil.copyfile(file, beside)
    beside.rename(file)


TASK = task_row()
TOKEN = first_token(TASK)
FAULTS: dict[str, tuple[Callable[[Path], object], str]] = {
    "cut off": (halve, ""),
    "emptied": (empty, ""),
    "overwritten": (overwrite, ""),
    "deleted": (Path.unlink, ""),
    "replaced by its copy": (replace, ""),
    "log cut off": (halve, "-wal"),
    "log emptied": (empty, "-wal"),
    "log without its last frame": (lambda log: os.truncate(log, log.stat().st_size - 4096), "-wal"),
    "log deleted": (Path.unlink, "-wal"),
    "log replaced by its copy": (replace, "-wal"),
    "index deleted": (Path.unlink, "-shm"),
    "folder removed": (lambda file: shutil.rmtree(file.parent), ""),
}


async def warm(tmp_path: Path) -> tuple[Store, Path]:
    """A store that has all of its pages in memory."""
    store = build_store(tmp_path, StillClock())
    await store.open()
    await store.open_task(TASK, TOKEN)
    await store.end_task(TASK.id, "revoked", "operator", NOW)
    assert (await store.beat()).seq == 1
    return store, tmp_path / "store/doorward.db"


@pytest.mark.parametrize("fault", FAULTS)
async def test_no_heartbeat_without_a_read_of_the_files(tmp_path: Path, fault: str):
    """Each is noticed at the first look, and stays noticed."""
    store, file = await warm(tmp_path)
    do, ending = FAULTS[fault]
    if not ending:
        settle(file)
        await store.beat()  # into memory again
    do(file.with_name(file.name + ending))
    for _ in range(3):
        with pytest.raises(StoreUnavailableError):
            await store.beat()
    await store.close()


async def test_a_file_that_was_cut_off_takes_no_writes(tmp_path: Path):
    """An end that would be written into it is not acknowledged."""
    store, file = await warm(tmp_path)
    settle(file)
    halve(file)
    with pytest.raises(StoreUnavailableError, match="cut off"):
        await store.revoke_token(TOKEN.id, "operator", NOW)
    await store.close()


async def test_a_store_that_an_operator_vacuums_goes_on(tmp_path: Path):
    """Smaller is not cut off, if all pages are there; and it may grow again."""
    store, file = await warm(tmp_path)
    with sqlite3.connect(file) as other:
        other.execute("CREATE TABLE ballast (content TEXT)")
        other.execute("INSERT INTO ballast VALUES (?)", ("x" * 1_000_000,))
        other.commit()
        other.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        assert (await store.beat()).seq == 1
        large = file.stat().st_size
        other.execute("DROP TABLE ballast")
        other.commit()
        other.execute("VACUUM")
        other.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    other.close()
    assert file.stat().st_size < large
    assert (await store.beat()).seq == 1
    await store.stop("agent", "spiffe://acme.example/a", "acme", "operator", NOW + 60, NOW)
    assert (await store.beat()).seq == 2
    await store.close()


async def test_a_file_that_its_log_makes_good_goes_on(tmp_path: Path):
    """All that the file has lost stands in the log: nothing is forgotten, and nobody is refused."""
    store, file = await warm(tmp_path)
    halve(file)
    assert (await store.beat()).seq == 1
    assert [each.seq for each in await store.revocations(0)] == [1]
    await store.close()
    again = build_store(tmp_path, StillClock())
    await again.open()
    assert (await again.beat()).seq == 1
    await again.close()
