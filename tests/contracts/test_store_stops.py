"""What every store promises of stopped agents and tenants, of children, and of its place in the feed."""

import asyncio
from dataclasses import replace

import pytest
from fakes.authority import AGENT, NOW, OTHER, first_token, task_row

from gateway.model import AGENT as AN_AGENT
from gateway.model import FOREVER, TENANT, Restoration, Revocation
from gateway.stores.store import (
    KEEP_ENDED,
    KEEP_SPENT,
    PAGE,
    BarredError,
    IssuedToken,
    Store,
    TaskEndedError,
    TasksOpenError,
    TaskUnknownError,
)

ROOT, CHILD, GRANDCHILD, SIBLING = "1" * 32, "2" * 32, "3" * 32, "4" * 32


async def open_family(store: Store) -> None:
    """A task with two children, and a grandchild below the first."""
    for name, parent in ((ROOT, None), (CHILD, ROOT), (GRANDCHILD, CHILD), (SIBLING, ROOT)):
        task = task_row(name, parent=parent, params={"customer": "42", "of": ["a", 1]})
        await store.open_task(task, first_token(task, f"token of {name}"))


async def test_a_child_keeps_its_parent_and_params(store: Store):
    """Both are read as they were written."""
    await open_family(store)
    child = await store.task(CHILD)
    assert child is not None
    assert (child.parent, child.params) == (ROOT, {"customer": "42", "of": ["a", 1]})


async def test_children_end_with_their_parent(store: Store):
    """All open tasks below end in the same transaction, each with a revocation of its own; the rest lives on."""
    await open_family(store)
    await store.end_task(SIBLING, "completed", "completed", NOW)
    ending = await store.end_task(CHILD, "completed", "completed", NOW + 1)
    (below,) = ending.descendants
    assert (below.task.id, below.task.state, below.task.cause) == (GRANDCHILD, "revoked", "parent_ended")
    assert below.revocation is not None
    assert ending.revocation is not None
    assert (below.revocation.seq, below.revocation.mark) == (ending.revocation.seq + 1, f"task:{GRANDCHILD}")
    assert await store.task_of(f"token of {GRANDCHILD}", NOW + 1) is None
    assert await store.task_of(f"token of {ROOT}", NOW + 1) is not None
    last = await store.end_task(ROOT, "revoked", "operator", NOW + 2)
    assert last.descendants == ()
    assert (await store.end_task(CHILD, "failed", "failed", NOW + 3)).first is False


async def test_a_whole_tree_ends_at_once(store: Store):
    """However deep: parents before their children, no number missing."""
    await open_family(store)
    ending = await store.end_task(ROOT, "failed", "failed", NOW)
    assert {below.task.id for below in ending.descendants} == {CHILD, GRANDCHILD, SIBLING}
    assert [entry.seq for entry in await store.revocations(0)] == [1, 2, 3, 4]


async def test_a_child_needs_an_open_parent(store: Store):
    """Of the same tenant, living at least as long."""
    parent = task_row(ROOT)
    child = task_row(CHILD, parent=ROOT)
    with pytest.raises(TaskUnknownError):
        await store.open_task(child, first_token(child))
    await store.open_task(parent, first_token(parent))
    for wrong in (replace(child, ends=parent.ends + 1), replace(child, tenant="other")):
        with pytest.raises(ValueError, match="parent"):
            await store.open_task(wrong, first_token(wrong, "child"))
    await store.end_task(ROOT, "completed", "completed", NOW)
    with pytest.raises(TaskEndedError):
        await store.open_task(child, first_token(child, "child"))
    assert await store.task(CHILD) is None


@pytest.mark.parametrize(("kind", "name"), [(AN_AGENT, AGENT), (TENANT, "acme")])
async def test_a_stop_bars_until_it_is_lifted(store: Store, kind: str, name: str):
    """No task, no token, no heartbeat, and no old token; afterwards new tasks, while what had ended stays ended."""
    task, later = task_row(), task_row("2" * 32)
    await store.open_task(task, first_token(task))
    stopped = await store.stop(kind, name, "acme", "operator", FOREVER, NOW + 1)
    assert stopped == Revocation(1, NOW + 1, kind, name, "operator", FOREVER, "acme")
    for barred in (
        store.open_task(later, first_token(later, "later")),
        store.issue(IssuedToken("more", task.id, NOW + 300), NOW + 1),
        store.heartbeat(task.id, NOW + 60, NOW + 1),
    ):
        with pytest.raises(BarredError) as error:
            await barred
        assert error.value.revocation == stopped
    assert await store.task_of("first", NOW + 1) is None
    with pytest.raises(TasksOpenError):
        await store.restore(kind, name, "acme", NOW + 2)
    (ending,) = await store.end_tasks_of(kind, name, "acme", "operator", NOW + 2)
    assert (ending.task.state, ending.task.cause) == ("revoked", "operator")
    assert await store.end_tasks_of(kind, name, "acme", "operator", NOW + 2) == ()
    assert await store.restore(kind, name, "other", NOW + 3) is None
    assert await store.restore(kind, name, "acme", NOW + 3) == Restoration(3, NOW + 3, kind, name, "acme")
    assert await store.restore(kind, name, "acme", NOW + 3) is None
    await store.open_task(later, first_token(later, "later"))
    assert await store.task_of("later", NOW + 3) == later
    assert await store.task_of("first", NOW + 3) is None
    assert [type(entry).__name__ for entry in await store.revocations(0)] == ["Revocation", "Restoration"]


