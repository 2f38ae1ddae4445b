"""A WebSocket through the whole gateway: its handshake is a request like any other, and then bytes pass both ways."""

import asyncio
from functools import partial

import aiohttp
import pytest
from aiohttp import web
from fakes.house import SECRET, Build, House, RawClient, Script, ScriptedUpstream, get
from fakes.websocket import ACCEPT, ACCEPTED, ASKING, KEY, PATH, took_handshake

from gateway.http.early import EARLY


@pytest.fixture
def house(house: Build) -> Build:
    """Before an upstream whose messages are not searched, so that the tests may say what is no message."""
    return partial(house, upstream="scrub: none")


def pass_seconds(door: House, seconds: int) -> None:
    for _ in range(seconds):
        door.doorward.sweep.advance()


async def until(condition) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.01)


async def ask(
    door: House, *more: str, path: str = PATH, intent: str = "items.watch", lines=ASKING, after: bytes = b""
) -> RawClient:
    client = await door.connect()
    token = await door.token("items.read", "items.write", "items.watch")
    await client.send(get(path, token, intent, *lines, *more) + after)
    return client


async def switched(client: RawClient) -> bytes:
    head = await asyncio.wait_for(client.reader.readuntil(b"\r\n\r\n"), 10)
    assert head.startswith(b"HTTP/1.1 101 Switching Protocols\r\n"), head
    return head


