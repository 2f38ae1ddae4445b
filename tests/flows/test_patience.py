"""Time-outs, limits of connections, networks, TLS to the upstream, sockets and draining."""

import asyncio
import os
import ssl
from pathlib import Path

import pytest
import trustme
from fakes.house import Build, House, RawClient, ScriptedUpstream, answer_ok, get

from gateway.http.pool import IDLE_PER_KEY


def pass_seconds(door: House, seconds: int) -> None:
    """Let the sweep believe that time has gone by; nothing else moves."""
    for _ in range(seconds):
        door.doorward.sweep.advance()


async def silent(upstream: ScriptedUpstream, reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
    """Reads, and never answers."""
    await upstream.request(reader)
    await reader.read()


async def until(condition) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.01)


async def test_a_head_that_dawdles_is_refused(house: Build) -> None:
    """The first byte starts the clock and later ones do not extend it; the refusal leaves one record."""
    door = await house()
    client = await door.connect()
    await client.send(b"GET /api/items HTTP/1.1\r\n")
    await asyncio.sleep(0.05)
    pass_seconds(door, 8)
    await client.send(b"Host: x\r\n")
    await asyncio.sleep(0.05)
    pass_seconds(door, 5)
    assert (await client.answer()).problem["code"] == "request_malformed"
    assert await client.ended()
    await door.stop()
    requests, responses = door.exchanges()
    assert ([record["code"] for record in requests], responses) == (["request_malformed"], [])


async def test_an_idle_connection_is_closed_without_a_word(house: Build) -> None:
    """Nothing was asked, so nothing is answered."""
    door = await house()
    client = await door.connect()
    await asyncio.sleep(0.05)
    pass_seconds(door, 80)
    assert await client.ended()


async def test_a_silent_upstream_is_given_up(house: Build) -> None:
    """The time for the response head begins when the request has gone; its end is 504 and leaves nothing open."""
    door = await house(silent, upstream="timeouts: {head: 5s}")
    client = await door.connect()
    await client.send(get("/api/items", await door.token()))
    await until(lambda: door.upstream.seen)
    pass_seconds(door, 8)
    assert (await client.answer()).problem["code"] == "upstream_timeout"
    await until(lambda: door.doorward.pool.size == 0)


async def test_a_moving_upload_has_no_total_limit(house: Build) -> None:
    """Each piece of a body starts the wait anew, so a long upload outlives the head time-out."""
    door = await house(upstream="timeouts: {head: 5s}")
    client = await door.connect()
    await client.send(get("/api/items", await door.token(), "items.write", "Content-Length: 10", method="POST"))
    for _ in range(10):
        await client.send(b"a")
        await asyncio.sleep(0.02)
        pass_seconds(door, 4)
    assert (await client.answer()).body == b"a" * 10


