"""The admin socket: operators by their user, tasks in pages, health and readiness."""

import os
import stat

import pytest
from fakes.authority import AGENT

from gateway.endpoints.admin import operators_of
from gateway.errors import DoorwardError


async def test_operators_see_tasks(world):
    """Newest first, with every member an operator needs, and no token anywhere."""
    issued = [(await world.exchange()).json() for _ in range(3)]
    answer = await world.ask("GET", "/tasks", socket=world.admin)
    tasks = answer.json()["tasks"]
    assert {task["task"] for task in tasks} == {one["task"] for one in issued}
    assert b"dwt_" not in answer.body
    one = (await world.ask("GET", f"/tasks/{issued[0]['task']}", socket=world.admin)).json()
    assert one == {
        "task": issued[0]["task"], "state": "open", "tenant": "acme", "agent": AGENT, "subject": AGENT, "starter": AGENT,
        "intents": ["invoices.read"], "params": {}, "limits": {}, "parent": None, "met": [],
        "opened": "2027-01-15T08:00:00.000000Z", "ends": "2027-01-15T16:00:00.000000Z", "ended": None, "cause": None,
        "policy": "a1b2c3",
    }  # fmt: skip


async def test_pages(world):
    """`next` of one page is `before` of the following; together they are all tasks, each once."""
    for number in range(5):
        world.clock.seconds += number % 2 * 0.25
        await world.exchange()
    seen, before = [], None
    while True:
        query = "limit=2" + (f"&before={before}" if before else "")
        page = (await world.ask("GET", f"/tasks?{query}", socket=world.admin)).json()
        seen += [task["task"] for task in page["tasks"]]
        before = page["next"]
        if before is None:
            break
    assert len(seen) == len(set(seen)) == 5


@pytest.mark.parametrize(
    "query",
    ["state=odd", "limit=0", "limit=501", "limit=x", "limit=" + "0" * 5000, "before=x", "unknown=1", "state=open&state=open"],
)
async def test_bad_queries(world, query):
    """What cannot be meant is refused, not ignored."""
    assert (await world.ask("GET", f"/tasks?{query}", socket=world.admin)).status == 400


async def test_filters(world):
    """By state and by agent."""
    issued = (await world.exchange()).json()
    await world.by_peer()
    await world.ask("POST", f"/tasks/{issued['task']}/revoke", socket=world.admin)
    for query, count in (("state=revoked", 1), ("state=open", 1), (f"agent={AGENT}", 1), ("agent=nobody", 0), ("", 2)):
        assert len((await world.ask("GET", f"/tasks?{query}", socket=world.admin)).json()["tasks"]) == count


async def test_an_operator_revokes_over_the_socket(world):
    """The task is over at once, and the record names the operator."""
    issued = (await world.exchange()).json()
    answer = await world.ask("POST", f"/tasks/{issued['task']}/revoke", socket=world.admin)
    assert (answer.status, answer.json()["state"], answer.json()["cause"]) == (200, "revoked", "operator")
    assert await world.authority.tasks.live_token(issued["access_token"]) is None
    assert world.log.of("revocation")[0]["by"] == "user:tester"
    assert (await world.ask("POST", f"/tasks/{'f' * 32}/revoke", socket=world.admin)).status == 404


async def test_who_is_not_listed_is_no_operator(world):
    """Not even the user that Doorward runs as, be it root; health and readiness are for everybody who can connect."""
    issued = (await world.exchange()).json()
    world.operators.clear()
    world.operators[os.getuid() + 1] = "alice"
    for method, path in (("GET", "/tasks"), ("GET", f"/tasks/{issued['task']}"), ("POST", f"/tasks/{issued['task']}/revoke")):
        answer = await world.ask(method, path, socket=world.admin)
        assert (answer.status, answer.json()["error"]) == (403, "not_an_operator")
    assert await world.authority.tasks.live_token(issued["access_token"]) is not None
    assert (await world.ask("GET", "/healthz", socket=world.admin)).json() == {"status": "ok"}


async def test_readiness(world):
    """503 with the reasons while there are any."""
    assert (await world.ask("GET", "/readyz", socket=world.admin)).json() == {
        "ready": True,
        "reasons": [],
        "notices": [],
    }
    world.notices.append("the configuration was refused")
    world.reasons.append("the audit log cannot be written")
    answer = await world.ask("GET", "/readyz", socket=world.admin)
    assert (answer.status, answer.json()) == (
        503,
        {
            "ready": False,
            "reasons": ["the audit log cannot be written"],
            "notices": ["the configuration was refused"],
        },
    )


async def test_operators_have_the_configuration_read_again(world):
    """What is refused is told with its place; only an operator may ask, and may confirm."""
    answer = await world.ask("POST", "/reload", socket=world.admin)
    assert (answer.status, answer.json()["error"]) == (409, "configuration_refused")
    assert answer.json()["error_description"] == "f:1:2: this is wrong"
    assert (await world.ask("POST", "/reload?confirm=true", socket=world.admin)).json() == {"policy": "ab"}
    assert (await world.ask("POST", "/reload?confirm=yes", socket=world.admin)).status == 400
    assert world.asked == [("tester", False), ("tester", True)]
    world.operators.clear()
    assert (await world.ask("POST", "/reload?confirm=true", socket=world.admin)).status == 403


async def test_the_sockets_have_their_permissions(world):
    """The admin socket is its owner's alone; the authority's is for every user whom the folder lets in."""
    assert stat.S_IMODE(world.admin.stat().st_mode) == 0o600
    assert stat.S_IMODE(world.socket.stat().st_mode) == 0o666
    assert stat.S_IMODE(world.socket.parent.stat().st_mode) == 0o711
    assert stat.S_IMODE(world.admin.parent.stat().st_mode) == 0o711


def test_operators_are_users_of_this_machine():
    """User names become user ids; an unknown one is an error that says where to correct it."""
    assert operators_of(["root", "4711"]) == {0: "root", 4711: "4711"}
    with pytest.raises(DoorwardError, match=r"admin\.operators: this machine has no user nobody-of-this-name"):
        operators_of(["nobody-of-this-name"])


async def test_keys_are_shown_and_exchanged(world):
    """The next key is published by the answer, one exchange follows the other, and nothing private is shown."""
    before = (await world.ask("GET", "/keys", socket=world.admin)).json()["keys"]
    assert [(key["key"], key["state"]) for key in before] == [(world.authority.keys.current.kid, "signs")]
    following = await world.ask("POST", "/keys/rotate", socket=world.admin)
    assert (following.status, following.json()["state"]) == (200, "published")
    published = await world.ask("GET", "/jwks.json")
    assert [jwk["kid"] for jwk in published.json()["keys"]] == [before[0]["key"], following.json()["key"]]
    assert b'"d"' not in published.body
    again = await world.ask("POST", "/keys/rotate", socket=world.admin)
    assert (again.status, again.json()["error"]) == (409, "not_now")
    world.operators.clear()
    assert (await world.ask("POST", "/keys/rotate", socket=world.admin)).status == 403
