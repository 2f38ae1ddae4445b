"""`/revocations` on the admin socket: stopping, listing and restoring agents and the tenant."""

import pytest
from fakes.authority import AGENT, OTHER


async def test_an_operator_stops_and_restores_an_agent(world):
    """Its tasks end, nothing is issued, it is listed; restored, it gets new tasks, and its old token stays dead."""
    issued = (await world.exchange()).json()
    answer = await world.ask("POST", "/revocations", json={"kind": "agent", "id": AGENT}, socket=world.admin)
    told = {
        "kind": "agent",
        "id": AGENT,
        "tenant": "acme",
        "cause": "operator",
        "since": "2027-01-15T08:00:00.000000Z",
        "until": None,
    }
    assert (answer.status, answer.json()) == (201, told)
    assert (await world.ask("GET", "/revocations", socket=world.admin)).json()["revocations"] == [told]
    task = (await world.ask("GET", f"/tasks/{issued['task']}", socket=world.admin)).json()
    assert (task["state"], task["cause"]) == ("revoked", "operator")
    refused = await world.exchange()
    assert (refused.status, refused.json()["error"]) == (400, "unauthorized_client")
    answer = await world.ask("DELETE", f"/revocations/agent:{AGENT.replace('/', '%2F')}", socket=world.admin)
    assert (answer.status, answer.json()["restored"]) == (200, "2027-01-15T08:00:00.000000Z")
    assert (await world.exchange()).status == 200
    assert await world.authority.tasks.live_token(issued["access_token"]) is None
    assert (await world.ask("GET", "/revocations", socket=world.admin)).json() == {"revocations": [], "next": None}
    records = [(record["event"], record["kind"], record["by"]) for record in world.log.of("revocation")]
    assert records == [
        ("revoked", "agent", "user:tester"), ("revoked", "task", "user:tester"), ("restored", "agent", "user:tester"),
    ]  # fmt: skip


async def test_what_is_not_revoked_cannot_be_restored(world):
    """404, as for what does not exist."""
    for mark in (f"agent:{OTHER.replace('/', '%2F')}", "tenant:acme", "tenant:other"):
        assert (await world.ask("DELETE", f"/revocations/{mark}", socket=world.admin)).status == 404
    assert (await world.ask("DELETE", "/revocations/task:x", socket=world.admin)).status == 404


@pytest.mark.parametrize(
    "body",
    [
        {}, {"kind": "agent"}, {"kind": "task", "id": "1" * 32}, {"kind": "credential", "id": "x"}, {"kind": "agent", "id": 1},
        {"kind": "agent", "id": ""}, {"kind": "agent", "id": "x" * 2049}, {"kind": "agent", "id": "x\n"},
        {"kind": "agent", "id": "x", "cause": "whim"}, {"kind": "agent", "id": "x", "until": "tomorrow"},
        {"kind": "agent", "id": "x", "until": "2027-01-15T09:00:00"}, {"kind": "agent", "id": "x", "until": 7},
        {"kind": "agent", "id": "x", "until": "2027-01-15T08:00:00Z"}, {"kind": "tenant", "id": "other"},
        {"kind": "agent", "id": "x", "more": 1}, ["agent"],
    ],
)  # fmt: skip
async def test_what_cannot_be_meant_stops_nothing(world, body: object):
    """400, and nothing is stopped or recorded."""
    assert (await world.ask("POST", "/revocations", json=body, socket=world.admin)).status == 400
    assert (await world.ask("GET", "/revocations", socket=world.admin)).json()["revocations"] == []
    assert not world.log.of("revocation")


async def test_only_operators_stop_and_restore(world):
    """Nobody else, whatever is asked."""
    world.operators.clear()
    for method, path in (("POST", "/revocations"), ("GET", "/revocations"), ("DELETE", "/revocations/tenant:acme")):
        assert (await world.ask(method, path, socket=world.admin)).status == 403


async def test_a_stop_ends_at_its_time(world):
    """By itself, with a record that says who: no operator."""
    body = {"kind": "tenant", "id": "acme", "until": "2027-01-15T09:00:00+00:00", "cause": "exposed"}
    assert (await world.ask("POST", "/revocations", json=body, socket=world.admin)).json()[
        "until"
    ] == "2027-01-15T09:00:00.000000Z"
    await world.authority.endings.expire()
    assert (await world.exchange()).status == 400
    world.clock.seconds += 3600
    await world.authority.endings.expire()
    assert (await world.exchange()).status == 200
    assert world.log.of("revocation")[-1]["by"] == "doorward"
