"""What every store promises of tasks and tokens, run against each line of the registry."""

import asyncio
from dataclasses import replace

import pytest
from fakes.authority import AGENT, NOW, OTHER, first_token, task_row

from gateway.known_claims import KnownClaims
from gateway.stores.store import (
    KEEP_ENDED,
    KEEP_SPENT,
    PAGE,
    Above,
    IssuedToken,
    Store,
    StoreUnavailableError,
    TaskEndedError,
    TaskFilter,
    TaskUnknownError,
    TooManyTasksError,
)


async def test_a_task_is_read_as_it_was_opened(store: Store):
    """Every member of a task survives the store."""
    task = task_row(intents=("invoices.read", "invoices.write"), subject=OTHER, starter=OTHER)
    await store.open_task(task, first_token(task))
    assert await store.task(task.id) == task
    assert await store.task("f" * 32) is None


async def test_what_bounds_a_task_is_kept(store: Store):
    """Limits, ancestors and how it was opened survive the store, and so do those of a task that has none."""
    above = (Above("2" * 32, OTHER, {"requests": 5}), Above("3" * 32, AGENT, {}))
    task = task_row(
        limits={"rate": "20/s", "bytes": 9},
        above=above,
        delegated=True,
        met=("a", "b"),
        subject_claims=KnownClaims({"customers": ["42"]}, frozenset(("region", "vip"))),
    )
    await store.open_task(task, first_token(task))
    assert await store.task(task.id) == task
    assert (await store.issue(IssuedToken("second", task.id, NOW + 500), NOW)).above == above
    assert (task.family, task_row().family) == ("3" * 32, "1" * 32)


async def test_a_task_may_be_opened_before_its_first_token(store: Store):
    """A starter opens it and the agent joins it later; until then its end has nothing to cover."""
    task, never = task_row(), task_row("2" * 32)
    await store.open_task(task, None)
    await store.open_task(never, None)
    assert await store.issue(IssuedToken("first", task.id, NOW + 500), NOW + 5) == task
    ending = await store.end_task(task.id, "revoked", "operator", NOW + 6)
    assert ending.revocation is not None
    assert ending.revocation.until == NOW + 500
    assert (await store.end_task(never.id, "revoked", "operator", NOW + 6)).task.state == "revoked"


async def test_a_token_is_kept_in_its_own_epoch_only(store: Store):
    """What was signed before the store was emptied or set back leaves nothing in it, neither task nor token."""
    task, other = task_row(), task_row("2" * 32)
    now = await store.beat()
    await store.open_task(task, IssuedToken("first", task.id, NOW + 300, now.epoch))
    begun = await store.begin_epoch(now.epoch, now.seq + 1)
    assert begun.epoch != now.epoch
    late = IssuedToken("late", task.id, NOW + 300, now.epoch)
    with pytest.raises(StoreUnavailableError, match="epoch of this token is over"):
        await store.issue(late, NOW)
    with pytest.raises(StoreUnavailableError, match="epoch of this token is over"):
        await store.open_task(other, late._replace(task=other.id))
    assert await store.task_of("late", NOW) is None
    assert await store.task(other.id) is None
    await store.issue(late._replace(epoch=begun.epoch), NOW)
    assert await store.task_of("late", NOW) == task


async def test_an_agent_has_only_so_many_open_tasks(store: Store):
    """What would be one too many is refused whole, of this agent alone; an ended task makes room."""
    for number in range(2):
        task = task_row(f"{number:032x}")
        await store.open_task(task, first_token(task, f"token{number}"), 2)
    third, other = task_row("3" * 32), task_row("4" * 32, agent=OTHER)
    with pytest.raises(TooManyTasksError):
        await store.open_task(third, first_token(third, "third"), 2)
    assert await store.task(third.id) is None
    assert await store.task_of("third", NOW) is None
    await store.open_task(other, first_token(other, "other"), 2)
    await store.end_task(f"{0:032x}", "completed", "completed", NOW)
    await store.open_task(third, first_token(third, "third"), 2)


async def test_an_open_task_takes_tokens(store: Store):
    """A token is kept, and leads to its task as long as it lives."""
    task = task_row()
    await store.open_task(task, first_token(task))
    assert await store.issue(IssuedToken("second", task.id, NOW + 500), NOW) == task
    assert await store.task_of("first", NOW) == task
    assert await store.task_of("second", NOW + 499) == task
    assert await store.task_of("second", NOW + 500) is None
    assert await store.task_of("third", NOW) is None


async def test_an_unknown_task_takes_no_tokens(store: Store):
    """A token of no task is refused and not kept."""
    with pytest.raises(TaskUnknownError):
        await store.issue(IssuedToken("stray", "f" * 32, NOW + 300), NOW)
    assert await store.task_of("stray", NOW) is None


