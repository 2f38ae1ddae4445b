"""Behaviour drift on real sockets: who keeps asking for what it may not have is ended and barred, over all gateways."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack

import pytest
from fakes.house import Build, House, RawClient, get
from fakes.sidecars import OVER_UNIX, BesideHouse

from gateway.clock import Clock


@pytest.fixture
async def beside() -> AsyncIterator[Callable[..., BesideHouse]]:
    """Makes sidecars."""
    async with AsyncExitStack() as stack:

        def make(door: House, name: str) -> BesideHouse:
            return BesideHouse(door, Clock(), stack, OVER_UNIX, name)

        yield make


async def drifting(house: Build, rule: str = "{refusals: 5, within: 1m, bar: 15m}", **changes: str) -> House:
    """A house that counts."""
    return await house(**{"denied": f"items.burn]\ndrift: {rule}\nx-rest:\n  - [items.burn", **changes})


async def statuses(client: RawClient, *requests: bytes) -> list[int]:
    found = []
    for request in requests:
        await client.send(request)
        found.append((await client.answer()).status)
    return found


async def ended(it: House, task: str) -> None:
    """Wait until the gateway knows that the task was ended."""
    async with asyncio.timeout(20):
        while f"task:{task}" not in it.doorward.standing.ended:
            await asyncio.sleep(0.01)


async def test_who_keeps_asking_for_what_it_may_not_is_ended_and_barred(house: Build) -> None:
    """Each code of what was asked for counts once; then the task is over, and its agent gets nothing more."""
    it = await drifting(house, declare="required\n    when: path.id != '7'")
    issued = await it.issue("items.read")
    token, client = issued["access_token"], await it.connect()
    refused = [
        get("/api/items/7", token),
        get("/api/items/1", token, "items.write"),
        get("/api/nowhere", token),
        get("/api/items/1", token, method="DELETE"),
    ]
    assert await statuses(client, *refused) == [403] * 4
    assert await statuses(client, get("/api/items/1", token)) == [200]
    assert await statuses(client, refused[0]) == [403]
    await ended(it, issued["task"])
    assert await statuses(client, get("/api/items/1", token)) == [401]
    async with asyncio.timeout(20):
        while (await it.issue("items.read", refusable=True)) != {}:
            await asyncio.sleep(0.01)
    await it.stop()
    causes = [record["cause"] for record in it.records() if record["type"] == "revocation" and "cause" in record]
    assert set(causes) == {"behaviour_drift"}


@pytest.mark.parametrize(
    "requests",
    [
        [get("/api/items/1", "{token}", None)] * 8,
        [get("/api/items/1", "{token}", "a b")] * 8,
        [get("/elsewhere", "{token}")] * 8,
        [get("/api/items/%2e%2e/x", "{token}")] * 8,
        [get("/api/items", "dwt_nobody")] * 8,
    ],
    ids=["undeclared", "malformed intent", "unknown upstream", "malformed", "strangers"],
)
async def test_other_refusals_do_not_count(house: Build, requests: list[bytes]) -> None:
    """Clumsiness is no drift, and strangers end nobody's task."""
    it = await drifting(house)
    issued = await it.issue("items.read")
    for request in requests:
        client = await it.connect()
        await client.send(request.replace(b"{token}", issued["access_token"].encode()))
        assert (await client.answer()).status >= 400
    await it.doorward.authority.lending.settle()
    assert await statuses(await it.connect(), get("/api/items/1", issued["access_token"])) == [200]


async def test_what_is_only_observed_is_no_drift(house: Build) -> None:
    """Nothing was refused."""
    it = await drifting(house, gateway_limits="{}\n  mode: observe")
    token = await it.token("items.read")
    assert await statuses(await it.connect(), *[get("/api/items/1", token, "items.write")] * 8) == [200] * 8
    await it.doorward.authority.lending.settle()
    assert await statuses(await it.connect(), get("/api/items/1", token)) == [200]


async def test_refusals_of_all_gateways_count_together(house: Build, beside: Callable[..., BesideHouse]) -> None:
    """Three here and two there are five."""
    it = await drifting(house)
    side = beside(it, "side")
    await side.start()
    issued = await it.issue("items.read")
    wrong = get("/api/items/1", issued["access_token"], "items.write")
    assert await statuses(await it.connect(), wrong, wrong, wrong) == [403] * 3
    host, _, port = side.sidecar.addresses[0].rpartition(":")
    client = RawClient(*await asyncio.open_connection(host, int(port)))
    it.stack.push_async_callback(client.close)
    assert await statuses(client, wrong, wrong) == [403] * 2
    await ended(it, issued["task"])
    async with asyncio.timeout(20):
        while await statuses(client, get("/api/items/1", issued["access_token"])) != [401]:
            await asyncio.sleep(0.01)
