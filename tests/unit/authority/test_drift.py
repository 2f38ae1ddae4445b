"""Behaviour drift: how many refusals within what time end a task and bar its agent."""

import pytest
from fakes.authority import AGENT, StillClock, identity

from gateway.authority import drift as module
from gateway.authority.authority import Authority
from gateway.authority.drift import Drift
from gateway.authority.refused import RefusedError
from gateway.policy.rules import DriftRule


def counting(authority: Authority, clock: StillClock, **rule: object) -> Drift:
    made = DriftRule.model_validate({"refusals": 3, "within": "10s", "bar": "60s", **rule})
    return Drift(store=authority.store, endings=authority.endings, clock=clock, rule=lambda: made)


async def test_so_many_within_the_time_end_the_task_and_bar_the_agent(authority: Authority, clock: StillClock) -> None:
    """Not one fewer, and not the same number over a longer time; the bar ends by itself."""
    drift = counting(authority, clock)
    task = (await authority.exchange.open_task(identity(), ["invoices.read"])).task
    other = (await authority.exchange.open_task(identity(), ["invoices.read"])).task
    for _ in range(5):
        await drift.note(task)
        clock.seconds += 6.0
    await drift.note(task)
    assert (await authority.tasks.show(task)).state == "open"
    await drift.note(task)
    ended = await authority.tasks.show(task)
    assert (ended.state, ended.cause) == ("revoked", "behaviour_drift")
    assert (await authority.tasks.show(other)).state == "revoked"
    with pytest.raises(RefusedError, match="unauthorized_client"):
        await authority.exchange.open_task(identity(), ["invoices.read"])
    clock.seconds += 61.0
    await authority.endings.expire()
    assert (await authority.exchange.open_task(identity(), ["invoices.read"])).task


async def test_nobody_counts_without_a_rule(authority: Authority, clock: StillClock) -> None:
    """As when the section is left out, and when a reload has taken it away."""
    drift = Drift(store=authority.store, endings=authority.endings, clock=clock, rule=lambda: None)
    task = (await authority.exchange.open_task(identity(), ["invoices.read"])).task
    for _ in range(50):
        await drift.note(task)
    assert (await authority.tasks.show(task)).state == "open"


async def test_only_so_many_tasks_are_counted(authority: Authority, clock: StillClock, monkeypatch) -> None:
    """Of the one that was quiet for longest the refusals are forgotten; unknown and ended ones end nothing."""
    monkeypatch.setattr(module, "COUNTED", 2)
    drift = counting(authority, clock, refusals=2)
    task = (await authority.exchange.open_task(identity(), ["invoices.read"])).task
    await drift.note(task)
    await drift.note("x")
    await drift.note("y")
    await drift.note(task)
    assert (await authority.tasks.show(task)).state == "open"
    await drift.note("x")
    await drift.note("y")
    await authority.tasks.complete(task, AGENT)
    await drift.note(task)
    assert (await authority.tasks.show(task)).state == "completed"