async def echo(upstream: ScriptedUpstream, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Accepts, and says everything again until it hears `bye`."""
    await took_handshake(upstream, reader)
    writer.write(ACCEPTED + b"\r\nwelcome")
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()
        if data.endswith(b"bye"):
            return


def answering(answer: bytes, heard: list[bytes]) -> Script:
    """Answers the handshake with these bytes and keeps whatever else comes."""

    async def script(upstream: ScriptedUpstream, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await took_handshake(upstream, reader)
        writer.write(answer)
        while data := await reader.read(65536):
            heard.append(data)

    return script


async def test_bytes_pass_both_ways_and_are_counted(house: Build) -> None:
    """The upstream gets a handshake of ours with its credential, and its end of the tunnel is a complete one."""
    door = await house(echo)
    client = await ask(door, "Sec-WebSocket-Extensions: permessage-deflate")
    head = await switched(client)
    assert b"\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" in head
    assert b"\r\nSec-WebSocket-Accept: " + ACCEPT + b"\r\n" in head
    assert await client.reader.readexactly(7) == b"welcome"
    for said in (b"\x81\x85abcd", b"x" * 200_000, b"bye"):
        client.writer.write(said)
        assert await asyncio.wait_for(client.reader.readexactly(len(said)), 10) == said
    assert await client.ended()
    (seen,) = door.upstream.seen
    assert seen.head.startswith(b"GET /base/items/7/events HTTP/1.1\r\n")
    assert seen.fields["connection"] == ["Upgrade"]
    assert seen.fields["upgrade"] == ["websocket"]
    assert seen.fields["sec-websocket-key"] == [KEY]
    assert seen.fields["x-api-key"] == [SECRET]
    assert "sec-websocket-extensions" not in seen.fields
    assert "authorization" not in seen.fields
    assert door.doorward.pool.idle == 0
    await door.stop()
    (request,), (response,) = door.exchanges()
    assert (request["method"], request["path"], request["decision"]) == ("WEBSOCKET", "/items/7/events", "allow")
    assert (response["status"], response["ending"], response["code"]) == (101, "complete", None)
    assert (response["received"], response["sent"]) == (200_009, 200_016)


async def test_nothing_follows_the_handshake_before_its_answer(house: Build) -> None:
    """What comes in one packet with it is held, and goes out once the answer is verified."""
    heard: list[bytes] = []
    answer = asyncio.Event()

    async def script(upstream: ScriptedUpstream, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await took_handshake(upstream, reader)
        reading = asyncio.ensure_future(reader.readexactly(5))
        await answer.wait()
        heard.append(b"early" if reading.done() else b"held")
        writer.write(ACCEPTED + b"\r\n")
        heard.append(await reading)

    door = await house(script)
    client = await ask(door, after=b"hello")
    await until(lambda: door.upstream.seen)
    await asyncio.sleep(0.1)
    answer.set()
    await switched(client)
    await until(lambda: len(heard) == 2)
    assert heard == [b"held", b"hello"]


async def test_what_is_held_is_bounded(house: Build) -> None:
    """A client that says a lot before it was answered is not read any further."""
    answer = asyncio.Event()
    heard = 0

    async def script(upstream: ScriptedUpstream, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal heard
        await took_handshake(upstream, reader)
        await answer.wait()
        writer.write(ACCEPTED + b"\r\n")
        while heard < 64 * EARLY:
            heard += len(await reader.read(65536))

    door = await house(script)
    client = await ask(door)
    client.writer.write(b"x" * (64 * EARLY))
    await until(lambda: door.upstream.seen)
    await asyncio.sleep(0.3)
    (connection,) = door.doorward.listener.connections
    assert EARLY < connection.received < 8 * EARLY
    answer.set()
    await switched(client)
    await until(lambda: heard == 64 * EARLY)


REJECTED = [
    (ACCEPTED.replace(ACCEPT, b"AAAAAAAAAAAAAAAAAAAAAAAAAAA="), "an answer to another handshake"),
    (ACCEPTED.replace(b"websocket", b"h2c"), "another protocol"),
    (ACCEPTED.replace(b"Connection: Upgrade\r\n", b""), "no Connection that names it"),
    (ACCEPTED + b"Sec-WebSocket-Extensions: permessage-deflate\r\n", "an extension"),
    (ACCEPTED + b"Sec-WebSocket-Protocol: chat\r\n", "a subprotocol that nobody offered"),
]


@pytest.mark.parametrize(("answer", "why"), REJECTED, ids=[case[1] for case in REJECTED])
async def test_an_answer_that_is_not_verified_opens_nothing(house: Build, answer: bytes, why: str) -> None:
    """The caller reads a refusal, the upstream hears nothing more, and its connection ends."""
    heard: list[bytes] = []
    door = await house(answering(answer + b"\r\nforged", heard))
    client = await ask(door, after=b"early")
    refused = await client.answer()
    assert (refused.status, refused.problem["code"]) == (502, "upstream_failed"), why
    assert refused.fields["proxy-status"] == "doorward; error=http_upgrade_failed"
    assert await client.ended()
    await until(lambda: not door.upstream.open)
    assert heard == []
    await door.stop()
    _, (response,) = door.exchanges()
    assert (response["status"], response["ending"], response["code"]) == (502, "refused", "upstream_failed")


async def test_an_answer_that_declines_is_relayed(house: Build) -> None:
    """Like any response; what the client sent ahead is neither passed on nor read as a request."""
    heard: list[bytes] = []
    door = await house(answering(b"HTTP/1.1 403 No\r\nContent-Length: 2\r\n\r\nno", heard))
    client = await ask(door, after=get("/api/items", await door.token()))
    answer = await client.answer()
    assert (answer.status, answer.body, answer.fields["connection"]) == (403, b"no", "close")
    assert await client.ended()
    await until(lambda: not door.upstream.open)
    assert heard == []
    await door.stop()
    (_,), (response,) = door.exchanges()
    assert (response["status"], response["ending"]) == (403, "complete")


REFUSED = [
    ("items.read", "/api/items/7", ASKING, 403, "intent_mismatch"),
    ("items.watch", PATH, (), 403, "intent_mismatch"),
    ("items.watch", PATH, ("Connection: Upgrade", "Upgrade: h2c", "HTTP2-Settings: AAAA"), 400, "request_malformed"),
    ("items.watch", PATH, ("Connection: Upgrade", "Upgrade: foo", *ASKING[2:]), 400, "request_malformed"),
    ("items.watch", PATH, ("Connection: Upgrade", "Upgrade: websocket, foo", *ASKING[2:]), 400, "request_malformed"),
    ("items.watch", PATH, ASKING[1:], 400, "request_malformed"),
    ("items.watch", PATH, ASKING[:3], 400, "request_malformed"),
]


@pytest.mark.parametrize(("intent", "path", "lines", "status", "code"), REFUSED)
async def test_what_is_refused_never_reaches_the_upstream(
    house: Build, intent: str, path: str, lines: tuple[str, ...], status: int, code: str
) -> None:
    """A GET operation covers no upgrade and an upgrade no GET; every other upgrade is malformed."""
    door = await house(echo)
    client = await ask(door, path=path, intent=intent, lines=lines)
    answer = await client.answer()
    assert (answer.status, answer.problem["code"]) == (status, code)
    assert not door.upstream.connections


async def test_a_handshake_may_say_that_it_has_no_body(house: Build) -> None:
    """`Content-Length: 0` is no content (RFC 9110, section 8.6), which is all that RFC 6455, section 4.1, asks of a GET."""
    door = await house(echo)
    client = await ask(door, "Content-Length: 0")
    await switched(client)
    assert await client.reader.readexactly(7) == b"welcome"
    await client.send(b"bye")
    assert await client.reader.readexactly(3) == b"bye"


@pytest.mark.parametrize("line", ["Content-Length: 1", "Transfer-Encoding: chunked", "Expect: 100-continue"])
async def test_a_handshake_with_a_body_is_refused(house: Build, line: str) -> None:
    """Whoever reads its body and who does not would take different bytes for the first frame."""
    door = await house(echo)
    client = await ask(door, line, after=b"x")
    answer = await client.answer()
    assert (answer.status, answer.problem["code"], answer.fields["connection"]) == (400, "request_malformed", "close")
    assert not door.upstream.connections


async def test_a_slow_reader_holds_the_upstream_back(house: Build) -> None:
    """What waits for a client that does not read is bounded by buffers, not by what the upstream has to say."""
    total = 64 * 1024 * 1024
    written = 0

    async def flood(upstream: ScriptedUpstream, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal written
        await took_handshake(upstream, reader)
        writer.write(ACCEPTED + b"\r\n")
        while written < total:
            writer.write(b"x" * 65536)
            await writer.drain()
            written += 65536

    door = await house(flood, gateway_limits="{body: 1KiB}")
    client = await ask(door)
    await switched(client)
    await asyncio.sleep(0.5)
    assert written < total // 2
    read = 0
    while data := await asyncio.wait_for(client.reader.read(1 << 20), 10):
        read += len(data)
    assert read == total


async def test_a_tunnel_that_stands_still_ends(house: Build) -> None:
    """Any byte in either direction starts the time-out anew; `limits.body` does not count here."""
    door = await house(echo, gateway_limits="{body: 1KiB}")
    client = await ask(door)
    await switched(client)
    for _ in range(4):
        client.writer.write(b"x" * 1000)
        await client.reader.readexactly(1000)
        pass_seconds(door, 200)
    pass_seconds(door, 150)
    await asyncio.wait_for(client.reader.read(), 10)
    await until(lambda: not door.upstream.open)
    await door.stop()
    _, (response,) = door.exchanges()
    assert (response["ending"], response["received"], response["sent"]) == ("idle", 4000, 4007)


async def test_a_drain_interrupts_tunnels(house: Build) -> None:
    """After `drain`, with both sides ended and a record of how."""
    door = await house(echo, gateway_limits="{drain: 1s}")
    client = await ask(door)
    await switched(client)
    await door.stop()
    await client.reader.read()
    await until(lambda: not door.upstream.open)
    _, (response,) = door.exchanges()
    assert (response["status"], response["ending"]) == (101, "drained")


async def test_what_the_client_says_last_still_arrives(house: Build) -> None:
    """Its end is the end of both sides; until then the tunnel holds its place among the concurrent exchanges."""
    heard: list[bytes] = []
    door = await house(answering(ACCEPTED + b"\r\n", heard), upstream="limits: {concurrent: 1}")
    client = await ask(door)
    await switched(client)
    other = await (await ask(door)).answer()
    assert (other.status, other.problem["code"]) == (429, "limit_exceeded")
    client.writer.write(b"y" * 500_000 + b"last words")
    await client.close()
    await until(lambda: not door.upstream.open)
    assert b"".join(heard)[-10:] == b"last words"
    await door.stop()
    _, responses = door.exchanges()
    (response,) = [response for response in responses if response["status"] == 101]
    assert (response["ending"], response["received"]) == ("client_gone", 500_010)


async def test_an_upstream_that_never_reads_the_last_words_is_cut(house: Build) -> None:
    """What still waits for it when the tunnel has ended waits only so long."""
    gone = asyncio.Event()

    async def deaf(upstream: ScriptedUpstream, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await took_handshake(upstream, reader)
        writer.transport.pause_reading()
        writer.write(ACCEPTED + b"\r\n")
        await gone.wait()

    door = await house(deaf)
    pool = door.doorward.pool
    try:
        await switched(await ask(door))
        (connection,) = pool._open
        connection.send(b"y" * 32_000_000)
        pool.let_go(connection)
        pass_seconds(door, 5)
        await asyncio.sleep(0.1)
        assert pool.size == 1
        pass_seconds(door, 3)
        await until(lambda: not pool.size)
    finally:
        gone.set()


async def test_real_parts_talk(house: Build) -> None:
    """A WebSocket client and server of aiohttp, with compression asked for and a subprotocol agreed upon."""

    async def serve(request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse(protocols=("chat",))
        await socket.prepare(request)
        async for message in socket:
            await socket.send_str(f"{request.headers['X-Api-Key'] == SECRET} {message.data}")
        return socket

    application = web.Application()
    application.router.add_get("/items/{id}/events", serve)
    runner = web.AppRunner(application)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    door = await house(url=f"http://127.0.0.1:{port}")
    token = await door.token("items.watch")
    headers = {"Authorization": f"Bearer {token}", "Agent-Intent": "items.watch"}
    async with (
        aiohttp.ClientSession(headers=headers) as session,
        session.ws_connect(f"http://{door.doorward.addresses[0]}{PATH}", protocols=("chat",), compress=15) as socket,
    ):
        assert (socket.protocol, socket.compress) == ("chat", 0)
        for text in ("hello", "x" * 100_000):
            await socket.send_str(text)
            assert await socket.receive_str(timeout=10) == f"True {text}"
    await runner.cleanup()
    await door.stop()
    _, (response,) = door.exchanges()
    assert (response["status"], response["ending"] in ("complete", "client_gone")) == (101, True)
    assert response["received"] > 100_000 < response["sent"]
