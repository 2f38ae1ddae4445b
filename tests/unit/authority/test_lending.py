"""The lender: shares what there is, recalls what lies idle elsewhere, and waits for nobody for long."""

import asyncio

import pytest
from fakes.counts import NOW, HandClock, MemoryCounts, Wire, settle

from gateway.authority import lending as module
from gateway.authority.lending import (
    KEEP_WINDOW,
    LOOK_EVERY,
    MARGIN,
    RECALL_WITHIN,
    SHORTEST_KEEP,
    SMALLEST_BYTES,
    Lending,
)
from gateway.errors import Refusal
from gateway.limits.wishes import Answer, Back, Hold, Recall, Reply, Wish
from gateway.model import Limit

LIMIT = Limit("requests", "requests/k", 1000, 0.0, "of this task")


class Line:
    """A gateway of which only the line is there."""

    def __init__(self) -> None:
        self.heard: list[Reply] = []

    def hear(self, reply: Reply) -> None:
        self.heard.append(reply)


class House:
    """A lender with so many lines."""

    def __init__(self, gateways: int, counts: MemoryCounts | None = None, **terms: float) -> None:
        self.clock = HandClock()
        self.counts = counts or MemoryCounts()
        self.lending = Lending(self.counts, self.clock, **{"max_task": 3600.0, "max_staleness": 10.0, **terms})
        self.lines = [Line() for _ in range(gateways)]
        for number, line in enumerate(self.lines):
            self.lending.join(f"g{number}", line)
        self.wishes = 0

    async def wish(self, number: int, wanted: int, need: int = 0, **changes: object) -> int | None:
        """What the wish brings; None if it is not answered yet."""
        self.wishes += 1
        wish = Wish(self.wishes, "requests", "requests/k", wanted, need, 1000, 0.0)._replace(**changes)
        self.lending.take(f"g{number}", [wish])
        await self.lending.settle()
        return self.amount(number)

    def amount(self, number: int) -> int | None:
        """What this line's answer to the latest wish says."""
        answers = [reply for reply in self.lines[number].heard if isinstance(reply, Answer) and reply.number == self.wishes]
        return answers[0].amount if answers else None


async def test_chunks_shrink_with_what_is_left() -> None:
    """So that the last ones are not stranded with one of many."""
    house = House(4)
    lent = [await house.wish(0, 500) for _ in range(60)]
    assert lent[:3] == [125, 109, 95]
    assert lent == sorted(lent, reverse=True)
    assert lent.count(1) > 10
    assert sum(lent) == 1000


async def test_bytes_are_shared_in_pieces_that_are_worth_it() -> None:
    """What one read brings is the smallest share."""
    house = House(4)
    assert await house.wish(0, 1 << 20, kind="bytes", most=2 * SMALLEST_BYTES) == SMALLEST_BYTES


async def test_who_starves_gets_what_others_do_not_use() -> None:
    """They are asked once, and whoever has nothing says so; the wish is answered when all have spoken."""
    house = House(3)
    assert await house.wish(0, 990, need=990) == 990
    assert await house.wish(1, 10, need=10) == 10
    assert await house.wish(2, 500, need=4) is None
    assert house.lines[0].heard[-1] == Recall("requests", "requests/k")
    assert house.lines[1].heard[-1] == Recall("requests", "requests/k")
    house.lending.take("g0", [Back("requests/k", "requests/k", 0)])
    await house.lending.settle()
    assert house.amount(2) is None
    house.lending.take("g1", [Back("requests/k", "requests/k", 3)])
    await house.lending.settle()
    assert house.amount(2) == 3
    assert await house.wish(2, 500, need=1) == 0, "nobody else can have anything left"


async def test_a_wish_ahead_of_need_disturbs_nobody() -> None:
    """It is told at once that there is no more."""
    house = House(2)
    house.counts.drawn["requests/k"] = 990
    assert await house.wish(0, 500, need=10) == 10
    assert await house.wish(1, 500) == 0
    assert len(house.lines[0].heard) == 1


async def test_who_does_not_answer_a_recall_is_not_waited_for() -> None:
    """For a second at most; then the wish is told what there is, and the next one asks again."""
    house = House(2)
    house.counts.drawn["requests/k"] = 990
    await house.wish(0, 500, need=10)
    assert await house.wish(1, 500, need=1) is None
    house.clock.time += RECALL_WITHIN / 2
    await house.lending._look()
    assert house.amount(1) is None
    house.clock.time += RECALL_WITHIN / 2
    await house.lending._look()
    assert house.amount(1) == 0
    assert await house.wish(1, 500, need=1) is None
    assert house.lines[0].heard[1:] == [Recall("requests", "requests/k")] * 2


async def test_the_count_of_a_task_outlives_the_task() -> None:
    """And at least a day, in case tasks lived longer before a restart."""
    for terms, keep in (({}, SHORTEST_KEEP), ({"max_task": 200_000.0}, 200_000.0)):
        house = House(1, **terms)
        await house.wish(0, 10)
        assert house.counts.ends == {"requests/k": NOW + keep}


async def test_windows_are_counted_apart() -> None:
    """The answer says when the next begins, and each has its own count, which is kept a little longer than it lasts."""
    house = House(1)
    begin = NOW // 3600 * 3600
    house.clock.time = begin + 600
    assert await house.wish(0, 5000, need=5000, window=3600.0) == 1000
    assert house.lines[0].heard[-1].lasts == 3000.0
    assert await house.wish(0, 1, need=1, window=3600.0) == 0
    assert house.lines[0].heard[-1].after == 3000.0
    house.clock.time += 3000
    assert await house.wish(0, 5000, need=5000, window=3600.0) == 1000
    assert list(house.counts.ends.values()) == [begin + 3600 + KEEP_WINDOW, begin + 7200 + KEEP_WINDOW]


