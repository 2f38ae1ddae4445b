"""A shared Redis that is emptied between a revocation and its way back: whoever acknowledges has told its own gateways."""

import asyncio
from pathlib import Path

import pytest
from fakes.authority import AGENT, NOW, Gateway, StillClock, build_store
from fakes.redis_server import RedisProcess
from fakes.shared_authorities import One

from gateway.authority.feed import AHEAD
from gateway.authority.outlet import Outlet
from gateway.stores.store import StoreUnavailableError

TASKS = tuple(f"{number:032x}" for number in range(8))


async def test_what_is_acknowledged_is_refused_though_the_store_forgot_it(redis: RedisProcess, both: tuple[One, One]):
    """Stored after something of another authority, then all is gone before that was read: the gateway knows on return."""
    here, there = both
    await here.keep(*TASKS[:2])
    before = here.feed.epoch
    await there.endings.end(TASKS[0], "failed", "failed", by=AGENT)
    assert here.accepts(TASKS[1], before)

    async def empty() -> None:
        assert redis.ask("FLUSHALL") == "+OK"

    here.faulty.faults["end_task"] = empty
    assert (await here.endings.end(TASKS[1], "completed", "completed", by=AGENT)).task.state == "completed"
    assert f"task:{TASKS[1]}" in here.standing.ended
    assert not here.accepts(TASKS[1], before)
    assert not here.accepts(TASKS[0], before)  # nor what the other one has acknowledged, for the epoch is told, too


async def test_the_store_is_emptied_while_it_is_read(redis: RedisProcess, both: tuple[One, One]):
    """Its number was read, its entries are gone: that is no proof of having heard them."""
    here, there = both
    await here.keep(*TASKS[:1])
    before = here.feed.epoch
    await there.endings.end(TASKS[0], "failed", "failed", by=AGENT)

    async def empty() -> None:
        assert redis.ask("FLUSHALL") == "+OK"

    here.faulty.faults["beat"] = empty
    await here.feed.beat()
    assert not here.accepts(TASKS[0], before)


async def test_a_gateway_that_comes_while_the_store_is_emptied(redis: RedisProcess, both: tuple[One, One]):
    """It takes no empty page for everything that was revoked."""
    here, _ = both
    await here.keep(*TASKS[:1])
    before = here.feed.epoch
    await here.endings.end(TASKS[0], "failed", "failed", by=AGENT)

    async def empty() -> None:
        assert redis.ask("FLUSHALL") == "+OK"

    here.faulty.faults["beat"] = empty
    gateway = Gateway()
    await here.feed.subscribe(gateway)
    assert [event[1] for event in gateway.of("beat")] == [here.feed.epoch]
    assert here.feed.epoch != before


async def test_a_number_of_a_lost_epoch_takes_no_place_in_the_new_one(redis: RedisProcess, both: tuple[One, One]):
    """The store counts anew while an end is under way, up to just below its number: what gets it comes all the same."""
    here, there = both
    await here.keep(TASKS[0], TASKS[1])
    await here.endings.end(TASKS[0], "failed", "failed", by=AGENT)

    async def empty_and_go_on() -> None:
        assert redis.ask("FLUSHALL") == "+OK"
        await there.feed.beat()
        await there.keep(TASKS[2], TASKS[3])
        await there.endings.end(TASKS[2], "failed", "failed", by=AGENT)
        await here.feed.beat()

    here.faulty.faults["end_task"] = empty_and_go_on
    await here.endings.end(TASKS[1], "failed", "failed", by=AGENT)
    await there.endings.end(TASKS[3], "failed", "failed", by=AGENT)
    await here.feed.beat()
    assert {f"task:{task}" for task in TASKS[:4]} == here.standing.ended


async def test_a_stop_that_the_store_has_lost_is_not_acknowledged(redis: RedisProcess, both: tuple[One, One]):
    """It has to be found there by whoever asks for a token later; asked for again, it is."""
    here, there = both
    await here.keep(TASKS[0])
    await there.endings.end(TASKS[0], "failed", "failed", by=AGENT)

    async def empty() -> None:
        assert redis.ask("FLUSHALL") == "+OK"

    here.faulty.faults["stop"] = empty
    with pytest.raises(StoreUnavailableError, match="emptied"):
        await here.stops.stop("agent", AGENT, "operator", None, by="alice")
    await here.stops.stop("agent", AGENT, "operator", None, by="alice")
    assert f"agent:acme/{AGENT}" in here.standing.ended
    assert [stop.revocation.id for stop in await there.stops.page(0)] == [AGENT]


async def test_an_emptied_store_is_told_by_whoever_finds_it(redis: RedisProcess, both: tuple[One, One]):
    """The other authority is woken, and tells its gateways the new epoch without waiting for a heartbeat."""
    here, there = both
    await here.store.changed()  # its line for news has been laid
    before = here.feed.epoch
    watching = asyncio.ensure_future(here.feed.watch())
    assert redis.ask("FLUSHALL") == "+OK"
    await there.feed.beat()
    async with asyncio.timeout(10):
        while here.standing.epoch == before:
            await asyncio.sleep(0.01)
    watching.cancel()
    assert here.standing.epoch == there.standing.epoch


async def test_the_lines_are_written_before_the_acknowledgement(tmp_path: Path):
    """A gateway elsewhere can know of the end no later than whoever asked for it."""
    clock = StillClock()
    one = One(build_store(tmp_path, clock), clock)
    await one.open()
    await one.keep(TASKS[0])
    outlet = Outlet(lambda: "a1b2c3")
    await one.feed.subscribe(outlet)
    outlet.take()
    order: list[str] = []

    async def write() -> None:
        order.append((await outlet.waiting()).decode())

    writing = asyncio.ensure_future(write())
    await asyncio.sleep(0)
    await one.endings.end(TASKS[0], "failed", "failed", by=AGENT)
    order.append("acknowledged")
    await writing
    assert TASKS[0] in order[0]
    assert order[1:] == ["acknowledged"]
    await one.store.close()


async def test_what_is_told_ahead_moves_nobody_on(tmp_path: Path):
    """Its number is none: a gateway goes on where it was, and hears what stands before it."""
    clock = StillClock()
    one = One(build_store(tmp_path, clock), clock)
    await one.open()
    await one.keep(*TASKS[:2])
    gateway = Gateway()
    await one.feed.subscribe(gateway)
    await one.store.end_task(TASKS[0], "failed", "failed", NOW)  # by nobody who tells
    await one.endings.end(TASKS[1], "failed", "failed", by=AGENT)
    assert gateway.of("revoked") == [
        ("revoked", AHEAD, f"task:{TASKS[1]}"),
        ("revoked", 1, f"task:{TASKS[0]}"),
        ("revoked", 2, f"task:{TASKS[1]}"),
    ]
    assert one.standing.seq == 2
    await one.store.close()
