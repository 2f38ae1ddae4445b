"""Real processes that are killed, frozen and kept from their store: nothing revoked is ever accepted again."""

import asyncio
import os
import signal
import sqlite3

from fakes.installation import Installation
from fakes.revoking import Revoking

from gateway.cli.main import main


def judge(made: Installation, load: Revoking) -> None:
    """The replay decides, by the log and by what was acknowledged; the load has seen no success after an end either."""
    log, noted = made.folder / "var/audit.jsonl", load.note(made.folder / "acknowledged")
    assert main(["audit", "verify", str(log)]) == 0
    assert main(["audit", "replay", "--within", "0", "--acknowledged", str(noted), "--log", str(log)]) == 0
    assert load.revived == []
    assert load.told
    assert load.answered
    assert load.refused


async def test_killed_again_and_again(installation: Installation) -> None:
    """What was acknowledged before a kill is in force after it, and the log knows of it."""
    installation.serve()
    load = Revoking(installation)
    async with load.going_on():
        for _ in range(3):
            await load.until(3)
            await asyncio.to_thread(installation.end, signal.SIGKILL)
            await asyncio.to_thread(installation.serve)
        await load.until(3)
    assert await load.ask_with_the_dead() == {401}
    assert installation.end() == 0
    judge(installation, load)


async def test_frozen_for_longer_than_it_may_be_stale(installation: Installation) -> None:
    """A stopped process has heard nothing meanwhile; it goes on with what it knows from its store."""
    file = installation.folder / "doorward.yaml"
    file.write_text(file.read_text() + "\nfeed: {max_staleness: 2s}\n")
    served = installation.serve()
    load = Revoking(installation)
    async with load.going_on():
        await load.until(3)
        os.kill(served.pid, signal.SIGSTOP)
        await asyncio.sleep(3)
        os.kill(served.pid, signal.SIGCONT)
        await load.until(3)
    assert await load.ask_with_the_dead() == {401}
    assert installation.end() == 0
    judge(installation, load)


async def test_the_store_takes_no_writes(installation: Installation) -> None:
    """While somebody holds the store, no end is acknowledged, and none that was is forgotten."""
    installation.serve()
    load = Revoking(installation)
    (store,) = (installation.folder / "var").rglob("*.db")
    async with load.going_on():
        await load.until(3)
        with sqlite3.connect(store, isolation_level=None) as held:
            held.execute("BEGIN IMMEDIATE")
            await asyncio.sleep(1)
            before = len(load.told)
            await asyncio.sleep(1)
            assert len(load.told) == before
            held.execute("ROLLBACK")
        await load.until(3)
    assert await load.ask_with_the_dead() == {401}
    assert installation.end() == 0
    judge(installation, load)
