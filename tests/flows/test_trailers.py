"""Trailers on real sockets: they reach the caller only if it takes them and the upstream has announced them; else nobody."""

import asyncio

import pytest
from fakes.house import Build, RawClient, ScriptedUpstream, get

CHUNKS = b"3\r\nabc\r\n0\r\n"


def ending_with(announced: bytes, trailers: bytes):
    """An upstream whose chunked answers end with these trailers."""

    async def script(upstream: ScriptedUpstream, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            await upstream.request(reader)
            writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n" + announced + b"\r\n" + CHUNKS)
            await writer.drain()
            await asyncio.sleep(0)
            writer.write(trailers + b"\r\n")
            await writer.drain()

    return script


async def raw_answer(client: RawClient) -> tuple[bytes, bytes]:
    """The head, and all that follows the last chunk."""
    head = await asyncio.wait_for(client.reader.readuntil(b"\r\n\r\n"), 10)
    await client.reader.readuntil(b"\r\n0\r\n")
    trailers = b""
    while (line := await asyncio.wait_for(client.reader.readline(), 10)) != b"\r\n":
        trailers += line
    return head, trailers


@pytest.mark.parametrize(
    ("asked", "announced", "sent", "expected", "why"),
    [
        (("TE: trailers", "Connection: TE"), b"Trailer: X-Sum\r\n", b"X-Sum: 1\r\n", b"X-Sum: 1\r\n", "both sides agree"),
        (("TE: trailers",), b"Trailer: X-Sum\r\n", b"X-Sum: 1\r\nX-B: 2\r\n", b"X-Sum: 1\r\n", "the second is not announced"),
        (("TE: trailers",), b"", b"X-Sum: 1\r\n", b"", "none is announced"),
        ((), b"Trailer: X-Sum\r\n", b"X-Sum: 1\r\n", b"", "the caller has not said that it takes any"),
        (("TE: trailers",), b"Trailer: \xa0, a b, X-Sum\r\n", b"X-Sum: 1\r\n", b"X-Sum: 1\r\n", "the others are no names"),
        (("TE: gzip",), b"Trailer: X-Sum\r\n", b"X-Sum: 1\r\n", b"", "it takes something else"),
        (("TE: trailers",), b"Trailer: Set-Cookie, Location\r\n", b"Set-Cookie: a\r\nLocation: /\r\n", b"", "too late for it"),
    ],
)  # fmt: skip
async def test_trailers_pass_by_consent(
    house: Build, asked: tuple[str, ...], announced: bytes, sent: bytes, expected: bytes, why: str
) -> None:
    """Each twice on kept connections: what is remembered of a response head says nothing of who asked."""
    door = await house(ending_with(announced, sent))
    token = await door.token()
    client = await door.connect()
    for _ in range(3):
        await client.send(get("/api/items", token, "items.read", *asked))
        head, trailers = await raw_answer(client)
        assert trailers == expected, why
        assert (b"\r\nTrailer: x-sum\r\n" in head) == bool(expected)
        assert (b"Trailer" in head) == bool(expected)
    assert door.upstream.connections == 1
    wants = "TE: trailers" in asked
    assert {tuple(seen.fields.get("te", ())) for seen in door.upstream.seen} == {("trailers",) if wants else ()}


async def test_one_memory_serves_callers_that_differ(house: Build) -> None:
    """The same response head, for a caller that takes trailers and for one that does not."""
    door = await house(ending_with(b"Trailer: X-Sum\r\n", b"X-Sum: 1\r\n"))
    token = await door.token()
    client = await door.connect()
    for asked in ((), ("TE: trailers",)) * 3:
        await client.send(get("/api/items", token, "items.read", *asked))
        assert (await raw_answer(client))[1] == (b"X-Sum: 1\r\n" if asked else b"")


async def test_trailers_of_a_request_reach_nobody(house: Build) -> None:
    """They come when every check is over, so none of them could have been checked; the request itself is served."""
    door = await house()
    client = await door.connect()
    lines = ("Transfer-Encoding: chunked", "Trailer: Authorization, X-Sum", "TE: trailers")
    request = get("/api/items", await door.token(), "items.write", *lines, method="POST")
    await client.send(request + CHUNKS + b"Authorization: Bearer other\r\nX-Sum: 1\r\n\r\n")
    assert (await client.answer()).body == b"abc"
    (seen,) = door.upstream.seen
    assert seen.body == b"abc"
    assert {"authorization", "x-sum", "trailer", "content-length"}.isdisjoint(seen.fields)
    await client.send(get("/api/items", await door.token()))
    assert (await client.answer()).body == b"hello"
    assert door.upstream.connections == 1


@pytest.mark.parametrize(
    ("trailers", "why"),
    [
        (b"X-Sum : 1\r\n", "space before the colon"),
        (b"X-Sum: 1\n", "a line without CR"),
        (b" folded\r\n", "a folded line"),
        (b"X-Sum: a\x00b\r\n", "NUL"),
        (b"X-Sum: a\rX: b\r\n", "a CR inside a line, which some take for its end"),
        (b"nonsense\r\n", "no colon"),
        (b"X-Sum: 1\r\n" * 40, "more lines than allowed"),
        (b"X-Sum: " + b"a" * 900 + b"\r\n" + (b"X-Sum: " + b"a" * 900 + b"\r\n") * 12, "more bytes than allowed"),
    ],
)
async def test_broken_trailers_cut_the_answer(house: Build, trailers: bytes, why: str) -> None:
    """The caller can tell that the message never ended, and the connection is not used again."""
    seen = asyncio.Event()

    async def script(upstream: ScriptedUpstream, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await upstream.request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n" + CHUNKS)
        await seen.wait()
        writer.write(trailers + b"\r\n")
        await writer.drain()
        await reader.read()

    door = await house(script)
    client = await door.connect()
    await client.send(get("/api/items", await door.token(), "items.read", "TE: trailers"))
    await asyncio.wait_for(client.reader.readuntil(b"\r\n0\r\n"), 10)
    seen.set()
    rest = await asyncio.wait_for(client.reader.read(), 10)
    assert not (b"\r\n" + rest).endswith(b"\r\n\r\n"), why
    await door.stop()
    _, (response,) = door.exchanges()
    assert (response["code"], response["ending"]) == ("upstream_failed", "cut")
    assert door.doorward.pool.size == 0
