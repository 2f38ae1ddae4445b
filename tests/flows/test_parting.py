"""How connections end: no answer is lost because its client said too much, and who leaves unread is noticed soon."""

import asyncio
import contextlib
import socket
import struct

import pytest
from fakes.house import Build, House, RawClient, ScriptedUpstream, get
from fakes.reading import Nowhere, Reader
from fakes.websocket import ACCEPTED, asking, took_handshake

from gateway.errors import Interrupted, Refusal
from gateway.http.admit import admit
from gateway.http.downstream import Downstream
from gateway.http.early import EARLY
from gateway.http.parting import reset_at_the_end
from gateway.http.waiting import Wait

LARGE = 4 << 20
"""More than all buffers of the way back hold."""


async def until(condition) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.01)


def pass_seconds(door: House, seconds: int) -> None:
    """Let the sweep believe that time has gone by; nothing else moves."""
    for _ in range(seconds):
        door.doorward.sweep.advance()


async def answer_much(upstream: ScriptedUpstream, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answers one request with more than anybody buffers."""
    await upstream.request(reader)
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % LARGE + bytes(LARGE))
    await writer.drain()
    await reader.read()


async def slow_client(door: House) -> RawClient:
    """A client whose kernel takes little, so that an answer waits in the gateway."""
    taken = socket.socket()
    taken.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)
    taken.setblocking(False)
    host, _, port = door.doorward.addresses[0].rpartition(":")
    await asyncio.get_running_loop().sock_connect(taken, (host, int(port)))
    client = RawClient(*await asyncio.open_connection(sock=taken, limit=8192))
    door.stack.push_async_callback(client.close)
    return client


async def wholly_read(client: RawClient) -> bool:
    """Whether the whole large answer arrives, and then the end."""
    answer = await client.answer()
    return (answer.status, len(answer.body), answer.whole, await client.ended()) == (200, LARGE, True, True)


async def test_what_is_sent_beyond_the_last_request_costs_no_answer(house: Build) -> None:
    """A client that asks for the end and says more gets the whole answer all the same (RFC 9112, section 9.6)."""
    door = await house(answer_much)
    token = await door.token()
    client = await slow_client(door)
    await client.send(get("/api/items", token, "items.read", "Connection: close"))
    await until(lambda: door.upstream.seen)
    await client.send(get("/api/items", token) * 400)
    assert await wholly_read(client)
    await client.close()
    await until(lambda: not door.doorward.listener.connections)
    assert len(door.upstream.seen) == 1


async def nearly_read(door: House) -> tuple[RawClient, int]:
    """A client that reads until the gateway has nothing left to fetch, and then no more; and how much it has read."""
    client = await slow_client(door)
    await client.send(get("/api/items", await door.token(), "items.read", "Connection: close"))
    await until(lambda: door.doorward.listener.connections)
    (connection,) = door.doorward.listener.connections
    connection._transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 8192)
    read = 0
    while connection._lingering is None:
        read += len(await client.reader.read(8192))
    client.writer.transport.pause_reading()
    assert connection._transport.get_write_buffer_size()
    return client, read


async def test_an_answer_outlasts_the_time_for_which_surplus_is_read(house: Build) -> None:
    """A slow reader keeps its connection for as long as an idle one may last."""
    door = await house(answer_much)
    client, read = await nearly_read(door)
    pass_seconds(door, 10)
    client.writer.transport.resume_reading()
    while piece := await asyncio.wait_for(client.reader.read(1 << 20), 10):
        read += len(piece)
    assert read > LARGE
    await client.close()
    await until(lambda: not door.doorward.listener.connections)


async def test_an_answer_that_is_never_read_is_given_up(house: Build) -> None:
    """A reader that has stopped keeps its connection no longer than that."""
    door = await house(answer_much, gateway_limits="{idle_timeout: 60s}")
    client, _ = await nearly_read(door)
    pass_seconds(door, 10)
    await asyncio.sleep(0.05)
    assert door.doorward.listener.connections
    pass_seconds(door, 60)
    await until(lambda: not door.doorward.listener.connections)
    client.writer.transport.abort()


async def test_a_drain_costs_no_answer_either(house: Build) -> None:
    """What was pipelined behind the request in flight is not served, and does not reset the connection."""
    door = await house(answer_much)
    token = await door.token()
    client = await slow_client(door)
    await client.send(get("/api/items", token))
    await until(lambda: door.upstream.seen)
    stopping = asyncio.ensure_future(door.doorward.stop())
    await until(lambda: door.doorward.listener.draining)
    await client.send(get("/api/items", token) * 400)
    assert await wholly_read(client)
    await client.close()
    await stopping
    assert len(door.upstream.seen) == 1


async def test_the_last_words_of_an_upstream_arrive(house: Build) -> None:
    """A client that still talks when the upstream has ended the tunnel reads everything that was said to it."""

    async def script(upstream: ScriptedUpstream, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await took_handshake(upstream, reader)
        writer.write(ACCEPTED + b"\r\n" + bytes(LARGE))
        await reader.readexactly(4)
        await writer.drain()

    door = await house(script, upstream="scrub: none")
    client = await slow_client(door)
    await client.send(asking(await door.token("items.watch")))
    head = await client.reader.readuntil(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 101 ")
    await client.send(b"more")
    heard = 0
    while piece := await asyncio.wait_for(client.reader.read(8192), 10):
        heard += len(piece)
        if not door.doorward.pool.size:
            client.writer.write(b"and more")
    assert heard == LARGE


async def test_a_client_that_ends_its_side_ends_an_endless_stream(house: Build) -> None:
    """Also while it has output to read, which alone would keep the connection open."""

    async def script(upstream: ScriptedUpstream, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await upstream.request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n" + bytes(LARGE))
        while not writer.is_closing():
            writer.write(b"data: tick\n\n")
            await asyncio.sleep(0.01)

    door = await house(script)
    client = await slow_client(door)
    client.writer.transport.pause_reading()
    await client.send(get("/api/items", await door.token()))
    await until(lambda: any(connection.full for connection in door.doorward.listener.connections))
    client.writer.write_eof()
    await until(lambda: not door.doorward.pool.size and not door.doorward.listener.connections)
    await door.stop()
    _, (response,) = door.exchanges()
    assert response["ending"] == "client_gone"


@pytest.mark.parametrize("resets", [False, True])
async def test_a_client_that_leaves_while_it_is_held_back_is_noticed(house: Build, resets: bool) -> None:
    """There is no upstream yet, so the client is not read, and its end would show only after a time-out."""

    async def stay_silent(_upstream: ScriptedUpstream, reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        await reader.read()

    silence = ScriptedUpstream(stay_silent)
    port = await silence.start()
    door = await house(url=f"https://127.0.0.1:{port}")
    client = await door.connect()
    head = get("/api/items", await door.token(), "items.write", "Content-Length: 100000000", method="POST")
    await client.send(head + bytes(2 * EARLY))
    (connection,) = await _held(door)
    pass_seconds(door, 1)
    await asyncio.sleep(0.05)
    assert connection in door.doorward.listener.connections
    if resets:
        reset_at_the_end(client.writer.transport)
        client.writer.transport.abort()
    else:
        client.writer.write_eof()
    await asyncio.sleep(0.05)
    pass_seconds(door, 1)
    await until(lambda: not door.doorward.listener.connections and not silence.open)
    assert not door.doorward.sweep.unread
    await silence.stop()
    await door.stop()
    _, (response,) = door.exchanges()
    assert response["ending"] == "client_gone"


async def test_a_client_that_has_reset_before_it_is_let_in_is_nobody(house: Build) -> None:
    """The kernel no longer says where it came from; what it sent must not pass for that of a process of this host."""
    door = await house(listen='127.0.0.1:0", "unix:gateway.sock', gateway_limits="{connections: 1}")
    token = await door.token()
    host, _, port = door.doorward.addresses[0].rpartition(":")
    for _ in range(3):
        stranger = socket.create_connection((host, int(port)))
        stranger.sendall(get("/api/items", token))
        stranger.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        stranger.close()
    client = await door.connect()
    await client.send(get("/api/items", token))
    assert (await client.answer()).status == 200
    await client.close()
    await until(lambda: not door.doorward.listener.connections)
    local = RawClient(*await asyncio.open_unix_connection(str(door.folder / "gateway.sock")))
    await local.send(get("/api/items", token))
    assert (await local.answer()).status == 200
    await local.close()
    await door.stop()
    requests, _ = door.exchanges()
    assert [record["source"] for record in requests] == ["127.0.0.1", "unix"]


async def _held(door: House) -> set:
    await until(lambda: door.doorward.sweep.unread)
    return door.doorward.sweep.unread


async def test_what_a_client_said_last_in_a_tunnel_waits_for_its_upstream(house: Build) -> None:
    """There its end is no reason to throw away what it has said, however slowly that is taken."""
    read_on, whole, heard = asyncio.Event(), 8 << 20, 0

    async def slow(upstream: ScriptedUpstream, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal heard
        await took_handshake(upstream, reader)
        writer.write(ACCEPTED + b"\r\n")
        await read_on.wait()
        while piece := await reader.read(1 << 20):
            heard += len(piece)

    door = await house(slow, upstream="scrub: none")
    client = await door.connect()
    await client.send(asking(await door.token("items.watch")))
    await client.reader.readuntil(b"\r\n\r\n")
    client.writer.write(bytes(whole))
    client.writer.close()
    await _held(door)
    pass_seconds(door, 3)
    read_on.set()
    await until(lambda: heard == whole)


class Waiting(Reader):
    """A house whose requests wait for something before their body is wanted."""

    async def _take(self, caller: Downstream) -> None:
        caller.expect(admit(caller, self._admission))
        with contextlib.suppress(Interrupted):
            await Wait(60.0, lambda: Refusal("internal"))


def test_a_body_that_comes_early_in_tiny_pieces_is_held_as_one() -> None:
    """However it is cut, it takes no more room than its bytes, and beyond the bound the client is not read."""

    class Paused(Nowhere):
        times = 0

        def pause_reading(self) -> None:
            self.times += 1

    house = Waiting()
    connection, wire = Downstream(house), Paused()
    connection.connection_made(wire)
    connection.data_received(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n")
    for _ in range(EARLY):
        connection.data_received(b"x")
    assert (len(connection._early.held), wire.times) == (EARLY, 0)
    connection.data_received(b"c")
    assert (type(connection._early.held), len(connection._early.held), wire.times) == (bytes, EARLY + 1, 1)
    assert house.sweep.unread == {connection}
    connection.connection_lost(None)
    assert not house.sweep.unread
