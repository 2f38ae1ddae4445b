"""Real processes whose store's files are cut off or taken away: they say that they no longer know, and accept nothing."""

import os
import sqlite3
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from fakes.installation import Installation
from test_many_workers import codes, until, workers_of


def halve(file: Path) -> None:
    os.truncate(file, file.stat().st_size // 2)


def cut(file: Path) -> None:
    """Everything is in the file before, lest its log makes good what it loses."""
    with sqlite3.connect(file) as other:
        other.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    other.close()
    halve(file)


def answers(installation: Installation, token: str) -> set[int | str]:
    """What a few requests are answered; none, where staleness cuts one that is open."""
    try:
        return set(codes(installation, token, 4))
    except subprocess.CalledProcessError:
        return set()


FAULTS: dict[str, tuple[Callable[[Path], object], str, int]] = {
    "cut off": (cut, "", 1),
    "log cut off": (halve, "-wal", 1),
    "deleted": (Path.unlink, "", 1),
    "log deleted, with workers": (Path.unlink, "-wal", 2),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_store_that_cannot_be_read_ends_acceptance(installation: Installation, fault: str) -> None:
    """Past `max_staleness` every request is refused, by every worker, and stays so."""
    do, ending, workers = FAULTS[fault]
    file = installation.folder / "doorward.yaml"
    file.write_text(file.read_text() + "\nfeed: {max_staleness: 2s}\n")
    workers_of(installation, workers)
    installation.serve()
    until(lambda: "requests" in (installation.folder / "serve.log").read_text())
    token = installation.token()
    until(lambda: answers(installation, token) == {200})
    (store,) = (installation.folder / "var").rglob("*.db")
    do(store.with_name(store.name + ending))
    until(lambda: answers(installation, token) == {"revocations_stale"})
    assert set(codes(installation, token)) == {"revocations_stale"}
    assert "store_unavailable" in (installation.folder / "serve.log").read_text()
