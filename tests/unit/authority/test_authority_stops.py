"""Stopping an agent or the tenant: stored, delivered, recorded, its tasks ended; and what is lifted, or finished later."""

import pytest
from fakes.authority import AGENT, NOW, OTHER, Gateway, Log, StillClock, identity, task_row

from gateway.authority.authority import Authority
from gateway.authority.refused import RefusedError
from gateway.model import AGENT as AN_AGENT
from gateway.model import FOREVER, TENANT
from gateway.stores.store import IssuedToken, StoreUnavailableError


async def test_gateways_hear_of_the_stop_before_the_tasks_and_of_the_end_last(authority: Authority):
    """The agent first, so that nothing of it is accepted; then its tasks; then, when it is lifted, the agent again."""
    gateway = Gateway()
    await authority.feed.subscribe(gateway)
    issued = await authority.exchange.open_task(identity(), ["invoices.read"])
    await authority.stops.stop(AN_AGENT, AGENT, "operator", None, by="alice")
    await authority.stops.restore(AN_AGENT, AGENT, by="alice")
    heard = [event for event in gateway.heard if event[0] in ("revoked", "restored")]
    assert heard == [
        ("revoked", 1, f"agent:acme/{AGENT}"), ("revoked", 2, f"task:{issued.task}"), ("restored", 3, f"agent:acme/{AGENT}"),
    ]  # fmt: skip


@pytest.mark.parametrize(("kind", "name"), [(AN_AGENT, AGENT), (TENANT, "acme")])
async def test_neither_opening_nor_renewing_passes_a_stop(authority: Authority, kind: str, name: str):
    """The agent learns that an operator has to lift it; others go on if only the agent was stopped."""
    issued = await authority.exchange.open_task(identity(), ["invoices.read"])
    await authority.stops.stop(kind, name, "operator", None, by="alice")
    for work in (
        authority.exchange.open_task(identity(), ["invoices.read"]),
        authority.exchange.renew(identity(), issued.task, []),
    ):
        with pytest.raises(RefusedError):
            await work
    if kind == AN_AGENT:
        await authority.exchange.open_task(identity(OTHER), ["invoices.read"])
    await authority.stops.restore(kind, name, by="alice")
    await authority.exchange.open_task(identity(), ["invoices.read"])
    with pytest.raises(RefusedError):
        await authority.exchange.renew(identity(), issued.task, [])


async def test_what_a_dead_authority_left_open_is_ended_by_the_sweep(authority: Authority, log: Log):
    """It stored the stop and died: the tasks end with the next sweep, and a stop whose time is over is lifted."""
    issued = await authority.exchange.open_task(identity(), ["invoices.read"])
    store = authority.store
    await store.stop(AN_AGENT, AGENT, "acme", "exposed", NOW + 900, NOW)
    await authority.endings.expire()
    task = await authority.tasks.show(issued.task)
    assert (task.state, task.cause) == ("revoked", "exposed")
    assert await store.stops(0) != ()
    assert log.of("task")[-1]["by"] == "doorward"


async def test_a_stop_is_lifted_when_its_time_is_over(authority: Authority, clock: StillClock, log: Log):
    """Not before, and with a record."""
    await authority.stops.stop(AN_AGENT, AGENT, "behaviour_drift", NOW + 900, by="alice")
    clock.seconds = NOW + 899
    await authority.endings.expire()
    assert len(await authority.stops.page(0)) == 1
    clock.seconds = NOW + 900
    await authority.endings.expire()
    assert await authority.stops.page(0) == ()
    assert [(record["event"], record["by"]) for record in log.of("revocation")] == [
        ("revoked", "user:alice"), ("restored", "doorward"),
    ]  # fmt: skip


async def test_children_are_delivered_and_recorded(authority: Authority, log: Log):
    """Each with its own revocation and the cause that its parent has ended."""
    gateway = Gateway()
    await authority.feed.subscribe(gateway)
    issued = await authority.exchange.open_task(identity(), ["invoices.read"])
    child = task_row("c" * 32, parent=issued.task)
    await authority.store.open_task(child, IssuedToken("token of the child", child.id, NOW + 300))
    await authority.tasks.complete(issued.task, AGENT)
    assert [event[2] for event in gateway.of("revoked")] == [f"task:{issued.task}", f"task:{child.id}"]
    ended = [(record["event"], record["cause"]) for record in log.of("task") if record["event"] != "opened"]
    assert ended == [("completed", "completed"), ("revoked", "parent_ended")]
    assert [record["id"] for record in log.of("revocation")] == [issued.task, child.id]


async def test_another_tenants_stop_is_not_seen(authority: Authority):
    """It can be neither shown nor lifted, and no other tenant is stopped from here."""
    await authority.store.stop(AN_AGENT, OTHER, "another", "operator", FOREVER, NOW)
    assert not any(map(authority.stops.shows, await authority.stops.page(0)))
    assert await authority.stops.restore(AN_AGENT, OTHER, by="alice") is None
    with pytest.raises(RefusedError):
        await authority.stops.stop(TENANT, "another", "operator", None, by="alice")
    with pytest.raises(RefusedError):
        await authority.stops.stop(AN_AGENT, AGENT, "operator", NOW, by="alice")


async def test_no_token_of_an_epoch_that_is_over_is_given(authority: Authority, log: Log):
    """A store that was emptied knows nobody stopped, until this authority sees that it was, and puts its stops back."""
    issued = await authority.exchange.open_task(identity(OTHER), ["invoices.read"])
    await authority.stops.stop(AN_AGENT, AGENT, "operator", None, by="alice")
    await authority.store.restore(AN_AGENT, AGENT, "acme", NOW)  # by whom nobody here hears of, as when it is emptied
    beat = await authority.store.beat()
    await authority.store.begin_epoch(beat.epoch, beat.seq + 1)
    given = len(log.of("token"))
    for work in (
        authority.exchange.open_task(identity(), ["invoices.read"]),
        authority.exchange.renew(identity(OTHER), issued.task, []),
    ):
        with pytest.raises(StoreUnavailableError):
            await work
    assert len(log.of("token")) == given
    await authority.feed.beat()
    with pytest.raises(RefusedError):
        await authority.exchange.open_task(identity(), ["invoices.read"])
    await authority.exchange.open_task(identity(OTHER), ["invoices.read"])


async def test_a_stop_is_put_back_that_holds_by_the_date(authority: Authority, clock: StillClock):
    """Time here went on from a date that was ahead: by that the stop is over, and for whoever starts now it is not."""
    await authority.stops.stop(AN_AGENT, AGENT, "operator", NOW + 600, by="alice")
    await authority.store.restore(AN_AGENT, AGENT, "acme", NOW)  # as when it is emptied
    clock.seconds, clock.behind = NOW + 3600, 3600.0
    beat = await authority.store.beat()
    await authority.store.begin_epoch(beat.epoch, beat.seq + 1)
    await authority.feed.beat()
    with pytest.raises(RefusedError):
        await authority.exchange.open_task(identity(), ["invoices.read"])
