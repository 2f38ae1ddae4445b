"""What every store promises of quotas and sweeps where several tenants share it."""

import pytest
from fakes.authority import NOW, first_token, task_row

from gateway.stores.store import KEEP_ENDED, PAGE, Store, TooManyTasksError

OURS, THEIRS = task_row("1" * 32, ends=NOW + 10), task_row("2" * 32, tenant="globex", ends=NOW + 10)


async def over(store: Store, now: float, *tenants: str) -> set[str]:
    """The tasks that a purge for these tenants ends."""
    return {ending.task.id for ending in (await store.purge(now, tenants)).endings}


async def test_a_purge_ends_what_is_over_in_its_tenants(store: Store):
    """Expired or silent; what is of others only when it has been over for so long that nobody else seems to end it."""
    for task in (OURS, THEIRS):
        await store.open_task(task, first_token(task, task.id))
    heard = [task_row("3" * 32), task_row("4" * 32, tenant="globex")]
    for task in heard:
        await store.open_task(task, first_token(task, task.id))
        await store.heartbeat(task.id, NOW + 10, NOW)
    assert await over(store, NOW + 10, "initech") == set()
    assert await over(store, NOW + 10, "acme", "initech") == {OURS.id, heard[0].id}
    assert await over(store, NOW + 9 + KEEP_ENDED, "acme") == set()
    assert await over(store, NOW + 10 + KEEP_ENDED, "acme") == {THEIRS.id}


async def test_what_is_over_in_another_tenant_hides_nothing(store: Store):
    """However much of it there is."""
    for number in range(PAGE + 1):
        task = task_row(f"{number:032x}", tenant="globex", ends=NOW + 5)
        await store.open_task(task, None, PAGE + 2)
    own = task_row("f" * 32, ends=NOW + 10)
    await store.open_task(own, None)
    assert await over(store, NOW + 10, "acme") == {own.id}


async def test_open_tasks_are_counted_for_each_tenant(store: Store):
    """However many the agent of one has open, that of another has as many."""
    for task in (OURS, THEIRS):
        await store.open_task(task, None, 1)
        with pytest.raises(TooManyTasksError):
            await store.open_task(task_row("3" * 32, tenant=task.tenant), None, 1)