async def test_a_stopped_starter_opens_nothing(store: Store):
    """Not even for an agent that is not stopped."""
    await store.stop(AN_AGENT, OTHER, "acme", "operator", FOREVER, NOW)
    task = task_row(starter=OTHER)
    with pytest.raises(BarredError):
        await store.open_task(task, first_token(task))
    own = task_row("2" * 32)
    await store.open_task(own, first_token(own))


async def test_nothing_more_is_issued_to_a_task_of_a_stopped_starter(store: Store):
    """Work at the word of somebody who is stopped stands still: no token, no heartbeat, until the stop is lifted."""
    task = task_row(starter=OTHER, subject=OTHER)
    await store.open_task(task, first_token(task))
    await store.stop(AN_AGENT, OTHER, "acme", "operator", FOREVER, NOW)
    for barred in (
        store.issue(IssuedToken("more", task.id, NOW + 300), NOW + 1),
        store.heartbeat(task.id, NOW + 60, NOW + 1),
    ):
        with pytest.raises(BarredError):
            await barred
    assert await store.task_of("first", NOW + 1) is None
    await store.restore(AN_AGENT, OTHER, "acme", NOW + 2)
    assert await store.task_of("first", NOW + 2) is not None
    assert (await store.issue(IssuedToken("more", task.id, NOW + 300), NOW + 3)).id == task.id


async def test_a_longer_stop_takes_the_place_of_a_shorter(store: Store):
    """Under a new number, so that gateways hear of it; a shorter one changes nothing."""
    first = await store.stop(AN_AGENT, AGENT, "acme", "behaviour_drift", NOW + 900, NOW)
    assert await store.stop(AN_AGENT, AGENT, "acme", "operator", NOW + 60, NOW + 1) == first
    longer = await store.stop(AN_AGENT, AGENT, "acme", "operator", FOREVER, NOW + 2)
    assert (longer.seq, longer.cause, longer.until) == (2, "operator", FOREVER)
    assert await store.revocations(0) == (longer,)
    (stop,) = await store.stops(0)
    assert stop == ("acme", longer)


async def test_stops_are_listed_in_pages_and_never_forgotten(store: Store):
    """Only those in force, in the order of their numbers; a purge leaves them whatever their `until`."""
    for number in range(PAGE + 2):
        await store.stop(AN_AGENT, f"agent {number}", "acme", "operator", NOW + 1, NOW)
    await store.restore(AN_AGENT, "agent 1", "acme", NOW)
    task = task_row(agent="agent x")
    await store.open_task(task, first_token(task))
    await store.end_task(task.id, "failed", "failed", NOW)
    await store.purge(NOW + 10 * KEEP_ENDED, ["acme"])
    page = await store.stops(0)
    rest = await store.stops(page[-1].revocation.seq)
    assert len(page) == PAGE
    assert [stop.revocation.id for stop in (*page, *rest)] == [f"agent {number}" for number in range(PAGE + 2) if number != 1]
    assert len(await store.revocations(0)) == PAGE


async def test_many_tasks_of_a_stopped_agent_end_in_pages(store: Store):
    """None is left out, and none of another agent ends."""
    other = task_row("f" * 32, agent=OTHER, starter=OTHER)
    await store.open_task(other, first_token(other, "other"))
    for number in range(PAGE + 1):
        task = task_row(f"{number:032x}")
        await store.open_task(task, first_token(task, f"token{number}"))
    await store.stop(AN_AGENT, AGENT, "acme", "operator", FOREVER, NOW)
    pages = [len(await store.end_tasks_of(AN_AGENT, AGENT, "acme", "operator", NOW)) for _ in range(3)]
    assert pages == [PAGE, 1, 0]
    assert await store.task_of("other", NOW) == other


async def test_opening_and_stopping_are_serial(store: Store):
    """Of many tasks that open while their agent is stopped, each is refused, or ends with the others."""

    async def open_one(number: int) -> bool:
        task = task_row(f"{number:032x}")
        try:
            await store.open_task(task, first_token(task, f"token{number}"))
        except BarredError:
            return False
        return True

    opening = [asyncio.ensure_future(open_one(number)) for number in range(50)]
    await asyncio.sleep(0)
    stop = asyncio.ensure_future(store.stop(AN_AGENT, AGENT, "acme", "operator", FOREVER, NOW))
    opening += [asyncio.ensure_future(open_one(number)) for number in range(50, 100)]
    opened = await asyncio.gather(*opening)
    await stop
    assert len(await store.end_tasks_of(AN_AGENT, AGENT, "acme", "operator", NOW)) == sum(opened) < 100


