"""One exchange after the other through a whole Doorward: what the upstream sees, what the caller sees, what is recorded."""

import asyncio

import pytest
from fakes.house import SECRET, Build, ScriptedUpstream, get


async def test_the_upstream_sees_its_own_key_and_nothing_of_the_callers(house: Build) -> None:
    """The swap: caller's credentials, hop-by-hop fields and Doorward's own headers stay here, the rest goes on."""
    door = await house()
    client = await door.connect()
    await client.send(
        get(
            "/api/items?limit=3",
            await door.token(),
            'items.read;reason="close March"',
            "Cookie: session=1",
            "X-Api-Key: mine",
            "X_Api_Key: mine too",
            "Agent-Task: x",
            "Connection: keep-alive, X-Hop",
            "X-Hop: 1",
            "TE: gzip, trailers",
            "Keep-Alive: 5",
            "Proxy-Authorization: Basic x",
            "X-Forwarded-For: 10.0.0.1",
            "X-Custom: stays",
        )
    )
    answer = await client.answer()
    assert (answer.status, answer.body, answer.fields["x-up"]) == (200, b"hello", "yes")
    (seen,) = door.upstream.seen
    assert seen.head.split(b"\r\n")[0] == b"GET /base/items?limit=3 HTTP/1.1"
    assert seen.fields["x-api-key"] == [SECRET]
    assert seen.fields["x-custom"] == ["stays"]
    assert seen.fields["via"] == ["1.1 doorward"]
    assert seen.fields["accept-encoding"] == ["identity"]
    assert (seen.fields["te"], seen.fields["connection"]) == (["trailers"], ["TE"])
    ours = {"host", "via", "x-request-id", "traceparent", "x-api-key", "te", "connection", "accept-encoding"}
    assert set(seen.fields) == {"x-custom"} | ours
    await door.stop()
    (request,), (response,) = door.exchanges()
    assert (request["decision"], request["intent"]["declared"], request["intent"]["reason"]) == (
        "allow",
        "items.read",
        "close March",
    )
    assert (request["path"], request["query"], request["upstream"]) == ("/items", ["limit"], "api")
    assert (response["status"], response["ending"], response["sent"]) == (200, "complete", 5)
    assert seen.fields["x-request-id"] == [request["request_id"]]


async def test_a_bearer_secret_replaces_the_callers_token(house: Build) -> None:
    """With the bearer injector the upstream sees one Authorization, its own."""
    door = await house(inject="{bearer: {}}")
    client = await door.connect()
    await client.send(get("/api/items", await door.token()))
    assert (await client.answer()).status == 200
    assert door.upstream.seen[0].fields["authorization"] == [f"Bearer {SECRET}"]


async def test_a_token_may_stand_where_an_sdk_puts_its_key(house: Build) -> None:
    """`token_in` names another header; two filled places are two tokens, and refused."""
    door = await house(upstream="token_in: [x-api-key]")
    token = await door.token()
    client = await door.connect()
    await client.send(get("/api/items", None, "items.read", f"x-api-key: {token}"))
    assert (await client.answer()).status == 200
    assert door.upstream.seen[0].fields["x-api-key"] == [SECRET]
    await client.send(get("/api/items", token, "items.read", f"X_API_KEY: {token}"))
    assert (await client.answer()).problem["code"] == "request_malformed"


async def test_bodies_go_both_ways(house: Build) -> None:
    """Content-Length and chunked bodies arrive whole, on one kept connection."""
    door = await house()
    token = await door.token()
    client = await door.connect()
    large = bytes(range(256)) * 4096
    await client.send(get("/api/items", token, "items.write", f"Content-Length: {len(large)}", method="POST") + large)
    assert (await client.answer()).body == large
    chunked = get("/api/items", token, "items.write", "Transfer-Encoding: chunked", method="POST")
    await client.send(chunked + b"3\r\nabc\r\n")
    await asyncio.sleep(0.05)
    await client.send(b"4;ext=1\r\ndefg\r\n0\r\nX-Trailer: 1\r\n\r\n")
    assert (await client.answer()).body == b"abcdefg"
    assert door.upstream.connections == 1
    await door.stop()
    _, responses = door.exchanges()
    assert [(record["received"], record["sent"]) for record in responses] == [(len(large), len(large)), (7, 7)]


async def test_pipelined_requests_are_answered_in_order(house: Build) -> None:
    """What a client sends ahead waits for its turn."""
    door = await house()
    token = await door.token()
    client = await door.connect()
    await client.send(
        get("/api/items/1", token) + get("/api/items/2", token, "items.write") + get("/api/items", token, method="HEAD")
    )
    assert (await client.answer()).status == 200
    assert (await client.answer()).problem["code"] == "intent_mismatch"
    head = await client.answer(head_only=True)
    assert (head.status, head.fields["content-length"]) == (200, "5")