async def test_an_ended_task_takes_no_tokens(store: Store):
    """After its end, and after its longest life, a task is closed."""
    task, old = task_row(), task_row("2" * 32, ends=NOW + 10)
    await store.open_task(task, first_token(task))
    await store.open_task(old, first_token(old, "old"))
    await store.end_task(task.id, "completed", "completed", NOW)
    with pytest.raises(TaskEndedError) as ended:
        await store.issue(IssuedToken("second", task.id, NOW + 300), NOW)
    assert ended.value.state == "completed"
    with pytest.raises(TaskEndedError) as expired:
        await store.issue(IssuedToken("third", old.id, NOW + 300), NOW + 10)
    assert expired.value.state == "expired"
    assert await store.task_of("first", NOW) is None


async def test_a_revocation_covers_the_last_token(store: Store):
    """The entry leaves when the last token issued for the task would have expired anyway."""
    task = task_row()
    await store.open_task(task, first_token(task))
    await store.issue(IssuedToken("long", task.id, NOW + 800), NOW)
    await store.issue(IssuedToken("short", task.id, NOW + 100), NOW)
    ending = await store.end_task(task.id, "revoked", "operator", NOW + 5)
    assert ending.first
    assert ending.task == replace(task, state="revoked", ended=NOW + 5, cause="operator")
    revocation = ending.revocation
    assert revocation is not None
    assert (revocation.seq, revocation.mark, revocation.cause, revocation.until) == (
        1,
        f"task:{task.id}",
        "operator",
        NOW + 800,
    )


async def test_a_task_ends_once(store: Store):
    """The first end stays, and ending again says so with the same revocation."""
    task = task_row()
    await store.open_task(task, first_token(task))
    first = await store.end_task(task.id, "failed", "failed", NOW + 1)
    again = await store.end_task(task.id, "revoked", "operator", NOW + 2)
    assert again == first._replace(first=False)
    assert (await store.beat()).seq == 1
    with pytest.raises(TaskUnknownError):
        await store.end_task("f" * 32, "failed", "failed", NOW)


async def test_a_task_past_its_life_ends_as_expired(store: Store):
    """What is over cannot be completed any more. It is revoked all the same: by another clock it may not be over."""
    task = task_row(ends=NOW + 10)
    await store.open_task(task, first_token(task, expires=NOW + 10))
    ending = await store.end_task(task.id, "completed", "completed", NOW + 10)
    assert (ending.task.state, ending.task.ended, ending.first) == ("expired", NOW + 10, True)
    assert ending.revocation is not None
    assert (ending.revocation.mark, ending.revocation.until) == (f"task:{task.id}", NOW + 10)


@pytest.mark.parametrize(("ahead", "revoked"), [(0.0, True), (KEEP_SPENT, True), (KEEP_SPENT + 1, False)])
async def test_what_expires_is_revoked_while_it_would_be_remembered(store: Store, ahead: float, *, revoked: bool):
    """By a clock that is right it may be good, and whoever ends its parent, or stops its agent, finds it ended already."""
    task, child = task_row(ends=NOW + 10), task_row("2" * 32, ends=NOW + 10, parent="1" * 32)
    await store.open_task(task, first_token(task, expires=NOW + 10))
    await store.open_task(child, first_token(child, "child", expires=NOW + 10))
    (expired,) = (await store.purge(NOW + 10 + ahead, ["acme"])).endings
    family = (expired, *expired.descendants)
    assert {each.task.state for each in family} == {"expired"}
    marks = [f"task:{task.id}", f"task:{child.id}"] if revoked else []
    assert [each.revocation.mark for each in family if each.revocation is not None] == marks
    assert [entry.mark for entry in await store.revocations(0)] == marks
    assert all(each.revocation.until == NOW + 10 for each in family if each.revocation is not None)
    again = await store.end_task(child.id, "revoked", "operator", NOW + 5)
    assert (again.task.state, again.revocation, again.first) == ("expired", expired.descendants[0].revocation, False)


async def test_a_token_is_revoked_alone(store: Store):
    """One token ends and its sibling lives on; revoking again changes nothing; an unknown one is nothing."""
    task = task_row()
    await store.open_task(task, first_token(task))
    await store.issue(IssuedToken("second", task.id, NOW + 500), NOW)
    revocation = await store.revoke_token("first", "returned", NOW + 1)
    assert revocation is not None
    assert (revocation.mark, revocation.until) == ("token:first", NOW + 300)
    assert await store.revoke_token("first", "exposed", NOW + 2) == revocation
    assert await store.revoke_token("never", "returned", NOW) is None
    assert await store.task_of("first", NOW + 1) is None
    assert await store.task_of("second", NOW + 1) == task