async def test_nothing_of_a_rate_comes_back() -> None:
    """It could be given to the next slice, which has enough of its own."""
    house = House(2)
    assert await house.wish(0, 10, need=10, kind="rate", most=10, window=0.5) == 10
    house.lending.take("g0", [Back("requests/k", house.lines[0].heard[-1].drawn, 10)])
    assert await house.wish(1, 10, need=1, kind="rate", most=10, window=0.5) == 0
    house.clock.time += 0.5
    assert await house.wish(1, 10, need=10, kind="rate", most=10, window=0.5) == 10


async def test_places_come_back_from_the_dead_at_once_and_from_the_silent_in_time() -> None:
    """Who is known to be dead holds nothing; who only lost its line may live on, until it must have stopped by itself."""
    house = House(3)
    places = {"kind": "concurrent", "key": "concurrent/k", "most": 9}
    assert [await house.wish(number, 3, need=3, **places) for number in range(3)] == [3, 3, 3]
    await house.lending.bury("g0")
    assert await house.wish(1, 9, need=6, **places) is None
    house.clock.time += RECALL_WITHIN
    await house.lending._look()
    assert house.amount(1) == 6
    house.lending.leave("g2")
    await house.lending._look()
    house.clock.time += 10.0 + MARGIN - RECALL_WITHIN - 0.1
    await house.lending._look()
    assert await house.wish(1, 9, need=3, **places) == 6
    house.clock.time += RECALL_WITHIN + 0.2
    assert await house.wish(1, 9, need=3, **places) == 9


async def test_a_successor_begins_with_nothing() -> None:
    """A gateway of the same name takes over what the one before held, which is dead."""
    house = House(1)
    places = {"kind": "concurrent", "key": "concurrent/k", "most": 9}
    assert await house.wish(0, 9, need=9, **places) == 9
    lender = await house.lending.lend("g0", line := Line())
    lender.take([Wish(1, "concurrent", "concurrent/k", 2, 2, 9, 0.0)])
    house.lending.take("g0", [Hold("concurrent/k", 9, 2)])
    await house.lending.settle()
    assert isinstance(line.heard[0], Answer)
    assert house.counts.held["concurrent/k"]["g0"][0] == 2


async def test_while_the_store_is_away_nothing_is_lent() -> None:
    """The wish is not answered, so it is given up by its gateway; afterwards all is as before."""
    house = House(1)
    house.counts.broken = True
    assert await house.wish(0, 10, need=10) is None
    house.counts.broken = False
    assert await house.wish(0, 10, need=10) == 10


async def test_what_comes_too_fast_is_dropped_and_what_is_not_asked_for_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    """The queue and the memory are bounded, and neither makes anybody spend more."""
    monkeypatch.setattr(module, "QUEUED", 3)
    monkeypatch.setattr(module, "KEYS", 2)
    house = House(1)
    house.lending.take("g0", [Wish(number, "requests", f"k{number}", 5, 5, 9, 0.0) for number in range(3)])
    house.lending.take("g0", [Wish(9, "requests", "k9", 5, 5, 9, 0.0)])
    await house.lending.settle()
    assert [reply.number for reply in house.lines[0].heard] == [0, 1, 2]
    assert len(house.lending._lent) == 2
    house.lines[0].heard.clear()
    assert await house.wish(0, 9, need=9, key="k0", most=9) == 4


async def test_the_lender_works_by_itself() -> None:
    """What comes is worked off without being asked, and recalls are looked after now and then."""
    house = House(1)
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)
        await asyncio.sleep(0)

    house.clock.sleep = sleep
    tasks = [asyncio.create_task(house.lending.run()), asyncio.create_task(house.lending.look_after())]
    house.lending.take("g0", [Wish(1, "requests", "requests/k", 5, 5, 9, 0.0)])
    while not house.lines[0].heard or not slept:
        await asyncio.sleep(0)
    for task in tasks:
        task.cancel()
    assert set(slept) == {LOOK_EVERY}


async def test_four_gateways_let_exactly_the_limit_through() -> None:
    """Ten thousand requests from sixty-four clients, on four gateways: a thousand pass, and all others are told."""
    clock, counts = HandClock(), MemoryCounts()
    lending = Lending(counts, clock, max_task=3600.0, max_staleness=10.0)
    wires = [Wire(f"g{number}", lending, clock) for number in range(4)]
    passed, refused = [], []

    class Client:
        """Sends the next request when the one before is done."""

        def __init__(self, number: int) -> None:
            self.leases = wires[number % 4].leases
            self.left = 10_000 // 64 + (number < 10_000 % 64)

        def ready(self) -> None:
            account = self.leases.account(LIMIT)
            if self.leases.short_of([account]) is None:
                self.leases.take(account)
                passed.append(self)
                self.left -= 1
                return
            try:
                self.leases.wait_for(account, self)
            except Refusal as refusal:
                self.refuse(refusal)

        def refuse(self, _refusal: Refusal) -> None:
            refused.append(self)
            self.left -= 1

    clients = [Client(number) for number in range(64)]
    while any(client.left for client in clients):
        for client in clients:
            if client.left and client not in client.leases.account(LIMIT).waiting:
                client.ready()
        await settle(lending, *wires)
        clock.time += 0.01
    assert (len(passed), len(refused)) == (1000, 9000)
    assert counts.draws < 300
