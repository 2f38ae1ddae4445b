"""What every store promises of counters, of keys that are used once, and of labels."""

import asyncio

import pytest
from fakes.authority import NOW, first_token, task_row

from gateway.stores.store import KEEP_ENDED, KEEP_SPENT, Store, TaskUnknownError


async def test_no_more_is_drawn_than_there_is(store: Store):
    """What is left, up to what is wanted; keys are counted apart, and what is given back can be drawn again."""
    assert await store.draw("a", 6, 10, NOW + 60, NOW) == 6
    assert await store.draw("a", 6, 10, NOW + 60, NOW) == 4
    assert await store.draw("a", 6, 10, NOW + 60, NOW) == 0
    assert await store.draw("b", 6, 10, NOW + 60, NOW) == 6
    await store.give_back("a", 3)
    assert await store.draw("a", 6, 10, NOW + 60, NOW) == 3
    assert await store.draw("a", 6, 5, NOW + 60, NOW) == 0
    assert await store.draw("a", 6, 12, NOW + 60, NOW) == 2


async def test_nothing_is_given_back_that_was_not_drawn(store: Store):
    """Neither too much, nor less than nothing, nor under a key that nobody drew from."""
    await store.give_back("a", 100)
    assert await store.draw("a", 20, 10, NOW + 60, NOW) == 10
    await store.give_back("a", 100)
    await store.give_back("a", -5)
    assert await store.draw("a", 20, 10, NOW + 60, NOW) == 10
    assert await store.draw("a", -5, 10, NOW + 60, NOW) == 0
    assert await store.draw("a", 1, 11, NOW + 60, NOW) == 1


async def test_what_was_drawn_is_forgotten_at_its_end(store: Store):
    """At the latest end that was named, whether or not it was purged."""
    assert await store.draw("a", 10, 10, NOW + 60, NOW) == 10
    assert await store.draw("a", 10, 10, NOW + 30, NOW) == 0
    assert await store.draw("a", 10, 10, NOW + 90, NOW + 59) == 0
    await store.purge(NOW + 89 + KEEP_SPENT, ["acme"])
    assert await store.draw("a", 10, 10, NOW + 90, NOW + 89) == 0
    assert await store.draw("a", 10, 10, NOW + 200, NOW + 90) == 10


async def test_many_who_draw_at_once_never_get_too_much(store: Store):
    """Exactly what there is, to the last one."""
    drawn = await asyncio.gather(*(store.draw("a", 7, 100, NOW + 60, NOW) for _ in range(40)))
    assert sum(drawn) == 100
    assert sorted(drawn)[-14:] == [7] * 14


async def test_what_is_counted_is_told_as_it_was_before(store: Store):
    """Each key apart, in one step, and forgotten at the latest end that was named."""
    assert await store.count({"a": 1, "b": 5}, NOW + 60, NOW) == {"a": 0, "b": 0}
    assert await store.count({"b": 1, "a": 2}, NOW + 30, NOW) == {"b": 5, "a": 1}
    assert await store.count({"a": 1}, NOW + 90, NOW + 59) == {"a": 3}
    await store.purge(NOW + 89 + KEEP_SPENT, ["acme"])
    assert await store.count({"a": 1, "b": 1}, NOW + 200, NOW + 89) == {"a": 4, "b": 0}
    assert await store.count({"a": 1}, NOW + 300, NOW + 200) == {"a": 0}


async def test_many_who_count_at_once_get_each_number_once(store: Store):
    """None is missing and none is given twice."""
    before = await asyncio.gather(*(store.count({"a": 1}, NOW + 60, NOW) for _ in range(40)))
    assert sorted(each["a"] for each in before) == list(range(40))


async def hold(store: Store, holder: str, amount: int, *, key: str = "k", most: int = 10, now: float = NOW) -> int:
    return await store.hold(key, holder, amount, most=most, until=now + 15, now=now)


async def test_no_more_is_held_than_there_is(store: Store):
    """A holder gets what others leave, in place of what it held before; keys are apart."""
    assert await hold(store, "one", 6) == 6
    assert await hold(store, "two", 6) == 4
    assert await hold(store, "one", 8) == 6
    assert await hold(store, "one", 2) == 2
    assert await hold(store, "two", 9) == 8
    assert await hold(store, "two", 9, key="other") == 9
    assert await hold(store, "three", 1) == 0
    assert await hold(store, "three", 1, most=5) == 0
    assert await hold(store, "one", 0) == 0
    assert await hold(store, "three", 5) == 2


async def test_what_is_held_lasts_until_its_end_and_can_be_prolonged(store: Store):
    """Whoever is not heard of holds nothing any more; whoever prolongs in time keeps it; whoever ends it now has none."""
    await hold(store, "one", 6)
    await hold(store, "one", 3, key="other")
    await hold(store, "two", 4)
    await store.prolong("one", NOW + 30, NOW + 14)
    assert await hold(store, "three", 10, now=NOW + 15) == 4
    await store.prolong("two", NOW + 90, NOW + 16)
    assert await hold(store, "two", 10, now=NOW + 16) == 0
    await store.prolong("one", NOW + 17, NOW + 17)
    assert await hold(store, "two", 10, now=NOW + 17) == 6
    assert await hold(store, "two", 10, key="other", now=NOW + 17) == 10


async def test_many_who_hold_at_once_never_hold_too_much(store: Store):
    """Exactly as many as there are, to the last one."""
    held = await asyncio.gather(*(hold(store, f"h{number}", 7, most=100) for number in range(40)))
    assert sum(held) == 100


async def test_a_key_is_used_once(store: Store):
    """Until its end, however many ask; then it is a new key."""
    first = await asyncio.gather(*(store.once("jti", NOW + 60, NOW) for _ in range(20)))
    assert sum(first) == 1
    assert await store.once("another", NOW + 60, NOW)
    await store.purge(NOW + 59, ["acme"])
    assert not await store.once("jti", NOW + 70, NOW + 59)
    assert not await store.once("jti", NOW + 70, NOW + 69)
    assert await store.once("jti", NOW + 90, NOW + 70)
    await store.purge(NOW + 91 + KEEP_SPENT, ["acme"])
    assert await store.once("jti", NOW + 90, NOW)


async def test_labels_are_those_of_the_family(store: Store):
    """What a child carries its parent and siblings carry, and other families do not."""
    root, child, other = task_row(), task_row("2" * 32, parent="1" * 32), task_row("3" * 32)
    for task in (root, child, other):
        await store.open_task(task, first_token(task, task.id))
    assert await store.labels(root.id) == frozenset()
    assert await store.label(child.id, ["read_pii", "read_pii"]) == {"read_pii"}
    assert await store.label(root.id, ["wrote"]) == {"read_pii", "wrote"}
    assert await store.label(root.id, []) == {"read_pii", "wrote"}
    assert await store.labels(child.id) == {"read_pii", "wrote"}
    assert await store.labels(other.id) == frozenset()
    for unknown in (store.labels("f" * 32), store.label("f" * 32, ["x"])):
        with pytest.raises(TaskUnknownError):
            await unknown


async def test_labels_leave_with_their_task(store: Store):
    """When the task is forgotten, a later one of the same id has none of its labels."""
    task = task_row()
    await store.open_task(task, first_token(task))
    await store.label(task.id, ["read_pii"])
    await store.end_task(task.id, "failed", "failed", NOW)
    await store.purge(NOW + KEEP_ENDED + 1, ["acme"])
    assert await store.task(task.id) is None
    await store.open_task(task, first_token(task, "again"))
    assert await store.labels(task.id) == frozenset()
