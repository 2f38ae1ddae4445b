"""How WebSockets end when one side breaks off or stops: what is told of it, and that nothing is left over."""

import asyncio

import pytest
from fakes.house import Build, House, RawClient, ScriptedUpstream
from fakes.websocket import ACCEPTED, asking, frame, took_handshake

from gateway.http.parting import reset_at_the_end

HELLO = frame(b"hello")


async def until(condition) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.01)


async def opened(door: House) -> RawClient:
    """A client whose WebSocket is open."""
    client = await door.connect()
    await client.send(asking(await door.token("items.watch")))
    assert (await client.reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 101 ")
    return client


async def closing_record(door: House) -> dict:
    """The one response record, once everything has ended."""
    await until(lambda: not door.doorward.pool.size and not door.doorward.listener.connections)
    await door.stop()
    _, (response,) = door.exchanges()
    return response


@pytest.mark.parametrize("scrub", ["full", "none"])
@pytest.mark.parametrize("resets", [True, False])
async def test_an_upstream_that_breaks_off_is_told_from_one_that_ends(house: Build, scrub: str, resets: bool) -> None:
    """Either way the caller hears what came before."""

    async def script(upstream: ScriptedUpstream, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await took_handshake(upstream, reader)
        writer.write(ACCEPTED + b"\r\n" + HELLO)
        await reader.readexactly(1)
        if resets:
            reset_at_the_end(writer.transport)
            writer.transport.abort()

    door = await house(script, upstream=f"scrub: {scrub}")
    client = await opened(door)
    assert await client.reader.readexactly(len(HELLO)) == HELLO
    await client.send(b"!")
    assert await client.ended()
    await client.close()
    response = await closing_record(door)
    expected = ("cut", "upstream_failed") if resets else ("complete", None)
    assert (response["ending"], response["code"], response["sent"], response["received"]) == (*expected, len(HELLO), 1)


async def test_a_caller_that_resets_leaves_nothing_behind(house: Build) -> None:
    """Its end is the end of the upstream's side too."""

    async def script(upstream: ScriptedUpstream, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await took_handshake(upstream, reader)
        writer.write(ACCEPTED + b"\r\n" + HELLO)
        await reader.read()

    door = await house(script)
    client = await opened(door)
    assert await client.reader.readexactly(len(HELLO)) == HELLO
    reset_at_the_end(client.writer.transport)
    client.writer.transport.abort()
    await until(lambda: not door.upstream.open)
    assert (await closing_record(door))["ending"] == "client_gone"


@pytest.mark.parametrize("scrub", ["full", "none"])
async def test_a_caller_that_does_not_read_is_given_up(house: Build, scrub: str) -> None:
    """After the time-out of a stream; the record says whose fault it was."""

    async def pour(upstream: ScriptedUpstream, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await took_handshake(upstream, reader)
        writer.write(ACCEPTED + b"\r\n")
        while not writer.is_closing():
            writer.write(frame(bytes(1 << 20), 2))
            await writer.drain()

    door = await house(pour, upstream=f"scrub: {scrub}")
    client = await opened(door)
    (connection,) = door.doorward.listener.connections
    await until(lambda: connection.full)
    for _ in range(310):
        door.doorward.sweep.advance()
    client.writer.transport.abort()
    assert (await closing_record(door))["ending"] == "client_stalled"
