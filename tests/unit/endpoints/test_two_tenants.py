"""Two authorities of different tenants on one store, with one issuer and one agent: each knows nothing of the other's tasks."""

import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from fakes.authority import AGENT, Gateway, Grants, Log, StillClock
from fakes.redis_server import RedisProcess, need_redis
from fakes.served_authority import JWT_TYPE, World, serving

from gateway.authority.refused import RefusedError
from gateway.model import AGENT as AN_AGENT
from gateway.model import TENANT
from gateway.stores.store import TaskFilter

ASSERTION = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
HEARD = 0.1
"""For so long the second one waits until the gateways of the first have heard of its key."""
ACCESS = "urn:ietf:params:oauth:token-type:access_token"


@pytest.fixture(scope="module")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisProcess]:
    """One server for all of these tests, emptied before each."""
    need_redis()
    server = RedisProcess(tmp_path_factory.mktemp("redis")).start()
    yield server
    server.kill()


@pytest.fixture
async def both(redis: RedisProcess, tmp_path: Path) -> AsyncIterator[tuple[World, World]]:
    """The authorities of acme and of globex; an identity token of the agent is good at both."""
    assert redis.ask("FLUSHALL") == "+OK"
    clock, store = StillClock(), {"redis": {"url": redis.url, "folder": "kept"}}
    made = [(tmp_path / name, clock, Log(), Grants(), os.getuid()) for name in ("acme", "globex")]
    for folder, *_ in made:
        folder.mkdir()
    async with (
        serving(*made[0], store=store, max_staleness=HEARD) as acme,
        serving(*made[1], tenant="globex", store=store, key=acme.key, max_staleness=HEARD) as globex,
    ):
        yield acme, globex


def client(world: World) -> dict[str, str]:
    """The form by which the agent of both authenticates."""
    return {"client_assertion_type": ASSERTION, "client_assertion": world.identity_token()}


async def opened(world: World) -> tuple[str, str]:
    """The token and the id of a new task; its own authority finds both."""
    issued = (await world.exchange()).json()
    assert (await world.post("/introspect", {"token": issued["access_token"], **client(world)})).json()["active"]
    return issued["access_token"], issued["task"]


async def test_another_tenants_token_is_not_active(both: tuple[World, World]):
    """Introspection says nothing of it, though its agent asks (RFC 7662 §2.2)."""
    acme, globex = both
    token, _ = await opened(acme)
    assert (await globex.post("/introspect", {"token": token, **client(globex)})).json() == {"active": False}


async def test_another_tenants_token_is_not_revoked(both: tuple[World, World]):
    """It is no token of this authority, which is no error (RFC 7009 §2.2), and it lives on."""
    acme, globex = both
    token, _ = await opened(acme)
    assert (await globex.post("/revoke", {"token": token, **client(globex)})).status == 200
    assert (await acme.post("/introspect", {"token": token, **client(acme)})).json()["active"]


@pytest.mark.parametrize("call", ["heartbeat", "complete", "fail"])
@pytest.mark.parametrize("proof", ["identity", "task token"])
async def test_another_tenants_task_is_not_reached(both: tuple[World, World], call: str, proof: str):
    """Neither with the agent's identity nor with the task's own token; it stays as it was."""
    acme, globex = both
    token, task = await opened(acme)
    bearer = token if proof == "task token" else globex.identity_token()
    answer = await globex.ask("POST", f"/tasks/{task}/{call}", headers={"Authorization": f"Bearer {bearer}"})
    assert answer.status == (401 if proof == "task token" else 404)
    shown = await acme.authority.tasks.show(task)
    assert (shown.state, shown.due) == ("open", None)


async def test_another_tenants_task_is_not_shown_listed_or_ended_by_operators(both: tuple[World, World]):
    """It looks like one that does not exist."""
    acme, globex = both
    _, task = await opened(acme)
    for method, path in (("GET", f"/tasks/{task}"), ("POST", f"/tasks/{task}/revoke")):
        assert (await globex.ask(method, path, socket=globex.admin)).status == 404
    assert (await globex.ask("GET", "/tasks", socket=globex.admin)).json()["tasks"] == []
    assert await globex.authority.tasks.page(TaskFilter(tenant="acme")) == ()
    await globex.authority.tasks.end_as_drifted(task, "a1b2c3")
    assert (await acme.authority.tasks.show(task)).state == "open"


