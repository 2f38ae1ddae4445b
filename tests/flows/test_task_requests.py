"""How many requests a task has made, in conditions, on real sockets: exact over all gateways."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack

import pytest
from fakes.house import Build, House, RawClient, get
from fakes.sidecars import OVER_UNIX, BesideHouse

from gateway.app import Doorward
from gateway.clock import Clock
from gateway.settings.load import load

FIVE = "required\n    when: task.requests < 5"
LATE = """items.burn]
  - name: nothing is written later
    intents: [items.write]
    when: task.requests >= 2
  - name: last
    intents: [items.burn"""


@pytest.fixture
async def beside() -> AsyncIterator[Callable[..., BesideHouse]]:
    """Makes sidecars."""
    async with AsyncExitStack() as stack:

        def make(door: House, name: str) -> BesideHouse:
            return BesideHouse(door, Clock(), stack, OVER_UNIX, name)

        yield make


async def asked(client: RawClient, token: str, request: str = "GET /items", intent: str = "items.read") -> str | None:
    """The code of the refusal; None if there was none."""
    method, _, path = request.partition(" ")
    await client.send(get(f"/api{path}", token, intent, "Content-Length: 0", method=method))
    answer = await client.answer()
    return None if answer.status == 200 else answer.problem["code"]


async def test_every_request_of_the_task_counts(house: Build) -> None:
    """Whatever its intent and whatever came of it; each task has its own count, and no decision is kept."""
    door = await house(denied=LATE)
    client = await door.connect()
    token, other = await door.token(), await door.token()
    assert await asked(client, token, "PUT /items/1", "items.write") is None
    assert await asked(client, token) is None
    for _ in range(3):
        assert await asked(client, token, "PUT /items/1", "items.write") == "denied"
    assert await asked(client, token) is None
    assert await asked(client, other, "DELETE /items/1", "items.read") == "denied"
    assert await asked(client, other, "PUT /items/1", "items.write") is None
    assert await asked(client, other, "PUT /items/1", "items.write") == "denied"


async def test_a_task_below_begins_no_new_count(house: Build) -> None:
    """Nothing is gained by handing the work to oneself; and a renewed token counts on."""
    door = await house(declare=FIVE)
    client = await door.connect()
    task = await door.issue("items.read")
    assert [await asked(client, task["access_token"]) for _ in range(2)] == [None] * 2
    again = await door.issue(task=task["task"])
    assert await asked(client, again["access_token"]) is None
    kind = "urn:ietf:params:oauth:token-type:access_token"
    peer = {"actor_token": "peer", "actor_token_type": "urn:doorward:unix-peer"}
    below = await door.issue("items.read", subject_token=again["access_token"], subject_token_type=kind, **peer)
    assert below["task"] != task["task"]
    assert [await asked(client, below["access_token"]) for _ in range(3)] == [None, None, "condition_failed"]
    assert await asked(client, task["access_token"]) == "condition_failed"


async def test_it_is_exact_over_several_gateways(house: Build, beside: Callable[..., BesideHouse]) -> None:
    """Of many requests at once, through three gateways, exactly as many pass as the condition lets."""
    door = await house(declare=FIVE)
    token = await door.token()
    addresses = [door.doorward.addresses[0]]
    for name in ("first", "second"):
        side = beside(door, name)
        await side.start()
        addresses.append(side.sidecar.addresses[0])
    clients = []
    for address in addresses * 8:
        host, _, port = address.rpartition(":")
        clients.append(RawClient(*await asyncio.open_connection(host, int(port))))
        door.stack.push_async_callback(clients[-1].close)
    codes = Counter(await asyncio.gather(*(asked(client, token) for client in clients)))
    assert codes == {None: 5, "condition_failed": 19}


async def test_the_count_outlives_a_restart(house: Build) -> None:
    """It is in the store."""
    door = await house(declare=FIVE)
    token = await door.token()
    assert [await asked(await door.connect(), token) for _ in range(4)] == [None] * 4
    await door.stop()
    door.doorward = Doorward(load(door.folder / "doorward.yaml"), door.clock)
    await door.doorward.start()
    door.stack.push_async_callback(door.doorward.stop)
    assert [await asked(await door.connect(), token) for _ in range(2)] == [None, "condition_failed"]
