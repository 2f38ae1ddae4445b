"""Revoking, introspecting, completing and failing over HTTP: who may, and what others see."""

import os

import pytest
from fakes.authority import AGENT

STRANGER = os.getuid() + 12345
ASSERTION = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"


def client(world, name="reconciler"):
    """The form by which a client authenticates."""
    return {"client_assertion_type": ASSERTION, "client_assertion": world.identity_token(name)}


async def active(world, token):
    """Whether its own agent sees the token as active."""
    return (await world.post("/introspect", {"token": token, **client(world)})).json()["active"]


async def test_introspection(world):
    """The agent sees its token's claims; another client sees only that it is not active (RFC 7662 §2.2)."""
    issued = (await world.exchange()).json()
    members = (await world.post("/introspect", {"token": issued["access_token"], **client(world)})).json()
    assert members["active"] is True
    assert (members["sub"], members["txn"], members["token_type"]) == (AGENT, issued["task"], "Bearer")
    for form in ({**client(world, "other"), "token": issued["access_token"]}, {**client(world), "token": "dwt_unknown"}):
        assert (await world.post("/introspect", form)).json() == {"active": False}


async def test_revoking(world):
    """200 with no store of secrets in it, also for unknown tokens; the token is dead at once (RFC 7009 §2.2)."""
    token = (await world.exchange()).json()["access_token"]
    for form in ({"token": "unknown"}, {"token": token, "token_type_hint": "refresh_token"}, {"token": token}):
        assert (await world.post("/revoke", {**form, **client(world)})).status == 200
    assert not await active(world, token)


async def test_revoking_a_strangers_token(world):
    """Another client's token stays as it is."""
    token = (await world.exchange()).json()["access_token"]
    answer = await world.post("/revoke", {"token": token, **client(world, "other")})
    assert (answer.status, answer.json()["error"]) == (400, "unauthorized_client")
    assert await active(world, token)


async def test_a_local_user_is_a_client_too(world):
    """On the Unix socket the kernel authenticates the client."""
    token = (await world.by_peer()).json()["access_token"]
    assert (await world.post("/introspect", {"token": token}, socket=world.socket)).json()["active"]
    assert (await world.post("/revoke", {"token": token}, socket=world.socket)).status == 200
    assert not (await world.post("/introspect", {"token": token}, socket=world.socket)).json()["active"]


@pytest.mark.parametrize("path", ["/revoke", "/introspect"])
@pytest.mark.parametrize(
    ("change", "status", "code"),
    [
        ({"token": ""}, 400, "invalid_request"),
        ({"client_assertion": ""}, 400, "invalid_request"),
        ({"client_assertion_type": ""}, 400, "invalid_request"),
        ({"client_assertion_type": "other"}, 401, "invalid_client"),
        ({"client_assertion_type": "", "client_assertion": ""}, 401, "invalid_client"),
        ({"client_assertion": "no-jwt"}, 401, "invalid_client"),
        ({"client_id": "somebody"}, 401, "invalid_client"),
    ],
)
async def test_clients_must_authenticate(world, path, change, status, code):
    """Nobody learns or changes anything without proof of who it is."""
    token = (await world.exchange()).json()["access_token"]
    answer = await world.post(path, {"token": token, **client(world), **change})
    assert (answer.status, answer.json()["error"]) == (status, code)
    assert await active(world, token)


@pytest.mark.parametrize("world", [STRANGER], indirect=True)
async def test_a_strange_user_is_no_client(world):
    """A user who is no agent cannot ask about tokens, and not end tasks."""
    issued = (await world.exchange()).json()
    answer = await world.post("/introspect", {"token": issued["access_token"]}, socket=world.socket)
    assert (answer.status, answer.json()["error"]) == (401, "invalid_client")
    answer = await world.ask("POST", f"/tasks/{issued['task']}/fail", socket=world.socket)
    assert (answer.status, answer.json()["error"]) == (401, "invalid_token")


