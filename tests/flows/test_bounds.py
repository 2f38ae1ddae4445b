"""Bounds that need a whole Doorward to be seen: what happens at each, and just before it."""

import asyncio
import socket
import threading

import pytest
from fakes.house import Build, House, RawClient, ScriptedUpstream, get

from gateway.clock import Clock
from gateway.errors import ConfigurationError
from gateway.http.parting import LINGERING_BYTES, LINGERING_SECONDS
from gateway.http.relay import AT_ONCE, MOST_INTERIM


async def until(condition) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.01)


def pass_seconds(door: House, seconds: int) -> None:
    """Let the sweep believe that time has gone by; nothing else moves."""
    for _ in range(seconds):
        door.doorward.sweep.advance()


async def refused_upload(door: House) -> RawClient:
    """A client that was refused while it still has a large body to send."""
    client = await door.connect()
    await client.send(get("/api/items", None, "items.write", "Content-Length: 100000000", method="POST"))
    assert (await client.answer()).problem["code"] == "token_missing"
    assert await client.ended()
    return client


async def send_without_end(client: RawClient) -> None:
    while True:
        await client.send(bytes(LINGERING_BYTES))


async def test_a_little_of_an_unwanted_body_is_read_away(house: Build) -> None:
    """So that the caller gets to see the answer; who goes on sending beyond that is cut off."""
    door = await house()
    client = await refused_upload(door)
    await client.send(bytes(LINGERING_BYTES // 2))
    await asyncio.sleep(0.1)
    assert len(door.doorward.listener.connections) == 1
    with pytest.raises(ConnectionError):
        await asyncio.wait_for(send_without_end(client), 10)
    assert door.doorward.listener.connections == set()


async def test_an_unwanted_body_is_waited_for_only_so_long(house: Build) -> None:
    """A caller that neither sends nor leaves is cut off too, however slowly it drips."""
    door = await house()
    client = await refused_upload(door)
    await client.send(b"drip")
    await asyncio.sleep(0.05)
    assert len(door.doorward.listener.connections) == 1
    pass_seconds(door, int(LINGERING_SECONDS) + 2)
    await until(lambda: not door.doorward.listener.connections)
    await client.close()


@pytest.mark.parametrize(("interim", "status"), [(MOST_INTERIM - 1, 200), (MOST_INTERIM, 502)])
async def test_interim_responses_are_taken_only_so_often(house: Build, interim: int, status: int) -> None:
    """An upstream that goes on with hints and never answers is given up, with its connection."""

    async def script(upstream: ScriptedUpstream, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await upstream.request(reader)
        for _ in range(interim):
            writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            await writer.drain()
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        await writer.drain()
        await reader.read()

    door = await house(script)
    client = await door.connect()
    await client.send(get("/api/items", await door.token()))
    answer = await client.answer()
    assert answer.status == status
    if status == 502:
        assert answer.problem["detail"] == "The upstream sends interim responses without end."
        await until(lambda: door.doorward.pool.size == 0)


async def test_only_what_dies_at_once_is_sent_again(house: Build) -> None:
    """What an upstream has thought about for a while it may have done: then even a GET is told to the caller, not repeated."""

    async def script(upstream: ScriptedUpstream, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await upstream.request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        await writer.drain()
        await upstream.request(reader)
        await asyncio.sleep(AT_ONCE + 0.1)

    door = await house(script)
    token = await door.token()
    client = await door.connect()
    await client.send(get("/api/items", token))
    assert (await client.answer()).body == b"ok"
    await client.send(get("/api/items", token))
    assert (await client.answer()).problem["code"] == "upstream_failed"
    assert (len(door.upstream.seen), door.upstream.connections) == (2, 1)


async def test_connecting_has_a_time_out_of_its_own(house: Build) -> None:
    """TLS included: an upstream that accepts and never shakes hands is given up, and nothing is left of the attempt."""

    async def stay_silent(_upstream: ScriptedUpstream, reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        await reader.read()

    silence = ScriptedUpstream(stay_silent)
    port = await silence.start()
    door = await house(url=f"https://127.0.0.1:{port}", upstream="timeouts: {connect: 5s, head: 60s}")
    client = await door.connect()
    await client.send(get("/api/items", await door.token()))
    await until(lambda: silence.open == 1)
    pass_seconds(door, 4)
    assert not client.reader.at_eof()
    assert silence.open == 1
    pass_seconds(door, 4)
    answer = await client.answer()
    assert (answer.status, answer.problem["code"]) == (504, "upstream_timeout")
    assert answer.problem["detail"] == "No connection to the upstream api in time."
    await until(lambda: silence.open == 0)
    assert not any(name.startswith("dial") for name in door.clock.running)
    assert door.doorward.pool.size == 0
    await silence.stop()


async def test_a_name_whose_servers_never_answer_is_looked_up_once(house: Build, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many requests wait for it, and after them: each is told in time, and one thread is all that they cost."""
    asked, answer = [], threading.Event()
    door = await house(url="http://api.test", upstream="timeouts: {connect: 5s}")
    door.stack.callback(answer.set)

    def hang(host: str, *_: object, **__: object) -> list[tuple]:
        asked.append(host)
        answer.wait()
        return []

    token = await door.token()
    monkeypatch.setattr(socket, "getaddrinfo", hang)
    for _ in range(2):
        clients = [await door.connect() for _ in range(10)]
        for client in clients:
            await client.send(get("/api/items", token))
        await until(lambda: sum(task.get_name() == "dial api" for task in door.clock._tasks) == 10)
        pass_seconds(door, 8)
        for client in clients:
            assert (await client.answer()).problem["code"] == "upstream_timeout"
        await until(lambda: not any(name.startswith("dial") for name in door.clock.running))
    assert asked == ["api.test"]
    answer.set()
    client = await door.connect()
    await client.send(get("/api/items", token))
    assert (await client.answer()).problem["detail"] == "The name of the upstream api cannot be resolved."


async def test_an_exception_reaches_only_so_far_ahead(house: Build) -> None:
    """`exceptions.max` counts whole days: the last one that fits is taken, the next is a flaw with its place."""
    clock = Clock()
    days = [clock.stamp(clock.now() + ahead * 86400)[:10] for ahead in (180, 181)]
    await house(clock=clock, expires=days[0])
    with pytest.raises(ConfigurationError, match=r":\d+:\d+: this is more than 180 days ahead, which is `exceptions\.max`"):
        await house(clock=clock, expires=days[1])


async def test_an_upstream_that_ends_its_side_and_takes_nothing_is_let_go(house: Build) -> None:
    """It has closed for writing, so it looks ended; what it never reads must not keep the connection after the exchange."""
    gone = asyncio.Event()

    async def deaf(_upstream: ScriptedUpstream, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.transport.pause_reading()
        await asyncio.sleep(0.3)
        writer.write_eof()
        async with asyncio.timeout(10):
            await gone.wait()

    door = await house(deaf, upstream="timeouts: {head: 5s}")
    client = await door.connect()
    head = get("/api/items", await door.token(), "items.write", f"Content-Length: {64 << 20}", method="POST")
    client.writer.write(head + bytes(64 << 20))
    await asyncio.sleep(0.6)
    for _ in range(10):
        door.doorward.sweep.advance()
    await asyncio.sleep(0.2)
    left = door.doorward.pool.size
    gone.set()
    client.writer.transport.abort()
    assert left == 0
