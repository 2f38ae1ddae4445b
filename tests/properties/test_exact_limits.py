"""Leases under every mixture of gateways, deaths, lost lines and restarts: never more than the limit, and nothing lost."""

import asyncio
from collections.abc import Awaitable
from dataclasses import dataclass

from fakes.counts import HandClock, MemoryCounts, Wire, settle
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.authority.lending import Lending
from gateway.errors import Refusal
from gateway.model import Limit

MOST = 40
REQUESTS = Limit("requests", "requests/k", MOST, 0.0, "of this task")
PLACES = Limit("concurrent", "concurrent/k", 7, 0.0, "of this task")
PACE = Limit("rate", "rate/k", 5, 0.5, "of this task")

steps = st.lists(
    st.tuples(
        st.sampled_from(["begin"] * 4 + ["end", "up", "lend", "down", "down", "die", "cut", "restart", "idle", "time"]),
        st.integers(0, 2),
        st.integers(1, 6),
    ),
    max_size=120,
)


@dataclass(eq=False)
class Seeker:
    """Wants so many, and takes them when there are enough."""

    world: "World"
    wire: Wire
    amount: int
    refused: bool = False

    def ready(self) -> None:
        account = self.wire.leases.account(self.world.limit)
        if self.wire.leases.short_of([account], self.amount) is None:
            self.wire.leases.take(account, self.amount)
            self.world.used.append((self.wire, self.amount, self.world.clock.boot()))
        else:
            try:
                self.wire.leases.wait_for(account, self, self.amount)
            except Refusal:
                self.refused = True

    def refuse(self, _refusal: Refusal) -> None:
        self.refused = True


class World:
    """Three gateways and a lender, none of which can be trusted to live."""

    def __init__(self, limit: Limit) -> None:
        self.limit = limit
        self.clock = HandClock()
        self.counts = MemoryCounts()
        self.used: list[tuple[Wire, int, float]] = []
        self.lending = self.lender()
        self.wires = [Wire(f"g{number}", self.lending, self.clock) for number in range(3)]
        self.born = 3

    def lender(self) -> Lending:
        return Lending(self.counts, self.clock, max_task=3600.0, max_staleness=10.0)

    def use(self, wire: Wire, amount: int = 1) -> Seeker:
        seeker = Seeker(self, wire, amount)
        seeker.ready()
        return seeker

    def under_way(self) -> int:
        return sum(wire.leases.in_use for wire in self.wires)

    async def play(self, step: str, number: int, amount: int) -> None:
        outcome = getattr(self, step)(self.wires[number], amount)
        if outcome is not None:
            await outcome

    # The steps of a script.

    def begin(self, wire: Wire, amount: int) -> None:
        self.use(wire, amount if self.limit.kind == "bytes" else 1)

    def end(self, wire: Wire, amount: int) -> None:
        account = wire.leases.account(self.limit)
        account.left += min(amount, account.in_use)

    def up(self, wire: Wire, _amount: int) -> None:
        wire.send_up()

    def lend(self, _wire: Wire, _amount: int) -> Awaitable[None]:
        return self.lending.settle()

    def down(self, wire: Wire, _amount: int) -> None:
        wire.send_down()

    async def die(self, wire: Wire, _amount: int) -> None:
        await self.lending.bury(wire.name)
        self.wires[self.wires.index(wire)] = Wire(f"g{self.born}", self.lending, self.clock)
        self.born += 1

    def cut(self, wire: Wire, _amount: int) -> None:
        wire.cut()
        wire.leases.restate()

    def restart(self, _wire: Wire, _amount: int) -> None:
        self.lending = self.lender()
        for each in self.wires:
            each.lending = self.lending
            self.lending.join(each.name, each)
            self.cut(each, 0)

    def idle(self, _wire: Wire, _amount: int) -> None:
        for each in self.wires:
            each.leases.look()

    async def time(self, _wire: Wire, amount: int) -> None:
        self.clock.time += amount / 8
        await self.lending._look()


@given(steps)
@settings(max_examples=300, deadline=None)
def test_requests_are_never_more_than_the_limit(script: list[tuple[str, int, int]]) -> None:
    """Whoever dies, whatever is lost on the way, however often the lender starts anew."""

    async def scene() -> None:
        world = World(REQUESTS)
        for step in script:
            await world.play(*step)
        assert sum(amount for _, amount, _ in world.used) <= world.counts.drawn.get(REQUESTS.key, 0) <= MOST

    asyncio.run(scene())


@given(steps)
@settings(max_examples=300, deadline=None)
def test_bytes_are_never_more_than_the_limit(script: list[tuple[str, int, int]]) -> None:
    """Pieces pass whole or not at all, and all of them together stay within it."""

    async def scene() -> None:
        world = World(REQUESTS._replace(kind="bytes"))
        for step in script:
            await world.play(*step)
        assert sum(amount for _, amount, _ in world.used) <= MOST

    asyncio.run(scene())


@given(steps)
@settings(max_examples=300, deadline=None)
def test_places_are_never_more_than_the_limit(script: list[tuple[str, int, int]]) -> None:
    """At no moment are more requests under way in all gateways that live."""

    async def scene() -> None:
        world = World(PLACES)
        for step in script:
            await world.play(*step)
            assert world.under_way() <= PLACES.most

    asyncio.run(scene())


@given(steps)
@settings(max_examples=300, deadline=None)
def test_no_stretch_of_time_sees_more_than_the_rate_and_a_burst(script: list[tuple[str, int, int]]) -> None:
    """For all moments a and b: at most rate * (b - a) + burst requests in between, where a burst is two slices."""

    async def scene() -> None:
        world = World(PACE)
        for step in script:
            await world.play(*step)
        moments = [moment for _, _, moment in world.used]
        rate, burst = PACE.most / PACE.window, 2 * PACE.most
        for first, begin in enumerate(moments):
            for last, end in enumerate(moments[first:], first):
                assert last - first + 1 <= rate * (end - begin) + burst

    asyncio.run(scene())


@given(st.lists(st.tuples(st.integers(0, 2), st.booleans()), min_size=MOST * 2, max_size=MOST * 3))
@settings(max_examples=150, deadline=None)
def test_nothing_is_lost_while_nobody_dies(script: list[tuple[int, bool]]) -> None:
    """Exactly as many pass as the limit says, whichever gateway they come to, wherever leases lay idle before."""

    async def scene() -> None:
        world = World(REQUESTS)
        for number, idle in script:
            world.use(world.wires[number])
            if idle:
                world.wires[number].leases.look()
            await settle(world.lending, *world.wires)
            world.clock.time += 0.3
        assert len(world.used) == MOST

    asyncio.run(scene())


@given(st.lists(st.tuples(st.integers(0, 2), st.booleans()), min_size=5, max_size=60))
@settings(max_examples=150, deadline=None)
def test_a_free_place_is_found_wherever_it_is(script: list[tuple[int, bool]]) -> None:
    """A request is refused only if all places are taken at that moment."""

    async def scene() -> None:
        world = World(PLACES)
        for number, begins in script:
            account = world.wires[number].leases.account(PLACES)
            if begins:
                free = world.under_way() < PLACES.most
                before = len(world.used)
                seeker = world.use(world.wires[number])
                await settle(world.lending, *world.wires)
                assert (len(world.used) > before, seeker.refused) == (free, not free)
            elif account.in_use:
                account.left += 1
            world.clock.time += 0.3

    asyncio.run(scene())