async def test_another_tenants_task_gives_no_token_and_no_child(both: tuple[World, World]):
    """Neither is it renewed, nor is its token a subject token or an actor token."""
    acme, globex = both
    token, task = await opened(acme)
    for extra in (
        (("task", task),),
        (("subject_token", token), ("subject_token_type", ACCESS), *client(globex).items()),
        (("actor_token", token), ("actor_token_type", ACCESS)),
        (("actor_token", token), ("actor_token_type", JWT_TYPE)),
    ):
        answer = await globex.exchange(*extra)
        assert answer.status == 400, answer.body
        assert "access_token" not in answer.json()
    assert await globex.authority.tasks.page(TaskFilter()) == ()


async def test_the_feed_tells_nothing_of_another_tenant(both: tuple[World, World]):
    """Neither of its tasks and tokens nor of what is stopped and restored; the numbers go on, and own entries come."""
    acme, globex = both
    told, late = Gateway(), Gateway()
    await globex.authority.feed.subscribe(told)
    token, task = await opened(acme)
    assert (await acme.post("/revoke", {"token": token, **client(acme)})).status == 200
    await acme.authority.tasks.revoke(task, "alice")
    await acme.authority.stops.stop(TENANT, "acme", "operator", None, by="alice")
    await acme.authority.stops.restore(TENANT, "acme", by="alice")
    await globex.authority.feed.beat()
    await globex.authority.feed.subscribe(late)
    assert [event for gateway in (told, late) for event in gateway.heard if event[0] in ("revoked", "restored")] == []
    _, own = await opened(globex)
    await globex.authority.tasks.revoke(own, "bob")
    assert [event[2] for event in told.of("revoked")] == [f"task:{own}"] == [event[2] for event in late.of("revoked")]


async def test_an_agent_that_another_tenant_has_stopped_goes_on(both: tuple[World, World]):
    """Its task here lives and is renewed, and it opens another one."""
    acme, globex = both
    token, task = await opened(globex)
    await opened(acme)
    await acme.authority.stops.stop(AN_AGENT, AGENT, "operator", None, by="alice")
    assert (await globex.post("/introspect", {"token": token, **client(globex)})).json()["active"]
    assert (await globex.exchange(("task", task))).status == 200
    await opened(globex)
    assert (await acme.exchange()).status == 400


async def test_operators_neither_see_nor_lift_what_another_tenant_has_stopped(both: tuple[World, World]):
    """It is not in their list, and there is nothing to restore."""
    acme, globex = both
    await acme.authority.stops.stop(AN_AGENT, AGENT, "operator", None, by="alice")
    await acme.authority.stops.stop(TENANT, "acme", "operator", None, by="alice")
    assert (await globex.ask("GET", "/revocations", socket=globex.admin)).json()["revocations"] == []
    for name in (f"agent:{AGENT}", "tenant:acme"):
        assert (await globex.ask("DELETE", f"/revocations/{name}", socket=globex.admin)).status == 404
    with pytest.raises(RefusedError):
        await globex.authority.stops.stop(TENANT, "acme", "operator", None, by="bob")


async def test_what_is_over_in_another_tenant_is_left_to_its_authority(both: tuple[World, World]):
    """Neither its tasks nor its stops are swept here, and their end is in the log of their own authority."""
    acme, globex = both
    for each in both:  # the sweeps with which they start are over then, and see no later time
        await each.authority.endings.expire()
    await opened(globex)
    await globex.authority.stops.stop(AN_AGENT, "spiffe://globex.example/x", "operator", acme.clock.now() + 60, by="bob")
    acme.clock.seconds += 40_000
    recorded = len(acme.log.records)
    await acme.authority.endings.expire()
    assert [kind for kind, _ in acme.log.records[recorded:] if kind in ("task", "revocation")] == []
    recorded = len(globex.log.records)
    await globex.authority.endings.expire()
    ended = [(kind, members["event"]) for kind, members in globex.log.records[recorded:] if kind in ("task", "revocation")]
    assert ended == [("revocation", "restored"), ("task", "expired")]


async def test_a_stop_outlives_what_another_tenant_restores(both: tuple[World, World]):
    """Where both have stopped the agent, the one that restores it does so for itself, and no gateway of the other hears."""
    acme, globex = both
    told = Gateway()
    await globex.authority.feed.subscribe(told)
    for world in both:
        await world.authority.stops.stop(AN_AGENT, AGENT, "operator", None, by="alice")
    assert [event[2] for event in told.of("revoked")] == [f"agent:globex/{AGENT}"]
    assert await acme.authority.stops.restore(AN_AGENT, AGENT, by="alice") is not None
    await globex.authority.feed.beat()
    assert told.of("restored") == []
    assert ((await acme.exchange()).status, (await globex.exchange()).status) == (200, 400)