async def test_a_restoration_is_forgotten_after_its_time(store: Store):
    """Gateways that come back within that time hear of it; the sequence goes on."""
    await store.stop(AN_AGENT, AGENT, "acme", "operator", FOREVER, NOW)
    await store.restore(AN_AGENT, AGENT, "acme", NOW)
    await store.purge(NOW + KEEP_ENDED, ["acme"])
    assert await store.revocations(0) == (Restoration(2, NOW, AN_AGENT, AGENT, "acme"),)
    await store.purge(NOW + 2 * KEEP_ENDED, ["acme"])
    assert await store.revocations(0) == ()
    assert (await store.beat()).seq == 2


async def test_a_silent_task_is_ended(store: Store):
    """Only one that was heard of, and only when it was not heard of again in time."""
    heard, never = task_row(), task_row("2" * 32)
    for task in (heard, never):
        await store.open_task(task, first_token(task, task.id))
    assert (await store.heartbeat(heard.id, NOW + 60, NOW)).due == NOW + 60
    await store.heartbeat(heard.id, NOW + 90, NOW + 30)
    assert (await store.purge(NOW + 89, ["acme"])).endings == ()
    (ending,) = (await store.purge(NOW + 90, ["acme"])).endings
    assert (ending.task.id, ending.task.state, ending.task.cause) == (heard.id, "revoked", "heartbeat_lost")
    assert ending.revocation is not None
    with pytest.raises(TaskEndedError):
        await store.heartbeat(heard.id, NOW + 200, NOW + 91)
    with pytest.raises(TaskUnknownError):
        await store.heartbeat("f" * 32, NOW + 200, NOW)


async def test_a_store_that_was_set_back_begins_a_new_epoch(store: Store):
    """Only for who remembers more of this very epoch than the store knows; once, whoever asks how often."""
    task = task_row()
    await store.open_task(task, first_token(task))
    await store.end_task(task.id, "failed", "failed", NOW)
    before = await store.beat()
    assert await store.begin_epoch(before.epoch, 1) == before
    assert await store.begin_epoch("another", 9) == before
    after = await store.begin_epoch(before.epoch, 9)
    assert after.epoch != before.epoch
    assert await store.begin_epoch(before.epoch, 9) == after == await store.beat()
    assert len(await store.revocations(0)) == 1


async def test_a_store_that_was_swept_by_a_later_date_begins_a_new_epoch(store: Store):
    """Only if it has forgotten what could be good by that date, and once; a sweep of earlier takes nothing back."""
    before = await store.beat()
    assert await store.look_back(NOW) == before, "it was never swept"
    await store.purge(NOW + KEEP_SPENT, ["acme"])
    await store.purge(NOW + 50, ["acme"])
    swept = await store.look_back(NOW)
    assert (swept.epoch, swept.horizon) == (before.epoch, NOW)
    after = await store.look_back(NOW - 1)
    assert after.epoch != before.epoch
    assert after.horizon == NOW - 1 - KEEP_SPENT, "in it nothing was forgotten yet"
    assert await store.look_back(NOW - 1) == after == await store.beat()


async def test_nothing_is_forgotten_of_the_time_after_the_horizon(store: Store):
    """Whoever has a date before it may miss revocations; after it there is every one of what can still be good."""
    task = task_row()
    await store.open_task(task, first_token(task, expires=NOW + 300))
    await store.end_task(task.id, "revoked", "operator", NOW)
    for now in (NOW + 299, NOW + 300 + KEEP_SPENT, NOW + 301 + KEEP_SPENT):
        await store.purge(now, ["acme"])
        beat = await store.beat()
        assert beat.horizon == now - KEEP_SPENT
        assert bool(await store.revocations(0)) is (beat.horizon <= NOW + 300)


async def test_an_agent_is_stopped_in_one_tenant(store: Store):
    """Another tenant may know an agent of the same name: it goes on, is stopped and restored by itself."""
    own, other = task_row(ROOT), task_row(CHILD, tenant="globex")
    for task in (own, other):
        await store.open_task(task, first_token(task, task.id), 1)
    stopped = await store.stop(AN_AGENT, AGENT, "acme", "operator", FOREVER, NOW)
    assert await store.task_of(ROOT, NOW) is None
    assert await store.task_of(CHILD, NOW) == other
    await store.issue(IssuedToken("more", CHILD, NOW + 300), NOW)
    (ending,) = await store.end_tasks_of(AN_AGENT, AGENT, "acme", "operator", NOW)
    assert ending.task.id == ROOT
    also = await store.stop(AN_AGENT, AGENT, "globex", "exposed", FOREVER, NOW)
    assert list(await store.stops(0)) == [("acme", stopped), ("globex", also)]
    assert await store.restore(AN_AGENT, AGENT, "acme", NOW) is not None
    with pytest.raises(TasksOpenError):
        await store.restore(AN_AGENT, AGENT, "globex", NOW)
    assert await store.task_of(CHILD, NOW) is None
    again = task_row(SIBLING)
    await store.open_task(again, first_token(again, "again"))
