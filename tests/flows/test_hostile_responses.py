"""Answers of a hostile or broken upstream, byte for byte: what the caller gets of each and why, and that nobody else gets any.

The ideas of the cases are those of nginx-tests (proxy_extra_data, proxy_duplicate_headers, proxy_unfinished), Go's
Transport tests, HAProxy's bodyless responses and Pingora's early ends. No case knows how the gateway does it.
"""

import asyncio
import socket
import struct
from typing import NamedTuple

import pytest
from fakes.house import Build, ScriptedUpstream, get

OK = b"HTTP/1.1 200 OK\r\n"
FIVE = b"Content-Length: 5\r\n"
CHUNKED = b"Transfer-Encoding: chunked\r\n"
FORGED = b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nforged"
CLEAN = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nclean"


class Case(NamedTuple):
    """What is said to the first request. With `closes` the upstream then closes, else it would go on answering cleanly."""

    said: bytes
    why: str
    method: str = "GET"
    closes: bool = False


UNREADABLE = [
    Case(OK + FIVE + b"Content-Length: 6\r\n\r\nhello", "two lengths"),
    Case(OK + FIVE + FIVE + b"\r\nhello", "twice the same length"),
    Case(OK + b"Content-Length: 5, 5\r\n\r\nhello", "a list of lengths"),
    Case(OK + b"Content-Length: -5\r\n\r\nhello", "a negative length"),
    Case(OK + b"Content-Length: +5\r\n\r\nhello", "a sign"),
    Case(OK + b"Content-Length: 5x\r\n\r\nhello", "no number"),
    Case(OK + b"Content-Length:\r\n\r\nhello", "an empty length"),
    Case(OK + b"Content-Length: 18446744073709551621\r\n\r\nhello", "5 in 64 bits that wrap around"),
    Case(OK + FIVE + CHUNKED + b"\r\n0\r\n\r\n" + FORGED, "a length and chunks: response splitting"),
    Case(OK + CHUNKED + CHUNKED + b"\r\n0\r\n\r\n", "chunks announced twice"),
    Case(OK + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", "a coding that nobody here undoes"),
    Case(OK + b"Transfer-Encoding: identity\r\n" + FIVE + b"\r\nhello", "a coding that was taken out of the standard"),
    Case(OK + b"Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n", "a space before the colon"),
    Case(OK + b"Transfer_Encoding: chunked\r\n" + FIVE + b"\r\nhello", "a spelling that some take for the real one"),
    Case(b"HTTP/1.0 200 OK\r\n" + CHUNKED + b"\r\n0\r\n\r\n", "chunks in HTTP/1.0 (RFC 9112 §6.1)"),
    Case(OK + b"Connection: Content-Length\r\n" + FIVE + b"\r\nhello", "a response that strips its own end"),
    Case(b"HTTP/1.1 200 OK\nContent-Length: 5\n\nhello", "lines without CR"),
    Case(OK + b"X: a\nSet-Cookie: b=c\r\n" + FIVE + b"\r\nhello", "a field behind a bare LF"),
    Case(OK + b"X: a\rSet-Cookie: b=c\r\n" + FIVE + b"\r\nhello", "a field behind a bare CR"),
    Case(OK + b"X: a\x00b\r\n" + FIVE + b"\r\nhello", "NUL in a value"),
    Case(OK + b"X: a\r\n folded\r\n" + FIVE + b"\r\nhello", "obs-fold (RFC 9112 §5.2)"),
    Case(OK + b" X: a\r\n" + FIVE + b"\r\nhello", "space before the first field"),
    Case(OK + b"X y: a\r\n" + FIVE + b"\r\nhello", "a space in a name"),
    Case(OK + b": a\r\n" + FIVE + b"\r\nhello", "no name"),
    Case(OK + b"nonsense\r\n" + FIVE + b"\r\nhello", "no colon"),
    Case(b"HTTP/1.1 099 Early\r\n" + FIVE + b"\r\nhello", "a status below 100"),
    Case(b"HTTP/1.1 000 Nothing\r\n" + FIVE + b"\r\nhello", "status zero"),
    Case(b"HTTP/1.1 600 Late\r\n" + FIVE + b"\r\nhello", "a status beyond the classes (RFC 9110 §15)"),
    Case(b"HTTP/1.1 20 OK\r\n" + FIVE + b"\r\nhello", "two digits"),
    Case(b"HTTP/1.1 2000 OK\r\n" + FIVE + b"\r\nhello", "four digits"),
    Case(b"HTTP/1.1 2OO OK\r\n" + FIVE + b"\r\nhello", "letters for digits"),
    Case(b"HTTP/1.1 +20 OK\r\n" + FIVE + b"\r\nhello", "a sign"),
    Case(b"HTTP/1.1  200 OK\r\n" + FIVE + b"\r\nhello", "two spaces"),
    Case(b"HTTP/1.1 200OK\r\n" + FIVE + b"\r\nhello", "no space"),
    Case(b"HTTP/1.1 200 O\x00K\r\n" + FIVE + b"\r\nhello", "NUL in the reason"),
    Case(b"HTTP/2.0 200 OK\r\n" + FIVE + b"\r\nhello", "another version"),
    Case(b"HTTP/1.2 200 OK\r\n" + FIVE + b"\r\nhello", "a version that nobody has written down"),
    Case(b"http/1.1 200 OK\r\n" + FIVE + b"\r\nhello", "the protocol's name has case"),
    Case(b"ICY 200 OK\r\n\r\n", "another protocol"),
    Case(b"\r\n" + OK + FIVE + b"\r\nhello", "an empty line in front"),
    Case(b"<html>hello</html>\r\n\r\n", "HTTP/0.9: content without a head"),
    Case(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n" + FORGED, "101 unasked"),
    Case(OK + b"X: " + b"a" * 40_000 + b"\r\n\r\n", "a head beyond the limit"),
    Case(OK + b"X: y\r\n" * 200 + b"\r\n", "more fields than the limit"),
    Case(OK + b"X: " + b"a" * 40_000, "a head beyond the limit that never ends"),
    Case(OK + b"X: y\r\n", "the end within the head", closes=True),
    Case(b"", "the end before the head", closes=True),
    Case(OK + CHUNKED + b"\r\nnonsense\r\n", "no chunk size"),
    Case(OK + CHUNKED + b"\r\n-5\r\nhello\r\n0\r\n\r\n", "a negative chunk size"),
    Case(OK + CHUNKED + b"\r\n0x5\r\nhello\r\n0\r\n\r\n", "a chunk size with a prefix"),
    Case(OK + CHUNKED + b"\r\n10000000000000005\r\nhello\r\n0\r\n\r\n", "a chunk size that wraps around in 64 bits"),
    Case(OK + CHUNKED + b"\r\n5\nhello\n0\n\n", "chunks without CR"),
    Case(OK + CHUNKED + b"\r\n5;a\nb\r\nhello\r\n0\r\n\r\n", "a bare LF in a chunk extension"),
    Case(OK + CHUNKED + b"\r\n5\r\nhello!\r\n0\r\n\r\n", "a chunk longer than its size"),
    Case(OK + CHUNKED + b"\r\n5\r\nhello\r\n0\r\nbad trailer\r\n\r\n", "a trailer that is no field"),
]  # fmt: skip


def named(case: Case) -> str:
    return case.why


def once(case: Case):
    """Says what the case has to say to the very first request, and to every other one a clean answer."""
    said = False

    async def script(upstream: ScriptedUpstream, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal said
        while True:
            await upstream.request(reader)
            first, said = not said, True
            writer.write(case.said if first else CLEAN)
            await writer.drain()
            if first and case.closes:
                return

    return script


@pytest.mark.parametrize("case", UNREADABLE, ids=named)
async def test_what_cannot_be_read_one_way_is_502(house: Build, case: Case) -> None:
    """One whole 502 with a problem, nothing of what the upstream said, and the next caller is served on a new connection."""
    door = await house(once(case))
    token = await door.token()
    client = await door.connect()
    await client.send(get("/api/items", token, method=case.method) * 2)
    answer = await client.answer()
    assert (answer.status, answer.problem["code"], answer.whole) == (502, "upstream_failed", True)
    assert {"set-cookie", "x"}.isdisjoint(answer.fields)
    assert (await client.answer()).body == b"clean"
    assert (len(door.upstream.seen), door.upstream.connections) == (2, 2)
    await client.close()
    await door.stop()
    _, responses = door.exchanges()
    assert [record["code"] for record in responses] == ["upstream_failed", None]


LEFT_OVER = [
    Case(OK + FIVE + b"\r\nhello" + FORGED, "a second answer behind a length"),
    Case(OK + FIVE + b"\r\nhello!", "one byte too many"),
    Case(OK + FIVE + b"\r\nhello\r\n", "a line end too many"),
    Case(OK + CHUNKED + b"\r\n5\r\nhello\r\n0\r\n\r\n" + FORGED, "a second answer behind the last chunk"),
    Case(OK + b"Content-Length: 0\r\n\r\n" + FORGED, "a second answer behind an empty one"),
    Case(b"HTTP/1.1 204 No Content\r\n\r\n" + FORGED, "204 ends with its head (RFC 9112 §6.3)"),
    Case(b"HTTP/1.1 204 No Content\r\n" + FIVE + b"\r\nhello", "204 has no body, whatever it announces"),
    Case(b"HTTP/1.1 204 No Content\r\n" + CHUNKED + b"\r\n5\r\nhello\r\n0\r\n\r\n", "nor with chunks"),
    Case(b"HTTP/1.1 304 Not Modified\r\n" + FIVE + b"\r\nhello", "304 has no body; its length is that of the 200"),
    Case(OK + FIVE + b"\r\nhello", "HEAD has no body, whatever is sent", method="HEAD"),
    Case(OK + CHUNKED + b"\r\n5\r\nhello\r\n0\r\n\r\n", "nor with chunks, for HEAD", method="HEAD"),
]  # fmt: skip


@pytest.mark.parametrize("case", LEFT_OVER, ids=named)
async def test_what_follows_an_answer_is_nobodys(house: Build, case: Case) -> None:
    """The first caller gets its answer whole, the bytes behind it reach nobody, and their connection is not used again."""
    door = await house(once(case))
    token = await door.token()
    client = await door.connect()
    await client.send(get("/api/items", token, method=case.method))
    answer = await client.answer(head_only=case.method == "HEAD")
    assert answer.status == int(case.said[9:12])
    assert answer.body == (b"hello" if answer.status == 200 and b"hello" in case.said and case.method == "GET" else b"")
    assert answer.status != 204 or {"content-length", "transfer-encoding"}.isdisjoint(answer.fields)
    await client.send(get("/api/items", token))
    assert (await client.answer()).body == b"clean"
    assert (len(door.upstream.seen), door.upstream.connections) == (2, 2)


CUT = [
    Case(OK + b"Content-Length: 10\r\n\r\nhello", "shorter than its length"),
    Case(OK + CHUNKED + b"\r\n5\r\nhello\r\n", "no last chunk"),
    Case(OK + CHUNKED + b"\r\na\r\nhello", "an end within a chunk"),
    Case(OK + CHUNKED + b"\r\n5\r\nhello\r\n0\r\n", "an end before the last empty line"),
    Case(OK + CHUNKED + b"\r\n5\r\nhello\r\n0\r\nX: y\r\n", "an end within the trailers"),
]  # fmt: skip


@pytest.mark.parametrize("reset", [False, True], ids=["closed", "reset"])
@pytest.mark.parametrize("case", CUT, ids=named)
async def test_what_breaks_off_does_not_look_whole(house: Build, case: Case, reset: bool) -> None:
    """What came goes on, the end does not, and nothing is asked again: the caller decides what half an answer is worth."""
    begun = asyncio.Event()

    async def script(upstream: ScriptedUpstream, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await upstream.request(reader)
        writer.write(case.said)
        await begun.wait()
        if reset:
            writer.transport.abort()

    door = await house(script)
    client = await door.connect()
    await client.send(get("/api/items", await door.token()))
    await asyncio.wait_for(client.reader.readuntil(b"hello"), 10)
    begun.set()
    rest = await asyncio.wait_for(client.reader.read(), 10)
    assert rest in (b"", b"\r\n", b"\r\n0\r\n")
    await client.close()
    await door.stop()
    _, (response,) = door.exchanges()
    assert (response["ending"], response["code"], response["sent"]) == ("cut", "upstream_failed", 5)
    assert (len(door.upstream.seen), door.doorward.pool.size) == (1, 0)


async def test_an_end_by_reset_is_not_the_end_of_a_body(house: Build) -> None:
    """A body that ends with its connection has ended only if the connection ended in good order."""
    begun = asyncio.Event()

    async def script(upstream: ScriptedUpstream, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await upstream.request(reader)
        writer.write(OK + b"\r\nhello")
        await begun.wait()
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.transport.abort()

    door = await house(script)
    client = await door.connect()
    await client.send(get("/api/items", await door.token()))
    await asyncio.wait_for(client.reader.readuntil(b"hello"), 10)
    begun.set()
    assert await asyncio.wait_for(client.reader.read(), 10) == b"\r\n"
    await door.stop()
    _, (response,) = door.exchanges()
    assert (response["ending"], response["code"]) == ("cut", "upstream_failed")


@pytest.mark.parametrize(
    ("said", "why"),
    [
        (b"HTTP/1.1 200\r\n" + FIVE + b"\r\nhello", "no reason, and no space before it: common, and read alike by all"),
        (b"HTTP/1.1 200 \r\n" + FIVE + b"\r\nhello", "an empty reason"),
        (b"HTTP/1.1 299 \xc3\x9cber\r\n" + FIVE + b"\r\nhello", "a status of a known class, and a reason beyond ASCII"),
        (b"HTTP/1.0 200 OK\r\n" + FIVE + b"\r\nhello", "an HTTP/1.0 server"),
        (OK + b"content-LENGTH:5\r\n\r\nhello", "names have no case, and no space is needed"),
        (OK + b"Transfer-Encoding: CHUNKED\r\n\r\n5;x\r\nhello\r\n000\r\n\r\n", "a coding has no case; extensions are dropped"),
        (b"HTTP/1.1 100 Continue\r\n\r\n" * 3 + OK + FIVE + b"\r\nhello", "100 that nobody asked for is passed over"),
    ],
)
async def test_what_is_unusual_and_clear_is_served(house: Build, said: bytes, why: str) -> None:
    """Strictness is for what two readers take differently, not for what is rare."""
    door = await house(once(Case(said, why)))
    client = await door.connect()
    await client.send(get("/api/items", await door.token()))
    answer = await client.answer()
    assert (answer.status // 100, answer.body, answer.whole) == (2, b"hello", True), why