async def test_revocations_are_read_in_order_and_in_pages(store: Store):
    """Numbers grow by one, a page is bounded, and nothing is read twice."""
    count = PAGE + 3
    for number in range(count):
        task = task_row(f"{number:032x}")
        await store.open_task(task, first_token(task, f"token{number}"))
        await store.end_task(task.id, "completed", "completed", NOW)
    first = await store.revocations(0)
    rest = await store.revocations(first[-1].seq)
    assert [entry.seq for entry in (*first, *rest)] == list(range(1, count + 1))
    assert len(first) == PAGE
    assert (await store.beat()).seq == count


async def test_numbers_are_never_used_again(store: Store):
    """After a purge the sequence goes on, so that no gateway misses a revocation that reuses a number."""
    task, later = task_row(), task_row("2" * 32)
    await store.open_task(task, first_token(task))
    await store.end_task(task.id, "completed", "completed", NOW)
    await store.purge(NOW + 300 + KEEP_SPENT + 1, ["acme"])
    assert await store.revocations(0) == ()
    assert (await store.beat()).seq == 1
    await store.open_task(later, first_token(later, "later"))
    ending = await store.end_task(later.id, "failed", "failed", NOW)
    assert ending.revocation is not None
    assert ending.revocation.seq == 2


async def test_purging_expires_and_forgets(store: Store):
    """Tasks past their life expire, and ended ones are forgotten after their time; open ones stay."""
    task, lasting = task_row(ends=NOW + 10), task_row("2" * 32, ends=NOW + 10 * KEEP_ENDED)
    await store.open_task(task, first_token(task, expires=NOW + 10))
    await store.open_task(lasting, first_token(lasting, "lasting"))
    assert await store.purge(NOW + 9, ["acme"]) == ((), False)
    (expired,) = (await store.purge(NOW + 10, ["acme"])).endings
    assert (expired.task.id, expired.task.state, expired.task.cause) == (task.id, "expired", "expired")
    assert await store.purge(NOW + 10, ["acme"]) == ((), False)
    await store.purge(NOW + 10 + KEEP_ENDED, ["acme"])
    assert await store.task(task.id) is not None
    await store.purge(NOW + 11 + KEEP_ENDED, ["acme"])
    assert await store.task(task.id) is None
    assert await store.task(lasting.id) == lasting


async def test_pages_of_tasks(store: Store):
    """Newest first, filtered, bounded, and continued after the last row."""
    for number in range(5):
        task = task_row(f"{number:032x}", opened=NOW + number // 2, agent=AGENT if number % 2 else OTHER)
        await store.open_task(task, first_token(task, f"token{number}"))
    await store.end_task(f"{4:032x}", "failed", "failed", NOW + 9)

    async def ids(**which: object) -> list[int]:
        return [int(task.id, 16) for task in await store.tasks(TaskFilter(**which))]

    assert await ids() == [4, 3, 2, 1, 0]
    assert await ids(agent=AGENT) == [3, 1]
    assert await ids(state="failed") == [4]
    assert await ids(tenant="other") == []
    assert await ids(limit=2) == [4, 3]
    assert await ids(limit=2, before=(NOW + 1, f"{3:032x}")) == [2, 1]
    assert len(await store.tasks(TaskFilter(limit=PAGE * 10))) == 5


async def test_issuing_and_ending_are_serial(store: Store):
    """Of many renewals racing with an end, each is either refused or covered by the revocation."""
    task = task_row()
    await store.open_task(task, first_token(task))

    async def renew(number: int) -> float:
        try:
            await store.issue(IssuedToken(f"racer{number}", task.id, NOW + 300 + number), NOW)
        except TaskEndedError:
            return 0.0
        return NOW + 300 + number

    racers = [asyncio.ensure_future(renew(number)) for number in range(100)]
    await asyncio.sleep(0)
    ending = asyncio.ensure_future(store.end_task(task.id, "revoked", "operator", NOW))
    racers += [asyncio.ensure_future(renew(number)) for number in range(100, 200)]
    issued = await asyncio.gather(*racers)
    revocation = (await ending).revocation
    assert revocation is not None
    assert revocation.until == max(issued)
    assert 0.0 in issued


async def test_a_beat_tells_the_epoch(store: Store):
    """The epoch is random and stays, and the number is that of the newest revocation."""
    beat = await store.beat()
    assert len(beat.epoch) == 32
    assert beat == await store.beat()
    assert beat.seq == 0


async def test_a_closed_store_is_unavailable(store: Store):
    """Nothing is read from or written to a store that was closed."""
    await store.close()
    with pytest.raises(StoreUnavailableError):
        await store.beat()
    with pytest.raises(StoreUnavailableError):
        await store.end_task("1" * 32, "failed", "failed", NOW)