@pytest.mark.parametrize(("ending", "state"), [("complete", "completed"), ("fail", "failed")])
@pytest.mark.parametrize("proof", ["identity", "task token", "user"])
async def test_an_agent_ends_its_task_over_http(world, ending, state, proof):
    """By an identity token, by the task's own token, or by the kernel's word; the token is dead at once."""
    issued = (await (world.by_peer() if proof == "user" else world.exchange())).json()
    bearer = {"identity": world.identity_token(), "task token": issued["access_token"], "user": None}[proof]
    headers = None if bearer is None else {"Authorization": f"Bearer {bearer}"}
    answer = await world.ask("POST", f"/tasks/{issued['task']}/{ending}", headers=headers, socket=world.socket)
    assert (answer.status, answer.json()["state"]) == (200, state)
    assert await world.authority.tasks.live_token(issued["access_token"]) is None


async def test_ending_in_another_way_is_a_conflict(world):
    """The same end again is fine; another one is 409."""
    issued = (await world.exchange()).json()
    headers = {"Authorization": f"Bearer {world.identity_token()}"}
    path = f"/tasks/{issued['task']}"
    statuses = [(await world.ask("POST", f"{path}/{end}", headers=headers)).status for end in ("fail", "fail", "complete")]
    assert statuses == [200, 200, 409]


async def test_a_task_of_somebody_else_is_unknown(world):
    """Another agent, the token of another task, and an unknown task all read 404."""
    mine, other = [(await world.exchange()).json() for _ in range(2)]
    for bearer in (world.identity_token("other"), other["access_token"]):
        answer = await world.ask("POST", f"/tasks/{mine['task']}/fail", headers={"Authorization": f"Bearer {bearer}"})
        assert (answer.status, answer.json()["error"]) == (404, "task_unknown")
    headers = {"Authorization": f"Bearer {world.identity_token()}"}
    assert (await world.ask("POST", f"/tasks/{'f' * 32}/fail", headers=headers)).status == 404
    assert (await world.ask("POST", "/tasks/x/fail", headers=headers)).status == 404


async def test_challenges(world):
    """Without proof a bare challenge; with a bad one invalid_token (RFC 6750 §3.1); odd headers are malformed."""
    issued = (await world.exchange()).json()
    path = f"/tasks/{issued['task']}/fail"
    bare = await world.ask("POST", path)
    assert (bare.status, bare.headers["WWW-Authenticate"]) == (401, "Bearer")
    for bearer in ("no-jwt", "dwt_forged", issued["access_token"][:-2] + "AA"):
        bad = await world.ask("POST", path, headers={"Authorization": f"bearer {bearer}"})
        assert (bad.status, bad.headers["WWW-Authenticate"]) == (401, 'Bearer error="invalid_token"')
    for header in ("Basic YTpi", "Bearer ", "Bearer"):
        assert (await world.ask("POST", path, headers={"Authorization": header})).status == 400


async def test_without_the_store_nothing_is_said_to_be_ended(world):
    """503, and the task is still open when the store is back."""
    issued = (await world.exchange()).json()
    world.break_store()
    headers = {"Authorization": f"Bearer {world.identity_token()}"}
    assert (await world.ask("POST", f"/tasks/{issued['task']}/fail", headers=headers)).status == 503
    assert (await world.post("/revoke", {"token": issued["access_token"], **client(world)})).status == 503
    world.mend_store()
    assert await active(world, issued["access_token"])


async def test_a_task_that_falls_silent_ends(world):
    """From its first heartbeat on; one that never sent any lives on, and a stranger's heartbeat is for no task."""
    heard, never = (await world.exchange()).json(), (await world.exchange()).json()
    headers = {"Authorization": f"Bearer {heard['access_token']}"}
    path = f"/tasks/{heard['task']}/heartbeat"
    assert (await world.ask("POST", path, headers=headers)).json()["state"] == "open"
    stranger = {"Authorization": f"Bearer {never['access_token']}"}
    assert (await world.ask("POST", path, headers=stranger)).status == 404
    world.clock.seconds += 119
    await world.authority.endings.expire()
    assert (await world.ask("POST", path, headers=headers)).status == 200
    world.clock.seconds += 120
    await world.authority.endings.expire()
    task = await world.authority.tasks.show(heard["task"])
    assert (task.state, task.cause) == ("revoked", "heartbeat_lost")
    assert (await world.ask("POST", path, headers=headers)).status == 401
    assert (await world.authority.tasks.show(never["task"])).state == "open"
