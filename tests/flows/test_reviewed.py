"""What a hostile review found once and what must never come back: each is played on real sockets."""

import asyncio
from contextlib import suppress

import pytest
from fakes.clock import TurnedClock
from fakes.house import SECRET, Build, ScriptedUpstream, answer_ok, get


async def until(condition) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("line", ["Content_Length: {n}", "CONTENT_LENGTH: {n}", "Transfer_Encoding: chunked"])
async def test_framing_in_another_spelling_smuggles_nothing(house: Build, line: str) -> None:
    """A length that only one of two readers takes for one would make a body into a second request."""
    door = await house()
    token = await door.token()
    hidden = b"GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n"
    client = await door.connect()
    head = get("/api/items", token, "items.write", line.format(n=len(hidden)), method="POST")
    await client.send(head + hidden)
    assert (await client.answer()).problem["code"] == "request_malformed"
    assert door.upstream.seen == []


async def test_an_upstreams_framing_in_another_spelling_is_its_failure(house: Build) -> None:
    """The same in the other direction: response splitting by a length that only one reader sees."""

    async def script(upstream: ScriptedUpstream, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await upstream.request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nContent_Length: 5\r\n\r\nhello")
        await writer.drain()

    door = await house(script)
    client = await door.connect()
    await client.send(get("/api/items", await door.token()))
    assert (await client.answer()).problem["code"] == "upstream_failed"


async def test_a_slow_reader_does_not_jam_the_connection_for_the_next_caller(house: Build) -> None:
    """A connection that was held for one caller goes back to the pool reading."""

    async def script(upstream: ScriptedUpstream, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            await upstream.request(reader)
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (1 << 20) + bytes(1 << 20))
            await writer.drain()

    door = await house(script)
    token = await door.token()
    slow = await door.connect()
    await slow.send(get("/api/items", token))
    await until(lambda: door.doorward.pool.idle == 1 or door.doorward.pool.size == 1)
    await asyncio.sleep(0.3)
    quick = await door.connect()
    for _ in range(3):
        await quick.send(get("/api/items", token))
        assert len((await quick.answer()).body) == 1 << 20


async def test_answers_that_nobody_reads_do_not_pile_up(house: Build) -> None:
    """A stranger who pipelines and never reads is held back once its answers fill the socket."""
    door = await house(gateway_limits="{drain: 1s}")
    client = await door.connect()
    request = b"GET /nothing HTTP/1.1\r\nHost: x\r\n\r\n"
    (connection,) = door.doorward.listener.connections
    async with asyncio.timeout(60.0):
        while not connection.full:
            with suppress(TimeoutError):
                await asyncio.wait_for(client.send(request * 200), 1.0)
    assert connection._transport.get_write_buffer_size() < 1 << 20
    client.writer.transport.abort()


async def test_a_cookie_that_holds_a_secret_is_the_upstreams_alone(house: Build) -> None:
    """The caller's cookie is emptied before the upstream's goes in, and still stays here where none goes in."""
    door = await house(inject="{header: Cookie}")
    client = await door.connect()
    await client.send(get("/api/items", await door.token(), "items.read", "Cookie: stolen=1"))
    assert (await client.answer()).status == 200
    assert door.upstream.seen[0].fields["cookie"] == [SECRET]
    assert "cookie" in door.doorward.upstream("api").emptied


async def test_a_path_parameter_is_refused(house: Build) -> None:
    """Some servers take `;` and what follows off a segment before they route, and others do not."""
    door = await house()
    client = await door.connect()
    await client.send(get("/api/items;x=1/1", await door.token()))
    assert (await client.answer()).problem["code"] == "request_malformed"


async def test_draining_does_not_wait_for_a_kept_connection(house: Build) -> None:
    """A response that is under way when the drain begins ends its connection, though its head promised to keep it."""
    release = asyncio.Event()

    async def script(upstream: ScriptedUpstream, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await upstream.request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nha")
        await writer.drain()
        await release.wait()
        writer.write(b"lf")
        await writer.drain()

    door = await house(script)
    client = await door.connect()
    await client.send(get("/api/items", await door.token()))
    await client.reader.readuntil(b"ha")
    stopping = asyncio.ensure_future(door.stop())
    await asyncio.sleep(0.1)
    release.set()
    async with asyncio.timeout(5):
        await stopping
        assert await client.reader.read() == b"lf"


async def test_a_kept_connection_that_died_is_replaced_once(house: Build) -> None:
    """What may be repeated is sent again on a new connection; what may not is told to the caller."""
    answered = 0

    async def script(upstream: ScriptedUpstream, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal answered
        await upstream.request(reader)
        answered += 1
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        await writer.drain()
        await upstream.request(reader)  # read, and never answered: the connection closes under the request

    door = await house(script)
    token = await door.token()
    client = await door.connect()
    for _ in range(2):
        await client.send(get("/api/items", token))
        assert (await client.answer()).body == b"ok"
    assert (answered, len(door.upstream.seen)) == (2, 3)
    await client.send(get("/api/items", token, "items.write", "Content-Length: 1", method="POST") + b"x")
    assert (await client.answer()).problem["code"] == "upstream_failed"
    assert len(door.upstream.seen) == 4
    await door.stop()
    requests, responses = door.exchanges()
    assert (len(requests), len(responses)) == (3, 3)


async def test_tracestate_goes_only_with_the_callers_trace(house: Build) -> None:
    """Vendor notes of a trace that is not continued mean nothing (W3C Trace Context §3.3)."""
    door = await house()
    token = await door.token()
    client = await door.connect()
    trace = "traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    for lines in ((trace, "tracestate: a=1"), ("traceparent: broken", "tracestate: a=1"), ("tracestate: a=1",)):
        await client.send(get("/api/items", token, "items.read", *lines))
        assert (await client.answer()).status == 200
    told = [seen.fields.get("tracestate") for seen in door.upstream.seen]
    assert told == [["a=1"], None, None]
    assert door.upstream.seen[0].fields["traceparent"][0].startswith("00-0af7651916cd43dd8448eb211c80319c-")


async def test_use_of_a_revoked_token_is_attributed(house: Build) -> None:
    """The signature still says whose token it is, so the record does too."""
    door = await house(answer_ok)
    issued = await door.issue("items.read")
    assert await door.tell(f"/tasks/{issued['task']}/complete") == 200
    client = await door.connect()
    await client.send(get("/api/items", issued["access_token"]))
    assert (await client.answer()).status == 401
    await door.stop()
    ((request,), _) = door.exchanges()
    assert (request["code"], request["task"]) == ("token_revoked", issued["task"])


def test_a_clock_that_is_set_back_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """Time never steps back, and never stands still until the machine has caught up."""
    wall = [1000.0]
    monkeypatch.setattr("gateway.clock.time.time", lambda: wall[0])
    clock = TurnedClock()
    assert clock.now() == 1000.0
    wall[0] = 5000.0
    assert clock.now() == 5000.0
    wall[0] = 1001.0
    assert clock.now() == 5000.0
    wall[0] = 1011.0
    assert clock.now() == 5010.0
