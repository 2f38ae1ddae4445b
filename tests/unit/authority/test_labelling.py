"""Labels between the authority and its gateways: whoever has added one is told so when all who know the task know it."""

from collections.abc import Iterable
from dataclasses import dataclass, field

import pytest
from fakes.counts import HandClock, MemoryCounts, Wire, settle
from fakes.waiting import Caller

from gateway.authority import labelling as module
from gateway.authority.lending import LOOK_EVERY, MARGIN, Lending
from gateway.limits import labels as labels_module
from gateway.limits.labels import TaskLabels
from gateway.limits.wishes import Forgot, Labelled, Learn, Told
from gateway.stores.store import TaskRow, TaskUnknownError

STALENESS = 10.0


@dataclass
class MemoryFamilies:
    """Tasks by their parents, and labels by family."""

    parents: dict[str, str | None] = field(default_factory=dict)
    kept: dict[str, frozenset[str]] = field(default_factory=dict)
    alone: bool = True

    async def task(self, task: str) -> TaskRow | None:
        if task not in self.parents:
            return None
        return TaskRow(id=task, tenant="t", agent="a", subject="a", starter="a", intents=(), opened=0.0, ends=9e9, policy="",
                       parent=self.parents[task])  # fmt: skip

    async def label(self, task: str, added: Iterable[str]) -> frozenset[str]:
        root = self._root(task)
        self.kept[root] = self.kept.get(root, frozenset()) | set(added)
        return self.kept[root]

    async def labels(self, task: str) -> frozenset[str]:
        return self.kept.get(self._root(task), frozenset())

    def _root(self, task: str) -> str:
        if task not in self.parents:
            raise TaskUnknownError(task)
        parent = self.parents[task]
        return task if parent is None else self._root(parent)


class House:
    """An authority with gateways and the tasks root, child and other."""

    def __init__(self, *names: str) -> None:
        self.clock = HandClock()
        self.families = MemoryFamilies({"root": None, "child": "root", "other": None})
        self.recorded: list[tuple[str, str, frozenset[str]]] = []
        self.lending = Lending(
            MemoryCounts(), self.clock, max_task=3600.0, max_staleness=STALENESS, families=self.families,
            labelled=lambda *told: self.recorded.append(told),
        )  # fmt: skip
        self.wires = [Wire(name, self.lending, self.clock) for name in names]

    async def settle(self) -> None:
        await settle(self.lending, *self.wires)

    async def learn(self, at: int, task: str) -> object:
        caller = Caller()
        caller.drive(self.wires[at].leases.labels.of(task, caller))
        await self.settle()
        return caller.outcome

    def adding(self, at: int, task: str, *labels: str) -> Caller:
        caller = Caller()
        return caller.drive(self.wires[at].leases.labels.add(task, frozenset(labels), caller))

    async def pass_time(self, seconds: float) -> None:
        self.clock.time += seconds
        self.lending._queue.append(("", None))
        await self.lending.settle()


async def test_what_a_task_did_not_have_is_recorded_in_its_tenant() -> None:
    """Once for its family; whoever keeps the record serves several."""
    house = House("a")
    for task in ("child", "child", "root"):
        house.adding(0, task, "untrusted")
        await house.settle()
    assert house.recorded == [("t", "child", {"untrusted"})]


async def test_a_label_is_known_everywhere_before_it_is_acknowledged() -> None:
    """Whoever has asked for a task of the family has heard it before the one that added it goes on."""
    house = House("a", "b", "c")
    assert await house.learn(1, "root") == frozenset()
    assert await house.learn(2, "other") == frozenset()
    caller = house.adding(0, "child", "untrusted")
    house.wires[0].send_up()
    await house.lending.settle()
    assert caller.outcome is None
    house.wires[0].send_down()
    assert caller.outcome is None
    house.wires[1].send_down()
    assert house.wires[1].leases.labels.known == {"root": {"untrusted"}}
    await house.settle()
    assert caller.outcome == "done"
    assert house.wires[2].leases.labels.known == {"other": frozenset()}
    assert await house.learn(2, "root") == {"untrusted"}


@pytest.mark.parametrize("known", [("root",), ("root", "child"), ()])
async def test_labels_that_are_added_at_once_are_all_known_everywhere(known: tuple[str, ...]) -> None:
    """Also to the one whose answer waited while somebody else added another, and who did not know the task before."""
    house = House("a", "b")
    for task in known:
        assert await house.learn(1, task) == frozenset()
    first, second = house.adding(0, "root", "x"), house.adding(1, "child", "y")
    for wire in house.wires:
        wire.send_up()
    await house.lending.settle()
    await house.settle()
    assert (first.outcome, second.outcome) == ("done", "done")
    for wire in house.wires:
        assert set(wire.leases.labels.known.values()) == {frozenset({"x", "y"})}


async def test_two_tasks_of_a_family_on_one_gateway_may_add_at_once() -> None:
    """The news of the second does not get lost behind the answer to the first."""
    house = House("a", "b")
    for at, task in ((0, "root"), (0, "child"), (1, "root")):
        assert await house.learn(at, task) == frozenset()
    first, second = house.adding(0, "root", "x"), house.adding(0, "child", "y")
    await house.settle()
    assert (first.outcome, second.outcome) == ("done", "done")
    assert house.wires[0].leases.labels.known == {"root": {"x", "y"}, "child": {"x", "y"}}
    assert house.wires[1].leases.labels.known == {"root": {"x", "y"}}


