"""Interim responses on real sockets: which of them reach the caller, with which fields, and what is no interim response."""

import asyncio

import pytest
from fakes.house import Build, RawClient, ScriptedUpstream, get

FINAL = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


def saying(*parts: bytes):
    """An upstream that answers each request with these parts, one write each."""

    async def script(upstream: ScriptedUpstream, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            await upstream.request(reader)
            for part in parts:
                writer.write(part)
                await writer.drain()
                await asyncio.sleep(0)

    return script


async def next_head(client: RawClient) -> bytes:
    return await asyncio.wait_for(client.reader.readuntil(b"\r\n\r\n"), 10)


async def test_hints_reach_the_caller_before_the_answer(house: Build) -> None:
    """103 and 102 go on, one by one and in order, without fields that the caller may not have; 100 was answered here."""
    release = asyncio.Event()

    async def script(upstream: ScriptedUpstream, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await upstream.request(reader)
        writer.write(
            b"HTTP/1.1 100 Continue\r\n\r\n"
            b"HTTP/1.1 102 Processing\r\n\r\n"
            b"HTTP/1.1 103 Early Hints\r\nLink: </a>; rel=preload\r\nSet-Cookie: a=b\r\nKeep-Alive: 5\r\nX-Hop: 1\r\n"
            b"Connection: X-Hop\r\nProxy-Status: origin\r\nContent-Length: 0\r\n\r\n"
            b"HTTP/1.1 103 Early Hints\r\nLink: </b>; rel=preload\r\n\r\n"
        )
        await writer.drain()
        await release.wait()
        writer.write(FINAL)
        await writer.drain()
        await reader.read()

    door = await house(script)
    client = await door.connect()
    await client.send(get("/api/items", await door.token()))
    assert await next_head(client) == b"HTTP/1.1 102 Processing\r\n\r\n"
    assert await next_head(client) == b"HTTP/1.1 103 Early Hints\r\nLink: </a>; rel=preload\r\n\r\n"
    assert await next_head(client) == b"HTTP/1.1 103 Early Hints\r\nLink: </b>; rel=preload\r\n\r\n"
    release.set()
    assert (await client.answer()).body == b"ok"
    await door.stop()
    _, (response,) = door.exchanges()
    assert (response["status"], response["sent"], response["ending"]) == (200, 2, "complete")


async def test_a_hint_that_comes_in_pieces_is_one(house: Build) -> None:
    """Wherever the upstream's bytes are split, the heads are the same and the connection is kept."""
    whole = b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + FINAL
    door = await house(saying(*(whole[at : at + 1] for at in range(len(whole)))))
    token = await door.token()
    client = await door.connect()
    for _ in range(2):
        await client.send(get("/api/items", token))
        assert await next_head(client) == b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n"
        assert (await client.answer()).body == b"ok"
    assert door.upstream.connections == 1


async def test_a_hint_for_head_is_no_answer(house: Build) -> None:
    """HEAD gets its hints too, and then the head alone."""
    door = await house(saying(b"HTTP/1.1 103 Early Hints\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n"))
    client = await door.connect()
    await client.send(get("/api/items", await door.token(), method="HEAD"))
    assert (await client.answer(head_only=True)).status == 103
    answer = await client.answer(head_only=True)
    assert (answer.status, answer.fields["content-length"]) == (200, "7")


@pytest.mark.parametrize(
    ("interim", "why"),
    [
        (b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n", "nobody asked to switch"),
        (b"HTTP/1.1 103 Early Hints\r\nContent-Length: 5\r\n\r\n", "a length would hide the final head as content"),
        (b"HTTP/1.1 103 Early Hints\r\nTransfer-Encoding: chunked\r\n\r\n", "chunks would do the same"),
        (b"HTTP/1.1 103 Early Hints\r\nLink: a\r\n folded\r\n\r\n", "a folded line"),
        (b"HTTP/1.1 103 Early Hints\r\nLink : a\r\n\r\n", "space before the colon"),
        (b"HTTP/1.1 103 Early Hints\nLink: a\n\n", "lines without CR"),
        (b"HTTP/1.1 099 Nothing\r\n\r\n", "no status"),
        (b"HTTP/1.1 103 Early Hints\r\n" + b"X: y\r\n" * 200 + b"\r\n", "more fields than a head may have"),
    ],
)
async def test_what_is_no_interim_response_fails_the_upstream(house: Build, interim: bytes, why: str) -> None:
    """The final answer behind it is not taken, the caller sees one 502 and nothing else, and the connection is gone."""
    door = await house(saying(interim + FINAL))
    client = await door.connect()
    await client.send(get("/api/items", await door.token()))
    answer = await client.answer()
    assert (answer.status, answer.problem["code"]) == (502, "upstream_failed"), why
    assert len(door.upstream.seen) == 1
    assert door.doorward.pool.idle == 0
