"""Labels on real sockets: what strangers wrote stays with the task, on every gateway, before anybody can read it."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack

import pytest
from fakes.house import Build, House, RawClient, ScriptedUpstream, get
from fakes.sidecars import OVER_UNIX, BesideHouse

from gateway.app import Doorward
from gateway.clock import Clock
from gateway.settings.load import load

UNTRUSTED = {
    "denied": "items.burn]\n  - name: nothing is written by who has read what strangers wrote\n    intents: [items.write]\n"
    "    when: |\n      'untrusted' in task.labels\n  - name: last\n    intents: [items.burn",
}


@pytest.fixture
async def beside() -> AsyncIterator[Callable[..., BesideHouse]]:
    """Makes sidecars."""
    async with AsyncExitStack() as stack:

        def make(door: House, name: str) -> BesideHouse:
            return BesideHouse(door, Clock(), stack, OVER_UNIX, name)

        yield make


def put(token: str) -> bytes:
    return get("/api/items/1", token, "items.write", "Content-Length: 1", method="PUT") + b"x"


async def asked(client: RawClient, request: bytes) -> tuple[int, str | None]:
    await client.send(request)
    answer = await client.answer()
    return answer.status, None if answer.status == 200 else answer.problem["code"]


async def test_what_was_read_is_not_written_on(house: Build) -> None:
    """The task may write until it has read; another task of the same agent may still."""
    it = await house(**UNTRUSTED, read="adds: [untrusted]")
    client = await it.connect()
    token, other = await it.token(), await it.token()
    assert await asked(client, put(token)) == (200, None)
    assert await asked(client, get("/api/items", token)) == (200, None)
    assert await asked(client, put(token)) == (403, "denied")
    assert await asked(client, put(other)) == (200, None)
    assert await asked(client, get("/api/items", token)) == (200, None)
    await it.stop()
    (record,) = (record for record in it.records() if record.get("event") == "labelled")
    assert record["labels"] == ["untrusted"]
    assert record["task"] in {each["task"] for each in it.exchanges()[0]}


async def test_no_declaration_escapes_the_label(house: Build) -> None:
    """Whichever intent covers the operation leaves its label, whatever was declared."""
    it = await house(**UNTRUSTED, watch="adds: [untrusted]", watched="GET /items/{id}")
    client = await it.connect()
    token = await it.token()
    assert await asked(client, get("/api/items/1", token, "items.read")) == (200, None)
    assert await asked(client, put(token)) == (403, "denied")


async def test_every_gateway_knows_before_the_response_begins(house: Build, beside: Callable[..., BesideHouse]) -> None:
    """When the upstream sees the request, a sidecar that has served the task before refuses to write; and one that has not."""
    it: House
    seen: list[tuple[int, str | None]] = []
    clients: list[RawClient] = []

    async def script(upstream: ScriptedUpstream, reader, writer) -> None:
        while True:
            exchange = await upstream.request(reader)
            if exchange.head.startswith(b"GET"):
                seen.extend([await asked(client, put(token)) for client in clients])
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")

    it = await house(script, **UNTRUSTED, read="adds: [untrusted]")
    token = await it.token()
    sides = [beside(it, "first"), beside(it, "second")]
    for side in sides:
        await side.start()
        host, _, port = side.sidecar.addresses[0].rpartition(":")
        clients.append(await connect(it, host, int(port)))
    assert await asked(clients[0], put(token)) == (200, None)
    assert await asked(await it.connect(), get("/api/items", token)) == (200, None)
    assert seen == [(403, "denied"), (403, "denied")]


async def connect(it: House, host: str, port: int) -> RawClient:
    client = RawClient(*await asyncio.open_connection(host, port))
    it.stack.push_async_callback(client.close)
    return client


async def test_a_label_outlives_a_restart(house: Build) -> None:
    """It is in the store."""
    it = await house(**UNTRUSTED, read="adds: [untrusted]")
    token = await it.token()
    assert await asked(await it.connect(), get("/api/items", token)) == (200, None)
    await it.stop()
    it.doorward = Doorward(load(it.folder / "doorward.yaml"), it.clock)
    await it.doorward.start()
    it.stack.push_async_callback(it.doorward.stop)
    assert await asked(await it.connect(), put(token)) == (403, "denied")
