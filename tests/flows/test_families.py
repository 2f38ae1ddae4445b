"""A task and the tasks below it at the gateway: what they may, what they use up together, and how long the work goes on."""

import asyncio
import json

from authlib.integrations.httpx_client import AsyncOAuth2Client
from fakes.clock import SetClock
from fakes.house import AGENT, Build, House, get
from httpx2 import AsyncHTTPTransport

ACCESS_TOKEN = "urn:ietf:params:oauth:token-type:access_token"


async def status(door: House, token: str) -> int:
    """How the gateway answers one request with this token."""
    client = await door.connect()
    await client.send(get("/api/items", token))
    answer = await client.answer()
    await client.close()
    return answer.status


def details(**members: object) -> str:
    """The one element of `authorization_details`."""
    return json.dumps([{"type": "agent_task", **members}])


async def child(door: House, parent: dict, **extra: str) -> dict:
    """A task below another one, by the agent that runs the tests."""
    return await door.issue("items.read", subject_token=parent["access_token"], subject_token_type=ACCESS_TOKEN, **extra)


async def test_a_child_spends_from_every_task_above_it(house: Build) -> None:
    """Three levels with limits of their own: whoever uses, all of them count, and the first that is used up refuses."""
    door = await house()
    first = await door.issue("items.read", authorization_details=details(limits={"requests": 4}))
    second = await child(door, first)
    third = await child(door, second, authorization_details=details(limits={"requests": 2}))
    assert [await status(door, third["access_token"]) for _ in range(3)] == [200, 200, 429]
    assert await status(door, second["access_token"]) == 200
    assert await status(door, first["access_token"]) == 200
    assert [await status(door, one["access_token"]) for one in (first, second, third)] == [429, 429, 429]
    sibling = await child(door, first)
    assert await status(door, sibling["access_token"]) == 429


async def test_children_bring_no_fresh_limits_of_a_grant(house: Build) -> None:
    """A grant's limit per task is that of the whole family; a task that its agent opens anew has its own."""
    door = await house(declare="required\n    limits: {requests: 3}")
    first = await door.issue("items.read")
    children = [await child(door, first) for _ in range(4)]
    assert [await status(door, one["access_token"]) for one in children] == [200, 200, 200, 429]
    assert await status(door, first["access_token"]) == 429
    assert await status(door, (await door.issue("items.read"))["access_token"]) == 200


async def test_a_token_for_a_child_task_calls_nothing(house: Build) -> None:
    """It is for the authority alone, so whoever it is handed to cannot use it as its giver's access."""
    door = await house()
    task = await door.issue("items.read")
    handed = await door.issue(task=task["task"], authorization_details=details(may_act=AGENT))
    assert await status(door, handed["access_token"]) == 401
    assert await status(door, (await child(door, handed))["access_token"]) == 200
    await door.stop()
    refused = [record for record in door.exchanges()[0] if record["decision"] == "deny"]
    assert [record["code"] for record in refused] == ["token_invalid"]


async def test_children_end_with_their_parent_at_the_gateway(house: Build) -> None:
    """The very next request is refused, however deep."""
    door = await house()
    first = await door.issue("items.read")
    deepest = await child(door, await child(door, first))
    assert await status(door, deepest["access_token"]) == 200
    assert await door.tell(f"/tasks/{first['task']}/complete") == 200
    assert await status(door, deepest["access_token"]) == 401


async def test_a_batch_job_renews_for_hours(house: Build) -> None:
    """One task, heartbeats and renewals every hundred seconds, for seven hours; then its longest life is over."""
    clock = SetClock()
    door = await house(clock=clock)
    task = await door.issue("items.read")
    renewals = 0
    began = clock.now()
    while clock.now() - began < 7 * 3600:
        clock.ahead += 100
        assert await door.tell(f"/tasks/{task['task']}/heartbeat") == 200
        renewed = await door.issue(task=task["task"])
        assert renewed["task"] == task["task"]
        assert await status(door, renewed["access_token"]) == 200
        renewals += 1
    assert renewals > 250
    clock.ahead += 3600
    assert await door.issue(refusable=True, task=task["task"]) == {}
    await door.stop()
    ends = [record for record in door.records() if record["type"] == "task" and record["event"] != "opened"]
    assert [(record["event"], record["cause"]) for record in ends] in ([], [("expired", "expired")])


async def test_an_oauth_client_calls_an_api(house: Build) -> None:
    """Authlib gets a token by client credentials, puts it on by itself, and gets another one when it is over."""
    door = await house()

    async def turned(token: dict, **_old: str) -> None:
        tokens.append(token["access_token"])

    tokens: list[str] = []
    client = AsyncOAuth2Client(
        AGENT, token_endpoint_auth_method="none", scope="items.read", grant_type="client_credentials",
        token_endpoint="http://authority/token", update_token=turned,
        mounts={"http://authority": AsyncHTTPTransport(uds=str(door.folder / "authority.sock"))},
    )  # fmt: skip
    async with client:
        token = await client.fetch_token(grant_type="client_credentials", scope="items.read")
        url = f"http://{door.doorward.addresses[0]}/api/items"
        assert (await client.get(url, headers={"Agent-Intent": "items.read"})).text == "hello"
        token["expires_at"] = 1
        client.token = token
        answers = await asyncio.gather(*(client.get(url, headers={"Agent-Intent": "items.read"}) for _ in range(3)))
        assert [answer.status_code for answer in answers] == [200] * 3
    assert len(tokens) == 1