async def test_an_answer_that_comes_too_late_for_its_request_is_known_all_the_same() -> None:
    """The request was refused, and the label is on the task."""
    house = House("a", "b")
    for at in (0, 1):
        assert await house.learn(at, "root") == frozenset()
    caller = house.adding(0, "root", "x")
    house.wires[0].send_up()
    await house.lending.settle()
    caller.expire()
    assert caller.outcome == "overloaded"
    await house.settle()
    assert [wire.leases.labels.known for wire in house.wires] == [{"root": {"x"}}] * 2


async def test_what_is_known_already_asks_nobody() -> None:
    """The second use that leaves the same label costs no round trip, nor does the second question."""
    house = House("a")
    caller = house.adding(0, "root", "untrusted")
    await house.settle()
    assert caller.outcome == "done"
    assert house.adding(0, "root", "untrusted").outcome == "done"
    assert Caller().drive(house.wires[0].leases.labels.of("root", Caller())).outcome == {"untrusted"}
    assert not house.wires[0].busy


async def test_other_tasks_of_the_family_on_the_same_gateway_know_it_too() -> None:
    """A child's label is its parent's, here as elsewhere."""
    house = House("a")
    assert await house.learn(0, "root") == frozenset()
    caller = house.adding(0, "child", "untrusted")
    await house.settle()
    assert caller.outcome == "done"
    assert house.wires[0].leases.labels.known == {"root": {"untrusted"}, "child": {"untrusted"}}


async def test_a_gateway_without_a_line_is_waited_for_until_it_must_have_stopped() -> None:
    """Then, and not before, the label is acknowledged."""
    house = House("a", "b")
    assert await house.learn(1, "root") == frozenset()
    house.lending.leave("b")
    caller = house.adding(0, "root", "untrusted")
    house.wires[0].send_up()
    await house.lending.settle()
    await house.pass_time(STALENESS + MARGIN - 1.0)
    house.wires[0].send_down()
    assert caller.outcome is None
    await house.pass_time(1.0)
    house.wires[0].send_down()
    assert caller.outcome == "done"
    assert labels_module.ADD_WITHIN > STALENESS + MARGIN + LOOK_EVERY


@pytest.mark.parametrize("dead", [True, False])
async def test_a_gateway_that_is_dead_or_has_forgotten_is_not_waited_for(dead: bool) -> None:
    """A buried one knows nothing, and one that comes back says that it begins anew."""
    house = House("a", "b")
    assert await house.learn(1, "root") == frozenset()
    house.lending.leave("b")
    caller = house.adding(0, "root", "untrusted")
    house.wires[0].send_up()
    await house.lending.settle()
    if dead:
        await house.lending.bury("b")
    else:
        house.wires[1].cut()
        house.lending.join("b", house.wires[1])
        house.wires[1].leases.restate()
        assert house.wires[1].leases.labels.known == {}
    await house.settle()
    assert caller.outcome == "done"
    assert await house.learn(0, "root") == {"untrusted"}


async def test_who_waits_when_the_line_is_cut_asks_again() -> None:
    """The same question goes out over the new line, and a late answer to the old one is as good."""
    house = House("a")
    caller = house.adding(0, "root", "untrusted")
    house.wires[0].cut()
    house.wires[0].leases.restate()
    await house.settle()
    assert caller.outcome == "done"


async def test_a_request_waits_only_so_long() -> None:
    """Of a task that nobody knows there is no answer; the request is refused and nothing stays behind."""
    house = House("a")
    caller = Caller()
    caller.drive(house.wires[0].leases.labels.of("no such task", caller))
    await house.settle()
    assert caller.wait is not None
    assert caller.wait.seconds == labels_module.LEARN_WITHIN
    caller.expire()
    assert caller.outcome == "overloaded"
    assert house.wires[0].leases.labels._asked == {}


async def test_where_authorities_share_a_store_every_request_asks() -> None:
    """None of them can tell the gateways of another, so a label that came through another counts for the next request."""
    here, there = House("a"), House("b")
    there.families = here.families
    here.families.alone = False
    there.lending = Lending(MemoryCounts(), there.clock, max_task=3600.0, max_staleness=STALENESS, families=here.families)
    there.wires = [Wire("b", there.lending, there.clock)]
    assert await here.learn(0, "root") == frozenset()
    assert await there.learn(0, "root") == frozenset()
    adding = there.adding(0, "child", "untrusted")
    await there.settle()
    assert adding.outcome == "done"
    assert await here.learn(0, "root") == {"untrusted"}
    assert here.wires[0].leases.labels.known == {}


async def test_families_are_remembered_only_so_often(monkeypatch: pytest.MonkeyPatch) -> None:
    """For another one there is no answer, rather than one that would not stay true."""
    monkeypatch.setattr(module, "FAMILIES", 1)
    house = House("a")
    assert await house.learn(0, "root") == frozenset()
    assert await house.learn(0, "other") is None
    house.families.parents |= {f"deep{number}": f"deep{number + 1}" for number in range(module.DEEPEST + 9)}
    house.families.parents[f"deep{module.DEEPEST + 9}"] = None
    assert await house.learn(0, "deep0") is None


@pytest.mark.interpreted("a bound is part of the compiled code and cannot be another")
def test_a_gateway_knows_only_so_many_tasks(monkeypatch: pytest.MonkeyPatch) -> None:
    """The one that was learnt first makes room; news of what is not known is heard and not kept."""
    monkeypatch.setattr(labels_module, "MOST_TASKS", 2)
    said: list[object] = []
    known = TaskLabels(said.append)
    for number, task in enumerate("abc", 1):
        caller = Caller()
        caller.drive(known.of(task, caller))
        known.hear(Labelled(number, task, "x", 1))
    assert known.known == {"b": {"x"}, "c": {"x"}}
    known.hear(Told(7, "a", "y"))
    assert "a" not in known.known
    assert isinstance(said[0], Learn)
    known.restate()
    assert Forgot() in said