async def test_expect_is_answered_only_for_a_permitted_request(house: Build) -> None:
    """100 Continue invites the body after the decision, not before (RFC 9110 §10.1.1)."""
    door = await house()
    token = await door.token()
    client = await door.connect()
    wanted = ("Content-Length: 3", "Expect: 100-continue")
    await client.send(get("/api/items", token, "items.write", *wanted, method="POST"))
    assert (await client.answer()).status == 100
    await client.send(b"abc")
    assert (await client.answer()).body == b"abc"
    await client.send(get("/api/items", token, "items.read", *wanted, method="POST"))
    assert (await client.answer()).status == 403
    assert await client.ended()


async def test_responses_end_as_their_upstream_ended_them(house: Build) -> None:
    """Chunked and close-delimited responses reach the caller as chunks."""

    async def script(upstream: ScriptedUpstream, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await upstream.request(reader)
        writer.write(b"HTTP/1.1 100 Continue\r\nX: y\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n")
        await writer.drain()
        await asyncio.sleep(0.02)
        writer.write(b"0\r\n\r\n")
        await upstream.request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nSet-Cookie: a=b\r\nAlt-Svc: x\r\n\r\nuntil close")
        await writer.drain()

    door = await house(script)
    token = await door.token()
    client = await door.connect()
    await client.send(get("/api/items", token))
    assert (await client.answer()).body == b"abc"
    await client.send(get("/api/items", token))
    answer = await client.answer()
    assert (answer.body, answer.fields["transfer-encoding"]) == (b"until close", "chunked")
    assert not {"set-cookie", "alt-svc"} & set(answer.fields)


@pytest.mark.parametrize(
    ("upstream_says", "status", "whole"),
    [
        (b"", 502, True),
        (b"nonsense\r\n\r\n", 502, True),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello", 502, True),
        (b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n", 502, True),
        (b"HTTP/1.1 100 Continue\r\n\r\n" * 20, 502, True),
        (b"HTTP/1.1 200 OK\r\nX: " + b"a" * 40_000, 502, True),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello", 200, False),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n", 200, False),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nzz\r\n", 502, True),
    ],
)
async def test_an_upstream_that_breaks_off_is_told_from_one_that_ends(
    house: Build, upstream_says: bytes, status: int, whole: bool
) -> None:
    """Before the head it is 502; after it the response is cut, so that nobody takes it for whole."""

    async def script(upstream: ScriptedUpstream, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await upstream.request(reader)
        writer.write(upstream_says)
        await writer.drain()

    door = await house(script)
    client = await door.connect()
    await client.send(get("/api/items", await door.token()))
    answer = await client.answer()
    assert (answer.status, answer.whole) == (status, whole)
    await door.stop()
    _, (response,) = door.exchanges()
    assert (response["code"], response["ending"]) == ("upstream_failed", "refused" if whole else "cut")
    assert door.doorward.pool.size == 0


async def test_bytes_beyond_a_response_spoil_the_connection(house: Build) -> None:
    """What nobody asked for must not become the next caller's answer."""

    async def script(upstream: ScriptedUpstream, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await upstream.request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nforged")
        await writer.drain()
        await asyncio.sleep(0.05)

    door = await house(script)
    token = await door.token()
    client = await door.connect()
    for _ in range(2):
        await client.send(get("/api/items", token))
        assert (await client.answer()).body == b"ok"
    assert door.upstream.connections == 2


async def test_a_slow_reader_holds_the_upstream_back(house: Build) -> None:
    """Back-pressure: what the gateway keeps is bounded, however much the upstream has to say."""
    written = 0

    async def script(upstream: ScriptedUpstream, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal written
        await upstream.request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (256 << 20))
        for _ in range(256):
            writer.write(bytes(1 << 20))
            await writer.drain()
            written += 1

    door = await house(script)
    client = await door.connect()
    await client.send(get("/api/items", await door.token()))
    await asyncio.sleep(1.0)
    assert written < 64
    await client.close()
    await asyncio.sleep(0.1)
    assert door.doorward.pool.size == 0


async def test_a_slow_upstream_holds_the_caller_back(house: Build) -> None:
    """The same the other way: an upload waits for the upstream to read."""

    async def script(_upstream: ScriptedUpstream, reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        await asyncio.sleep(1.0)

    door = await house(script, gateway_limits="{body: 1GiB}")
    client = await door.connect()
    await client.send(get("/api/items", await door.token(), "items.write", f"Content-Length: {256 << 20}", method="POST"))
    sent = 0
    try:
        async with asyncio.timeout(0.8):
            for _ in range(256):
                await client.send(bytes(1 << 20))
                sent += 1
    except TimeoutError:
        pass
    assert sent < 64
