"""What a request leaves behind: nothing that only the collector of circles could free, for its looks stop every request."""

import asyncio
import gc
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from fakes.house import Build, Script, ScriptedUpstream, get


@contextmanager
def caught(circles: list[str]) -> Iterator[None]:
    """Collects the kinds of our own objects that were left in circles meanwhile."""
    gc.collect()
    gc.disable()
    gc.set_debug(gc.DEBUG_SAVEALL)
    try:
        yield
        gc.collect()
        circles += sorted({type(each).__qualname__ for each in gc.garbage if type(each).__module__.startswith("gateway.")})
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.enable()


@pytest.mark.parametrize("intent", ["items.read", "items.burn", None], ids=["allowed", "denied", "undeclared"])
async def test_a_request_that_never_comes_again_leaves_no_circle(house: Build, intent: str | None) -> None:
    """Each has a path and a query of its own; allowed or refused, nothing of it is left once the answer is out."""
    door = await house()
    client = await door.connect()
    token = await door.token()
    circles: list[str] = []
    for number in range(3):  # what comes first fills the memories
        await client.send(get(f"/api/items?limit={number}", token, intent))
        await client.answer()
    with caught(circles):
        for number in range(20):
            await client.send(get(f"/api/items?limit={number + 100}", token, intent))
            await client.answer()
    assert circles == []


async def closes(upstream: ScriptedUpstream, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """One answer for each connection."""
    await upstream.request(reader)
    writer.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nhi")


async def answers_in_parts(upstream: ScriptedUpstream, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """The body comes after the head has gone on."""
    while True:
        await upstream.request(reader)
        for part in (b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n", b"hi", b"hi"):
            writer.write(part)
            await asyncio.sleep(0.005)


async def breaks_off(upstream: ScriptedUpstream, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """In the middle of the body."""
    await upstream.request(reader)
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 40\r\n\r\nhi")


async def says_nonsense(upstream: ScriptedUpstream, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """What it sends is no HTTP."""
    await upstream.request(reader)
    writer.write(b"\x00\x01 nonsense\r\n\r\n")


@pytest.mark.parametrize("script", [closes, answers_in_parts, breaks_off, says_nonsense], ids=lambda script: script.__name__)
async def test_no_upstream_leaves_a_circle(house: Build, script: Script) -> None:
    """Whether a connection is dialled for each request, the answer takes its time, or there is none."""
    door = await house(script)
    token = await door.token()
    circles: list[str] = []

    async def ask(number: int) -> None:
        client = await door.connect()
        await client.send(get(f"/api/items?limit={number}", token, "items.read", "Connection: close"))
        await client.reader.read()

    for number in range(3):
        await ask(number)
    with caught(circles):
        for number in range(20):
            await ask(number + 100)
        await asyncio.sleep(0.05)
    assert circles == []
