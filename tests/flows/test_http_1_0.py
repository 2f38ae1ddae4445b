"""Clients that speak HTTP/1.0: what they are answered, how it ends, and what they may not ask; on real sockets alone."""

import asyncio

import pytest
from fakes.house import Build, RawClient, ScriptedUpstream, get


def old(path: str, token: str | None, intent: str | None = "items.read", *lines: str, method: str = "GET") -> bytes:
    """The bytes of a request as an HTTP/1.0 client sends it."""
    return get(path, token, intent, *lines, method=method).replace(b" HTTP/1.1\r\n", b" HTTP/1.0\r\n", 1)


async def everything(client: RawClient) -> tuple[bytes, bytes]:
    """Head and body up to the end of the connection, as an HTTP/1.0 client reads them."""
    whole = await asyncio.wait_for(client.reader.read(), 10)
    head, _, body = whole.partition(b"\r\n\r\n")
    return head, body


def saying(*parts: bytes):
    """An upstream that answers the first request with these parts, then closes."""

    async def script(upstream: ScriptedUpstream, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await upstream.request(reader)
        for part in parts:
            writer.write(part)
            await writer.drain()
            await asyncio.sleep(0.02)

    return script


@pytest.mark.parametrize("asked", [(), ("Connection: keep-alive",), ("Connection: close",)])
async def test_an_answer_of_known_length_ends_the_connection(house: Build, asked: tuple[str, ...]) -> None:
    """A keep-alive is not granted: a relay in between may have passed it on unread, and would wait on (RFC 9112 §C.2.2)."""
    door = await house()
    client = await door.connect()
    await client.send(old("/api/items", await door.token(), "items.read", *asked))
    head, body = await everything(client)
    assert head.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b"\r\nContent-Length: 5" in head
    assert head.endswith(b"\r\nConnection: close")
    assert body == b"hello"
    (seen,) = door.upstream.seen
    assert seen.head.startswith(b"GET /base/items HTTP/1.1\r\n")
    assert seen.fields["via"] == ["1.0 doorward"]
    assert "connection" not in seen.fields
    assert door.doorward.pool.idle == 1


@pytest.mark.parametrize(
    "upstream_says",
    [
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n", b"4;x=y\r\ndefg\r\n0\r\nX: 1\r\n\r\n"),
        (b"HTTP/1.1 200 OK\r\n\r\nabc", b"defg"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n7\r", b"\nabcd", b"efg\r\n0", b"\r\n", b"\r\n"),
    ],
)
async def test_an_answer_of_unknown_length_comes_without_chunks(house: Build, upstream_says: tuple[bytes, ...]) -> None:
    """An HTTP/1.0 client would read chunk sizes as content (RFC 9112 §7.1), so the end of the connection is the end."""
    door = await house(saying(*upstream_says))
    client = await door.connect()
    await client.send(old("/api/items", await door.token()))
    head, body = await everything(client)
    assert b"transfer-encoding" not in head.lower()
    assert body == b"abcdefg"
    await door.stop()
    _, (response,) = door.exchanges()
    assert (response["ending"], response["sent"]) == ("complete", 7)


@pytest.mark.parametrize(
    "upstream_says",
    [
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nff\r\nabc",
        b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc",
    ],
)
async def test_a_cut_answer_does_not_look_whole(house: Build, upstream_says: bytes) -> None:
    """To an HTTP/1.0 client a connection that ends in good order is an answer that ends, so this one is reset."""
    door = await house(saying(upstream_says))
    client = await door.connect()
    await client.send(old("/api/items", await door.token()))
    with pytest.raises(ConnectionResetError):
        await everything(client)
    await door.stop()
    _, (response,) = door.exchanges()
    assert (response["ending"], response["code"]) == ("cut", "upstream_failed")


async def test_a_drain_that_cuts_an_answer_is_seen_too(house: Build) -> None:
    """What is left of the time to drain ends with a reset, not with an end that looks good."""

    async def script(upstream: ScriptedUpstream, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await upstream.request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\n\r\nhalf")
        await writer.drain()
        await reader.read()

    door = await house(script, gateway_limits="{drain: 1s}")
    client = await door.connect()
    await client.send(old("/api/items", await door.token()))
    assert b"half" in await asyncio.wait_for(client.reader.readuntil(b"half"), 10)
    await door.stop()
    with pytest.raises(ConnectionResetError):
        await everything(client)


async def test_a_body_goes_up_and_no_expectation_is_met(house: Build) -> None:
    """An HTTP/1.0 client knows no 100 Continue, so none is sent, whatever it expects (RFC 9110 §10.1.1)."""
    door = await house()
    client = await door.connect()
    lines = ("Content-Length: 3", "Expect: 100-continue")
    await client.send(old("/api/items", await door.token(), "items.write", *lines, method="POST"))
    await asyncio.sleep(0.05)
    await client.send(b"abc")
    head, body = await everything(client)
    assert head.startswith(b"HTTP/1.1 200 OK\r\n")
    assert body == b"abc"
    assert "expect" not in door.upstream.seen[0].fields


async def test_no_hint_reaches_an_older_client(house: Build) -> None:
    """It would take a 103 for the answer (RFC 9110 §15.2)."""
    door = await house(saying(b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"))
    client = await door.connect()
    await client.send(old("/api/items", await door.token()))
    head, body = await everything(client)
    assert (head.split(b"\r\n")[0], body) == (b"HTTP/1.1 200 OK", b"ok")


async def test_what_follows_the_one_request_is_never_one(house: Build) -> None:
    """One request, one answer, one end: what was sent ahead reaches nobody."""
    door = await house()
    token = await door.token()
    client = await door.connect()
    await client.send(old("/api/items", token) + old("/api/items/2", token) + get("/api/items/3", token))
    _, body = await everything(client)
    assert body == b"hello"
    assert len(door.upstream.seen) == 1


async def test_a_head_only_answer_has_no_body(house: Build) -> None:
    """HEAD is answered as for anybody else, and the connection ends."""
    door = await house(saying(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"))
    client = await door.connect()
    await client.send(old("/api/items", await door.token(), method="HEAD"))
    head, body = await everything(client)
    assert (head.split(b"\r\n")[0], body) == (b"HTTP/1.1 200 OK", b"")


@pytest.mark.parametrize(
    ("lines", "body", "why"),
    [
        (
            ("Transfer-Encoding: chunked",),
            b"0\r\n\r\n",
            "HTTP/1.0 has no chunks; a server that ignores them sees a request in them",
        ),
        (("Transfer-Encoding: identity",), b"", "a coding that was taken out of the standard"),
        (("Content-Length: 3", "Transfer-Encoding: chunked"), b"0\r\n\r\n", "two ends"),
        (("Content-Length: 3", "Content-Length: 4"), b"abcd", "two ends"),
        (("Upgrade: websocket", "Connection: upgrade"), b"", "HTTP/1.0 cannot be upgraded (RFC 9110 §7.8)"),
    ],
)
async def test_an_older_client_cannot_smuggle(house: Build, lines: tuple[str, ...], body: bytes, why: str) -> None:
    """Refused, closed, recorded once, and nothing reaches the upstream."""
    door = await house()
    client = await door.connect()
    await client.send(old("/api/items", await door.token(), "items.write", *lines, method="POST") + body)
    answer = await client.answer()
    assert (answer.status, answer.problem["code"]) == (400, "request_malformed"), why
    assert await client.ended()
    assert door.upstream.seen == []
    await client.close()
    await door.stop()
    requests, _ = door.exchanges()
    assert [record["code"] for record in requests] == ["request_malformed"]


async def test_a_request_without_host_is_refused(house: Build) -> None:
    """HTTP/1.0 allows it and nobody does it; what another proxy would put there instead is anybody's guess."""
    door = await house()
    client = await door.connect()
    await client.send(old("/api/items", await door.token()).replace(b"Host: doorward.test\r\n", b""))
    assert (await client.answer()).problem["code"] == "request_malformed"
    assert door.upstream.seen == []
