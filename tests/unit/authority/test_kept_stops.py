"""What was stopped stays stopped though the store forgets it: an authority puts it back before tokens are good again."""

import asyncio
from pathlib import Path
from typing import Any, cast

import pytest
from fakes.authority import AGENT, NOW, StillClock, build_store, first_token, task_row
from fakes.redis_server import RedisProcess
from fakes.shared_authorities import One

from gateway.authority import kept_stops
from gateway.authority.kept_stops import MOST, KeptStops
from gateway.model import FOREVER, Restoration, Revocation
from gateway.stores.store import BarredError, Stop, Store, StoreUnavailableError

OTHER = f"{AGENT}-2"


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


async def test_a_stop_that_comes_while_others_are_put_back_is_kept(redis: RedisProcess, both: tuple[One, One]) -> None:
    """It was stored before the store was emptied, and its answer comes late: whoever gave it was told that it holds."""
    here, _ = both
    await here.stops.stop("agent", AGENT, "operator", None, by="alice")
    late = asyncio.Event()
    given: asyncio.Future[Revocation]

    async def empty_and_wait() -> None:
        assert redis.ask("FLUSHALL") == "+OK"
        await late.wait()

    async def let_it_come() -> None:
        late.set()
        await given

    here.faulty.faults["stop"] = empty_and_wait
    given = asyncio.ensure_future(here.stops.stop("agent", OTHER, "operator", None, by="alice"))
    while "stop" in here.faulty.faults:
        await asyncio.sleep(0.001)
    here.faulty.faults["stop"] = let_it_come  # within the putting back of the first one
    await here.feed.beat()
    assert given.done()
    assert await here.stopped() == [AGENT, OTHER]


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


class Slow:
    """A store that takes each stop when it is let go on, and says how often it was asked."""

    def __init__(self) -> None:
        self.asked, self.puts = 0, asyncio.Queue[Exception | None]()

    async def stop(self, *asked: Any) -> Revocation:
        self.asked += 1
        if (failure := await self.puts.get()) is not None:
            raise failure
        kind, name, _, cause, until, now = asked
        return Revocation(1, now, kind, name, cause, until)


class Putting:
    """Stops of one agent that several put back into a slow store."""

    def __init__(self) -> None:
        self.store = Slow()
        self.kept = KeptStops(cast("Store", self.store), StillClock())
        self.kept.note(stop_of(AGENT))

    async def begin(self, *epochs: str) -> list[asyncio.Task[int]]:
        tasks = [asyncio.ensure_future(self.kept.put_back(epoch)) for epoch in epochs]
        for _ in range(4):
            await asyncio.sleep(0)
        return tasks


async def test_one_puts_back_for_all() -> None:
    """Who comes meanwhile is told how many changes there were when it began, and not when it came."""
    putting = Putting()
    (first,) = await putting.begin("e")
    putting.kept.note(stop_of(OTHER))
    others = await putting.begin("e", "e")
    assert putting.store.asked == 1
    putting.store.puts.put_nowait(None)
    assert await asyncio.gather(first, *others) == [1, 1, 1]
    assert (putting.store.asked, putting.kept.changes) == (1, 2)


async def test_who_is_left_by_one_that_was_cancelled_puts_back() -> None:
    """Nobody takes what was begun for done, and again it is one that does it."""
    putting = Putting()
    first, second, third = await putting.begin("e", "e", "e")
    first.cancel()
    await putting.begin()
    assert putting.store.asked == 2
    putting.store.puts.put_nowait(None)
    assert await asyncio.gather(second, third) == [1, 1]
    assert (first.cancelled(), putting.store.asked) == (True, 2)


async def test_a_failure_to_put_back_is_everybodys() -> None:
    """And the next who comes tries again."""
    putting = Putting()
    tasks = await putting.begin("e", "e")
    putting.store.puts.put_nowait(StoreUnavailableError("not now"))
    outcomes = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [StoreUnavailableError] * 2
    putting.store.puts.put_nowait(None)
    assert await putting.kept.put_back("e") == 1
    assert putting.store.asked == 2


async def test_what_is_put_back_into_another_epoch_is_not_enough() -> None:
    """The store was emptied once more: the next one begins when that is over."""
    putting = Putting()
    tasks = await putting.begin("e", "f", "f")
    assert putting.store.asked == 1
    putting.store.puts.put_nowait(None)
    await putting.begin()
    assert ([task.done() for task in tasks], putting.store.asked) == ([True, False, False], 2)
    putting.store.puts.put_nowait(None)
    assert await asyncio.gather(*tasks) == [1, 1, 1]
    assert putting.store.asked == 2


async def test_nobody_waits_for_ever_for_what_another_one_puts_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """A store that answers nothing holds up only who asks it; who was held up is told that it is not available."""
    monkeypatch.setattr(kept_stops, "PATIENCE", 0.01)
    putting = Putting()
    first, second = await putting.begin("e", "e")
    with pytest.raises(StoreUnavailableError, match="still being put back"):
        await second
    putting.store.puts.put_nowait(None)
    assert await first == 1


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
    await kept.put_back("e")
    kept_names = set()
    after = 0
    while page := await store.stops(after):
        kept_names |= {stop.revocation.id for stop in page}
        after = page[-1].revocation.seq
    assert len(kept_names) == MOST - 1
    assert kept_names.isdisjoint({"0", "1", "2", "7"})
    await store.close()
