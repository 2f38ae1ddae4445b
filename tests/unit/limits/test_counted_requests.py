"""How many requests a task has made: each is counted once, by one authority for all gateways, before it is decided."""

import pytest
from fakes.counts import HandClock, MemoryCounts, Wire, settle
from fakes.waiting import Caller

from gateway.authority import lending as lending_module
from gateway.authority.lending import SHORTEST_KEEP, Lending
from gateway.limits.requests import COUNT_WITHIN
from gateway.limits.wishes import Count, Counted, as_wire, read_event, read_reply
from gateway.model import Principal, marks_of


def bearer(task: str = "t1", tenant: str = "acme/1", family: str = "") -> Principal:
    """Somebody with a token of a task."""
    return Principal(
        agent="spiffe://x.test/a", subject="s", tenant=tenant, task=task, token="j", intents=frozenset(("a.read",)),
        expires=9e9, epoch="e", marks=marks_of(token="j", task=task, agent="a", tenant=tenant), family=family,
    )  # fmt: skip


PRINCIPAL = bearer()


class House:
    """An authority with gateways."""

    def __init__(self, *names: str) -> None:
        self.clock = HandClock()
        self.counts = MemoryCounts()
        self.lending = Lending(self.counts, self.clock, max_task=3600.0, max_staleness=10.0)
        self.wires = [Wire(name, self.lending, self.clock) for name in names]

    def asking(self, at: int, principal: Principal = PRINCIPAL, operations: int = 1) -> Caller:
        caller = Caller()
        return caller.drive(self.wires[at].leases.requests.before(principal, operations, caller))

    async def settle(self) -> None:
        await settle(self.lending, *self.wires)

    async def ask(self, at: int, principal: Principal = PRINCIPAL, operations: int = 1) -> object:
        caller = self.asking(at, principal, operations)
        await self.settle()
        return caller.outcome


async def test_every_request_is_counted_once_wherever_it_came() -> None:
    """Each learns how many came before it, over all gateways; a request of several operations counts as so many."""
    house = House("a", "b")
    assert [await house.ask(at) for at in (0, 1, 1, 0)] == [0, 1, 2, 3]
    assert await house.ask(1, operations=5) == 4
    assert await house.ask(0) == 9


async def test_a_family_counts_together() -> None:
    """A task below brings no fresh count; another task, and one of this name in another tenant, has its own."""
    house = House("a")
    assert await house.ask(0) == 0
    assert await house.ask(0, bearer("below", family="t1")) == 1
    assert await house.ask(0, bearer("t2")) == 0
    assert await house.ask(0, bearer("1/t1", tenant="acme")) == 0
    assert await house.ask(0) == 2


async def test_many_at_once_cost_one_write() -> None:
    """In the order in which they came, each with its own number."""
    house = House("a", "b")
    callers = [house.asking(number % 2) for number in range(40)]
    await house.settle()
    assert sorted(caller.outcome for caller in callers) == list(range(40))
    assert house.counts.counts == 1


async def test_so_many_are_counted_in_one_step(monkeypatch: pytest.MonkeyPatch) -> None:
    """Others follow in the next one."""
    monkeypatch.setattr(lending_module, "COUNTED_AT_ONCE", 16)
    house = House("a")
    callers = [house.asking(0) for _ in range(40)]
    await house.settle()
    assert [caller.outcome for caller in callers] == list(range(40))
    assert house.counts.counts == 3


async def test_a_count_lives_as_long_as_its_task() -> None:
    """Each request prolongs it by the longest life that a task can have."""
    house = House("a")
    assert await house.ask(0) == 0
    house.clock.time += SHORTEST_KEEP - 1
    assert await house.ask(0) == 1
    house.clock.time += SHORTEST_KEEP - 1
    assert await house.ask(0) == 2


async def test_who_is_not_answered_is_refused() -> None:
    """After a bounded wait, with nothing left behind; nobody is let through on a count that is not known."""
    house = House("a")
    house.counts.broken = True
    caller = house.asking(0)
    await house.settle()
    assert caller.wait is not None
    assert caller.wait.seconds == COUNT_WITHIN
    caller.expire()
    assert caller.outcome == "overloaded"
    assert house.wires[0].leases.requests._asked == {}


@pytest.mark.parametrize("counted", [True, False])
async def test_nobody_is_counted_twice_when_the_line_is_cut(counted: bool) -> None:
    """Who waits then is refused at once, whether or not the authority had heard of it; an answer that comes late is lost."""
    house = House("a")
    caller = house.asking(0)
    if counted:
        house.wires[0].send_up()
        await house.lending.settle()
    house.wires[0].cut()
    assert caller.outcome is None
    house.wires[0].leases.restate()
    assert caller.outcome == "overloaded"
    house.wires[0].leases.hear(Counted(1, 7))
    await house.settle()
    assert await house.ask(0) == int(counted)


def test_it_survives_the_wire() -> None:
    """In both directions."""
    assert read_event(as_wire(Count(1, "made/t/1", 2))) == Count(1, "made/t/1", 2)
    assert read_reply(as_wire(Counted(1, 2))) == Counted(1, 2)
