"""What was stopped stays stopped though the store forgets it: an authority puts it back before tokens are good again."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any, cast

import pytest
from fakes.authority import AGENT, NOW, Log, StillClock, build_store, first_token, task_row
from fakes.redis_server import RedisProcess, need_redis

from gateway.authority.ending import Endings
from gateway.authority.feed import Feed
from gateway.authority.kept_stops import MOST, KeptStops
from gateway.authority.recording import Recorder
from gateway.authority.stopping import Stops
from gateway.model import FOREVER, Restoration, Revocation
from gateway.stores.store import BarredError, Stop, Store, StoreUnavailableError


class One:
    """One of two authorities of a store, as far as it stops what is there."""

    def __init__(self, store: Store) -> None:
        clock = StillClock()
        self.store = store
        self.feed = Feed(store, clock, issuer="i", jwks={}, tenants=frozenset(("acme",)))
        self.endings = Endings(store=store, feed=self.feed, recorder=Recorder(Log()), clock=clock)
        self.stops = Stops(store=store, endings=self.endings, tenant="acme", clock=clock)

    async def stopped(self) -> list[str]:
        return [stop.revocation.id for stop in await self.stops.page(0)]


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[RedisProcess]:
    need_redis()
    server = RedisProcess(tmp_path / "server").start()
    yield server
    server.kill()


@pytest.fixture
async def both(tmp_path: Path, redis: RedisProcess) -> AsyncIterator[tuple[One, One]]:
    """Two authorities of one server; none beats by itself."""
    made = [One(build_store(tmp_path / name, StillClock(), "redis", redis.url)) for name in ("a", "b")]
    for one in made:
        await one.store.open()
        await one.feed.start()
    yield made[0], made[1]
    for one in made:
        await one.store.close()


async def test_a_stop_outlives_an_emptied_store(redis: RedisProcess, both: tuple[One, One]) -> None:
    """In the new epoch the agent gets nothing either, until an operator restores it."""
    here, _ = both
    before = here.feed.epoch
    await here.stops.stop("agent", AGENT, "operator", None, by="alice")
    assert redis.ask("FLUSHALL") == "+OK"
    await here.feed.beat()
    assert here.feed.epoch != before
    task = task_row("1" * 32)
    with pytest.raises(BarredError):
        await here.store.open_task(task, first_token(task, "1" * 32))
    assert await here.stops.restore("agent", AGENT, by="alice") is not None
    await here.store.open_task(task, first_token(task, "1" * 32))


async def test_whoever_has_found_it_puts_it_back(redis: RedisProcess, both: tuple[One, One]) -> None:
    """The authority that gave it may be gone: the others know from their sweeps."""
    here, there = both
    await here.stops.stop("agent", AGENT, "operator", NOW + 60.0, by="alice")
    await there.endings.expire()
    assert redis.ask("FLUSHALL") == "+OK"
    await there.feed.beat()
    (stop,) = await there.stops.page(0)
    assert (stop.revocation.id, stop.revocation.cause, stop.revocation.until) == (AGENT, "operator", NOW + 60.0)


async def test_what_was_restored_is_not_put_back(redis: RedisProcess, both: tuple[One, One]) -> None:
    """By whichever authority it was restored."""
    here, there = both
    await here.stops.stop("agent", AGENT, "operator", None, by="alice")
    await here.stops.stop("tenant", "acme", "operator", None, by="alice")
    assert await here.stops.restore("tenant", "acme", by="alice") is not None
    assert await there.stops.restore("agent", AGENT, by="bob") is not None
    await here.feed.beat()
    assert redis.ask("FLUSHALL") == "+OK"
    await here.feed.beat()
    assert await here.stopped() == []


async def test_an_emptied_store_does_not_teach_that_nothing_is_stopped(redis: RedisProcess, both: tuple[One, One]) -> None:
    """A sweep that finds nothing first looks whether this is the store that it knew."""
    here, _ = both
    await here.stops.stop("agent", AGENT, "operator", None, by="alice")
    assert redis.ask("FLUSHALL") == "+OK"
    await here.endings.expire()
    assert await here.stopped() == [AGENT]


async def test_no_epoch_is_told_before_its_stops_are_back(redis: RedisProcess, both: tuple[One, One]) -> None:
    """If they cannot be put back now, no token is good now."""
    here, _ = both
    before = here.feed.epoch
    await here.stops.stop("agent", AGENT, "operator", None, by="alice")
    assert redis.ask("FLUSHALL") == "+OK"
    kept: Any = here.feed.stops
    kept._store = cast("Store", Unwilling())
    await here.feed.beat()
    assert (here.feed.epoch, here.feed.reading) == (before, False)
    kept._store = here.store
    await here.feed.beat()
    assert here.feed.epoch != before
    assert here.feed.reading


class Unwilling:
    """A store that takes no stop."""

    async def stop(self, *_: object) -> Revocation:
        raise StoreUnavailableError("not now")


def stop_of(name: str) -> Stop:
    return Stop("acme", Revocation(1, NOW, "agent", name, "operator", FOREVER))


async def test_so_many_are_remembered_and_no_more(tmp_path: Path) -> None:
    """The oldest make room; what changed while the store was read is not overwritten by what was read."""
    store = build_store(tmp_path, StillClock())
    await store.open()
    kept = KeptStops(store, StillClock())
    for number in range(MOST + 3):
        kept.note(stop_of(str(number)))
    changes = kept.changes
    kept.heard(Restoration(2, NOW, "agent", "7", "acme"))
    kept.renew([stop_of("7")], changes)
    await kept.put_back()
    kept_names = set()
    after = 0
    while page := await store.stops(after):
        kept_names |= {stop.revocation.id for stop in page}
        after = page[-1].revocation.seq
    assert len(kept_names) == MOST - 1
    assert kept_names.isdisjoint({"0", "1", "2", "7"})
    await store.close()
