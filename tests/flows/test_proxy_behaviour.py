"""What Go, nginx, HAProxy and Pingora pin of an ordinary proxy, on real sockets: fields, timing and ends; no attacks."""

import asyncio
import socket
import struct
from collections.abc import Callable

import pytest
from fakes.house import Build, House, ScriptedUpstream, get

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.01)


def saying(head: bytes):
    """An upstream that answers everything with these bytes."""

    async def script(upstream: ScriptedUpstream, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            await upstream.request(reader)
            writer.write(head)
            await writer.drain()

    return script


# Fields of a request: the caller's lines, what the upstream sees under a name, and why.
SEEN = [
    (("Connection: X-Hop", "X-Hop: 1"), "x-hop", None, "what Connection names stays here (RFC 9110 §7.6.1)"),
    (("Connection:", "Connection: X-Hop", "X-Hop: 1"), "x-hop", None, "an empty Connection hides no other one"),
    (("Connection: , X-Hop ,", "X-Hop: 1"), "x-hop", None, "empty elements of a list mean nothing (RFC 9110 §5.6.1)"),
    (("Connection: x-hop", "X-HOP: 1"), "x-hop", None, "names have no case"),
    (("Proxy-Connection: keep-alive",), "proxy-connection", None, "a hop's own, though in no standard"),
    (("Keep-Alive: timeout=5",), "keep-alive", None, "a hop's own"),
    (("TE: gzip;q=1, trailers",), "te", ["trailers"], "reduced to what is passed on (Go does the same)"),
    (("TE: deflate", "TE: trailers"), "te", ["trailers"], "several lines are one list"),
    (("TE: gzip",), "te", None, "no coding of a hop is passed on"),
    (("Trailers: X",), "trailers", ["X"], "not Trailer: an ordinary field"),
    (("User-Agent: agent/1",), "user-agent", ["agent/1"], "the caller's own"),
    ((), "user-agent", None, "none is made up"),
    ((), "accept-encoding", None, "nothing is asked for that the caller did not ask for"),
    (("X-Forwarded-For: 1.2.3.4", "X-Forwarded-Host: a", "X-Forwarded-Proto: https"), "x-forwarded-for", None, "untrusted"),
    (("Forwarded: for=1.2.3.4",), "forwarded", None, "untrusted"),
    (("Cookie: a=b",), "cookie", None, "a session of the caller is not the upstream's (design §6)"),
    (("Accept: a/b", "Accept: c/d"), "accept", ["a/b", "c/d"], "lines of one name keep their order"),
    (("Via: 1.0 before",), "via", ["1.0 before", "1.1 doorward"], "each hop adds itself behind (RFC 9110 §7.6.3)"),
    (("Max-Forwards: 0",), "max-forwards", ["0"], "counts for TRACE and OPTIONS alone (RFC 9110 §7.6.2)"),
    (("X-Empty:",), "x-empty", [""], "an empty value is a value"),
    (('If-None-Match: "a"',), "if-none-match", ['"a"'], "conditions are the upstream's to judge"),
    (("Range: bytes=0-1",), "range", ["bytes=0-1"], "ranges too"),
]  # fmt: skip


@pytest.mark.parametrize(("lines", "name", "expected", "why"), SEEN, ids=[case[3] for case in SEEN])
async def test_a_field_reaches_the_upstream_or_not(
    house: Build, lines: tuple[str, ...], name: str, expected: list[str] | None, why: str
) -> None:
    """The Host that it sees is always its own. What scrubbing whole answers changes stands in `test_scrubbed.py`."""
    door = await house(saying(OK), upstream="scrub: headers")
    client = await door.connect()
    await client.send(get("/api/items", await door.token(), "items.read", *lines))
    assert (await client.answer()).body == b"ok"
    (seen,) = door.upstream.seen
    assert seen.fields.get(name) == expected, why
    assert seen.fields["host"] == [door.doorward.upstream("api").origin.host + f":{door.doorward.upstream('api').origin.port}"]


HOPS = [
    ("5", 200, "4", "one fewer for the next"),
    ("1", 200, "0", "the upstream is the last"),
    ("007", 200, "6", "zeros in front are legal"),
    ("0", 405, None, "the gateway is the last, and has no operation of its own"),
    ("-1", 400, None, "no number"),
    ("1, 1", 400, None, "a list of them"),
    ("9999999999", 400, None, "more than anybody counts"),
    ("", 400, None, "nothing"),
]


@pytest.mark.parametrize(("said", "status", "passed_on", "why"), HOPS, ids=[case[3] for case in HOPS])
async def test_options_goes_as_far_as_it_may(house: Build, said: str, status: int, passed_on: str | None, why: str) -> None:
    """Each intermediary counts an OPTIONS down, and the one that finds zero answers it (RFC 9110, section 7.6.2)."""
    door = await house()
    client = await door.connect()
    asked = get("/api/items", await door.token(), "items.read", f"Max-Forwards: {said}", method="OPTIONS")
    for _ in range(3):  # what comes again is answered from memory, and means the same
        await client.send(asked)
        answer = await client.answer()
        assert answer.status == status, why
        assert status != 405 or "OPTIONS" in answer.fields["allow"]
    assert [seen.fields.get("max-forwards") for seen in door.upstream.seen] == [[passed_on]] * (3 if passed_on else 0)


# Lines of a response head: what the upstream says, what of it the caller sees, and why.
SHOWN = [
    ((b"Connection: X-Hop", b"X-Hop: 1"), (), "what Connection names stays here in this direction too"),
    ((b"Connection: x_hop", b"X-Hop: 1"), (), "in every spelling"),
    ((b"Keep-Alive: timeout=5", b"Proxy-Connection: close"), (), "a hop's own"),
    ((b"Upgrade: h2c",), (), "an offer that nobody here can take up"),
    ((b"Trailer: X-Sum",), (), "no chunks, so no trailers"),
    ((b"Trailers: X",), (b"Trailers: X",), "not Trailer: an ordinary field"),
    ((b"Set-Cookie: a=b", b"Set-Cookie: c=d"), (), "dropped unless the upstream's `pass` names it"),
    ((b"X-Two: a", b"X-Two: b"), (b"X-Two: a", b"X-Two: b"), "lines of one name keep their order"),
    ((b"Server: s", b"Date: today"), (b"Server: s", b"Date: today"), "the upstream's own, as it is"),
    ((b"Location: http://elsewhere.test/",), (b"Location: http://elsewhere.test/",), "a redirect is passed on, never followed"),
    ((b"Content-Encoding: gzip",), (b"Content-Encoding: gzip",), "content is passed on as it is encoded"),
    ((b"X-Odd: \xff\xfe",), (b"X-Odd: \xff\xfe",), "bytes beyond ASCII are opaque"),
]  # fmt: skip


@pytest.mark.parametrize(("said", "expected", "why"), SHOWN, ids=[case[2] for case in SHOWN])
async def test_a_field_reaches_the_caller_or_not(
    house: Build, said: tuple[bytes, ...], expected: tuple[bytes, ...], why: str
) -> None:
    """What the caller sees besides the length is exactly what is expected, and in this order."""
    answer = b"\r\n".join((b"HTTP/1.1 200 OK", *said, b"Content-Length: 2", b"", b"ok"))
    door = await house(saying(answer), upstream="scrub: headers")
    client = await door.connect()
    await client.send(get("/api/items", await door.token()))
    head = (await asyncio.wait_for(client.reader.readuntil(b"\r\n\r\n"), 10))[:-4]
    assert head.split(b"\r\n") == [b"HTTP/1.1 200 OK", *expected, b"Content-Length: 2"], why


async def test_cookies_that_may_pass_are_not_joined(house: Build) -> None:
    """Set-Cookie is no list: a comma in it means something else (RFC 9110 §5.3)."""
    door = await house(
        saying(b"HTTP/1.1 200 OK\r\nSet-Cookie: a=b\r\nContent-Length: 0\r\nSet-Cookie: c=d\r\n\r\n"),
        upstream="pass: [set-cookie]",
    )
    client = await door.connect()
    await client.send(get("/api/items", await door.token()))
    head = await asyncio.wait_for(client.reader.readuntil(b"\r\n\r\n"), 10)
    assert head.count(b"\r\nSet-Cookie: a=b\r\n") == head.count(b"\r\nSet-Cookie: c=d\r\n") == 1


@pytest.mark.parametrize("query", ["a=1&a=2;b=3", "a=1&a=%zz&b=3", "a=%zz", "&".join(["a=1"] * 2000), "", "a", "=b", "a=b=c&&"])
async def test_a_query_that_no_rule_reads_goes_on_untouched(house: Build, query: str) -> None:
    """Readers differ over these; here nobody has read anything from them that another could read otherwise."""
    door = await house(saying(OK))
    client = await door.connect()
    await client.send(get(f"/api/items?{query}", await door.token()))
    assert (await client.answer()).status == 200
    assert door.upstream.seen[0].head.split(b"\r\n")[0] == f"GET /base/items?{query} HTTP/1.1".encode()


async def test_a_head_is_passed_on_before_any_of_its_body(house: Build) -> None:
    """The caller sees status and fields as soon as they are there (Go: FlushIntervalHeaders)."""
    release = asyncio.Event()

    async def script(upstream: ScriptedUpstream, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await upstream.request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n")
        await release.wait()
        writer.write(b"ok")
        await writer.drain()

    door = await house(script)
    client = await door.connect()
    await client.send(get("/api/items", await door.token()))
    assert (await asyncio.wait_for(client.reader.readuntil(b"\r\n\r\n"), 10)).startswith(b"HTTP/1.1 200")
    release.set()
    assert await asyncio.wait_for(client.reader.readexactly(2), 10) == b"ok"


async def test_a_caller_that_leaves_takes_its_request_along(house: Build) -> None:
    """The upstream sees the end at once and can stop working (Go: Cancellation); the record says who left."""
    left = asyncio.Event()

    async def script(upstream: ScriptedUpstream, reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        await upstream.request(reader)
        assert await reader.read() == b""
        left.set()

    door = await house(script)
    client = await door.connect()
    await client.send(get("/api/items", await door.token()))
    await until(lambda: door.upstream.seen)
    await client.close()
    await asyncio.wait_for(left.wait(), 10)
    await door.stop()
    _, (response,) = door.exchanges()
    assert response["ending"] == "client_gone"


async def uploading(door: House, length: int, sent: bytes) -> tuple:
    """A client that has sent a part of its body and keeps the rest."""
    client = await door.connect()
    head = get("/api/items", await door.token(), "items.write", f"Content-Length: {length}", method="POST")
    await client.send(head + sent)
    return client, head


async def test_an_answer_that_comes_before_the_request_has_ended(house: Build) -> None:
    """It is passed on at once, then both connections end: nobody could tell where the rest of the body belongs."""

    async def script(_upstream: ScriptedUpstream, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\npart")
        writer.write(b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 3\r\n\r\nbig")
        await writer.drain()
        await reader.read()

    door = await house(script)
    client, _ = await uploading(door, 1000, b"part")
    answer = await client.answer()
    assert (answer.status, answer.body, "proxy-status" in answer.fields) == (413, b"big", False)
    assert await client.ended()
    await client.close()
    await until(lambda: door.doorward.pool.size == 0)
    await door.stop()
    _, (response,) = door.exchanges()
    assert (response["status"], response["ending"], response["received"]) == (413, "complete", 4)


async def test_an_upload_whose_caller_dies_never_looks_whole(house: Build) -> None:
    """The upstream sees a body that breaks off, not one that ends (Pingora: dropped_conn_post_body)."""
    seen: list[bytes] = []

    async def script(_upstream: ScriptedUpstream, reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        seen.append(await reader.read(4))
        try:
            seen.append(await reader.read())
        finally:
            seen.append(b"end")

    door = await house(script)
    client, _ = await uploading(door, 10, b"part")
    await until(lambda: seen)
    client.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.writer.transport.abort()
    await until(lambda: seen[-1] == b"end")
    assert b"".join(seen[:-1]) == b"part"
    await door.stop()
    _, (response,) = door.exchanges()
    assert (response["ending"], response["received"]) == ("client_gone", 4)


async def test_an_upload_whose_upstream_dies_is_502(house: Build) -> None:
    """And is not sent again: a part of it has been seen (nginx: proxy_non_idempotent; Pingora: upload_connection_die)."""

    async def script(_upstream: ScriptedUpstream, reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\npart")

    door = await house(script)
    client, _ = await uploading(door, 1000, b"part")
    answer = await client.answer()
    assert (answer.status, answer.problem["code"]) == (502, "upstream_failed")
    assert await client.ended()
    assert door.upstream.connections == 1


async def test_an_upstream_that_dies_after_a_hint_is_502(house: Build) -> None:
    """A hint is no answer: what follows it may still be our refusal (Pingora: 103_die)."""

    async def script(upstream: ScriptedUpstream, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await upstream.request(reader)
        writer.write(b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n")
        await writer.drain()

    door = await house(script)
    client = await door.connect()
    await client.send(get("/api/items", await door.token()))
    assert (await client.answer(head_only=True)).status == 103
    answer = await client.answer()
    assert (answer.status, answer.fields["proxy-status"]) == (502, "doorward; error=http_response_incomplete")
    assert door.upstream.connections == 1


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", True),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", True),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", True),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", True),
        (b"HTTP/1.1 304 Not Modified\r\nContent-Length: 7\r\n\r\n", True),
        (b"HTTP/1.1 204 No Content\r\n\r\n", True),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok", False),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: X, ClOsE\r\n\r\nok", False),
        (b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok", False),
        (b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\nConnection: keep-alive\r\n\r\nok", False),
    ],
)
async def test_a_connection_is_kept_by_what_the_upstream_says(house: Build, said: bytes, kept: bool) -> None:
    """However the body was delimited; the caller's own connection is kept all the same (nginx: proxy_keepalive)."""
    door = await house(saying(said))
    token = await door.token()
    client = await door.connect()
    for _ in range(3):
        await client.send(get("/api/items", token))
        answer = await client.answer()
        assert answer.status == int(said[9:12])
        assert answer.fields.get("connection") is None
    assert door.upstream.connections == (1 if kept else 3)


async def test_what_a_client_asks_of_its_connection_is_done(house: Build) -> None:
    """`Connection: close` is answered by `Connection: close`, and the upstream's connection is kept for the next caller."""
    door = await house(saying(OK))
    token = await door.token()
    for _ in range(3):
        client = await door.connect()
        await client.send(get("/api/items", token, "items.read", "Connection: close"))
        assert (await client.answer()).fields["connection"] == "close"
        assert await client.ended()
    assert door.upstream.connections == 1
    assert all("connection" not in seen.fields for seen in door.upstream.seen)