async def test_a_response_that_stands_still_is_cut(house: Build) -> None:
    """A stream has an idle time-out and no other; what is cut cannot be taken for whole."""

    async def script(upstream: ScriptedUpstream, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await upstream.request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
        for _ in range(3):
            writer.write(b"6\r\ndata\n\n\r\n")
            await writer.drain()
            await asyncio.sleep(0.05)
            pass_seconds(door, 200)
        await reader.read()

    door = await house(script)
    client = await door.connect()
    await client.send(get("/api/items", await door.token()))
    await asyncio.sleep(0.3)
    pass_seconds(door, 310)
    answer = await client.answer()
    assert (answer.status, answer.whole) == (200, False)
    await door.stop()
    _, (response,) = door.exchanges()
    assert (response["code"], response["ending"], response["sent"]) == ("upstream_timeout", "cut", 18)


async def test_an_event_is_passed_on_at_once(house: Build) -> None:
    """Server-sent events are not held back until there are more of them."""
    release = asyncio.Event()

    async def script(upstream: ScriptedUpstream, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await upstream.request(reader)
        writer.write(
            b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n6\r\ndata\n\n\r\n"
        )
        await writer.drain()
        await release.wait()
        writer.write(b"0\r\n\r\n")
        await writer.drain()

    door = await house(script)
    client = await door.connect()
    await client.send(get("/api/items", await door.token()))
    assert b"data" in await asyncio.wait_for(client.reader.readuntil(b"data"), 5)
    release.set()


async def test_connections_are_counted(house: Build) -> None:
    """One more than allowed is told so and closed; when one leaves, another may come."""
    door = await house(gateway_limits="{connections: 2}")
    token = await door.token()
    first, second = await door.connect(), await door.connect()
    for client in (first, second):
        await client.send(get("/api/items", token))
        assert (await client.answer()).status == 200
    third = await door.connect()
    answer = await third.answer()
    assert (answer.status, answer.problem["code"], answer.fields["retry-after"]) == (503, "overloaded", "1")
    assert await third.ended()
    await first.close()
    await until(lambda: len(door.doorward.listener.connections) == 1)
    fourth = await door.connect()
    await fourth.send(get("/api/items", token))
    assert (await fourth.answer()).status == 200


async def test_what_is_sent_ahead_is_bounded(house: Build) -> None:
    """A client may pipeline, but not without end while nothing is answered."""
    door = await house(silent, gateway_limits="{drain: 1s}")
    token = await door.token()
    client = await door.connect()
    await client.send(get("/api/items", token))
    sent = 0
    try:
        async with asyncio.timeout(1.0):
            while sent < 64 << 20:
                await client.send(get("/api/items", token) * 100)
                sent += 100 * 1000
    except TimeoutError:
        pass
    assert sent < 32 << 20
    (connection,) = door.doorward.listener.connections
    assert len(connection._ahead) < 512 * 1024
    client.writer.transport.abort()


async def test_idle_upstream_connections_grow_old(house: Build) -> None:
    """What lies in the pool is closed before the upstream would, and what the upstream closes leaves the pool."""
    door = await house()
    client = await door.connect()
    await client.send(get("/api/items", await door.token()))
    await client.answer()
    assert (door.doorward.pool.size, door.doorward.pool.idle) == (1, 1)
    await asyncio.sleep(0.05)
    pass_seconds(door, 60)
    await until(lambda: door.doorward.pool.size == 0)
    assert door.doorward.pool.idle == 0


async def test_the_pool_keeps_only_so_many(house: Build) -> None:
    """After a burst the surplus is closed."""
    ready = asyncio.Event()

    async def script(upstream: ScriptedUpstream, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            await upstream.request(reader)
            await ready.wait()
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
            await writer.drain()

    door = await house(script)
    token = await door.token()
    clients = [await door.connect() for _ in range(IDLE_PER_KEY + 10)]
    for client in clients:
        await client.send(get("/api/items", token))
    await until(lambda: len(door.upstream.seen) == len(clients))
    ready.set()
    for client in clients:
        assert (await client.answer()).status == 200
    await until(lambda: door.doorward.pool.size == IDLE_PER_KEY)


async def test_an_unreachable_upstream_is_502(house: Build) -> None:
    """A refused connection has a clear answer that names the upstream and not its address."""
    door = await house()
    await door.upstream.stop()
    client = await door.connect()
    await client.send(get("/api/items", await door.token()))
    problem = (await client.answer()).problem
    assert problem["code"] == "upstream_failed"
    assert "127.0.0.1" not in problem["detail"]


async def test_an_address_outside_the_networks_is_never_dialled(house: Build) -> None:
    """A name that resolves into a network which the configuration does not name is refused before a byte is sent."""
    door = await house(networks="[public, 10.0.0.0/8]")
    client = await door.connect()
    await client.send(get("/api/items", await door.token()))
    assert (await client.answer()).problem["code"] == "upstream_failed"
    assert door.upstream.connections == 0


async def test_the_loopback_of_ipv6_is_reached_where_it_is_named(house: Build) -> None:
    """As `doorward init` names it; `::1` looks like an IPv4 address in one of IPv6, and is none."""
    upstream = ScriptedUpstream(answer_ok)
    try:
        port = await upstream.start(host="::1")
    except OSError:
        if os.environ.get("CI") == "true":
            pytest.fail("give this machine the address ::1")
        pytest.skip("this machine has no IPv6")
    door = await house(url=f"http://[::1]:{port}", networks='["::1/128"]')
    client = await door.connect()
    await client.send(get("/api/items", await door.token()))
    assert (await client.answer()).body == b"hello"
    await door.stop()
    await upstream.stop()


async def test_an_https_upstream_is_verified(house: Build, tmp_path: Path) -> None:
    """With the right CA the request goes through; with the system's it is refused before the secret is sent."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    upstream = ScriptedUpstream(answer_ok)
    port = await upstream.start(context)
    trusting = await house(url=f"https://127.0.0.1:{port}", upstream="tls: {ca: ca.pem}")
    client = await trusting.connect()
    await client.send(get("/api/items", await trusting.token()))
    assert (await client.answer()).body == b"hello"
    await trusting.stop()
    doubting = await house(url=f"https://127.0.0.1:{port}")
    client = await doubting.connect()
    await client.send(get("/api/items", await doubting.token()))
    problem = (await client.answer()).problem
    assert (problem["code"], "certificate" in problem["detail"]) == ("upstream_failed", True)
    assert len(upstream.seen) == 1
    await doubting.stop()
    await upstream.stop()


async def test_the_gateway_listens_on_a_unix_socket_too(house: Build) -> None:
    """`unix:PATH` serves the same; the file is gone after the end."""
    door = await house(listen="unix:gateway.sock")
    client = RawClient(*await asyncio.open_unix_connection(str(door.folder / "gateway.sock")))
    await client.send(get("/api/items", await door.token()))
    assert (await client.answer()).status == 200
    await client.close()
    await door.stop()
    assert not (door.folder / "gateway.sock").exists()


async def test_draining_ends_what_will_not_end(house: Build) -> None:
    """After `drain` the rest is interrupted, and still leaves its closing record."""
    door = await house(silent, gateway_limits="{drain: 1s}")
    client = await door.connect()
    await client.send(get("/api/items", await door.token()))
    await until(lambda: door.upstream.seen)
    await door.stop()
    _, (response,) = door.exchanges()
    assert response["ending"] == "drained"
