"""The listener of `doorward run`: one key, one request for each connection, bounded; knows no real gateway."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress

import pytest

from gateway.client import loopback
from gateway.client.errors import MisusedError, NoTokenError
from gateway.client.keyed_head import HEAD_BYTES
from gateway.client.loopback import Loopback, Way

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class Keeper:
    """Gives the headers that it is told to give."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, bool]] = []
        self.none = False

    def for_request(self, path: str, *, declared: bool) -> dict[str, str]:
        self.asked.append((path, declared))
        if self.none:
            raise NoTokenError("the token of the task has run out")
        return {"Authorization": "Bearer dwt_x"}


class Scene:
    """A listener before a gateway that plays one script for each connection."""

    def __init__(self) -> None:
        self.keeper = Keeper()
        self.loopback: Loopback
        self.port = 0

    async def ask(self, *lines: str, key: str | None = None) -> bytes:
        reader, writer = await self.open(*lines, key=key)
        answer = await asyncio.wait_for(reader.read(), 20)
        await self.close(writer)
        return answer

    async def close(self, writer: asyncio.StreamWriter) -> None:
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()

    async def open(self, *lines: str, key: str | None = None) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        shown = f"X-Api-Key: {self.loopback.key if key is None else key}"
        writer.write("\r\n".join(("POST /api/x HTTP/1.1", "Host: h", shown, *lines, "", "")).encode())
        return reader, writer


@pytest.fixture
async def scene() -> AsyncIterator[Callable[[Serve], Awaitable[Scene]]]:
    """Starts a gateway of this script, and the listener before it."""
    stopped: list[Callable[[], Awaitable[None]]] = []

    async def start(serve: Serve) -> Scene:
        made = Scene()
        over: list[asyncio.Event] = []

        async def serve_and_close(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            over.append(asyncio.Event())
            mine = over[-1]
            try:
                await serve(reader, writer)
            except (OSError, asyncio.IncompleteReadError):
                pass
            finally:
                writer.close()
                with suppress(OSError):
                    await writer.wait_closed()
                mine.set()

        server = await asyncio.start_server(serve_and_close, "127.0.0.1", 0)
        way = Way.to(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}")
        made.loopback = await Loopback(made.keeper, way).__aenter__()
        made.port = int(made.loopback.url.rpartition(":")[2])

        async def stop() -> None:
            await made.loopback.__aexit__()
            server.close()
            for each in over:
                await each.wait()

        stopped.append(stop)
        return made

    yield start
    for stop in stopped:
        await stop()


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer with the head that came, and close."""
    head = await reader.readuntil(b"\r\n\r\n")
    writer.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + head)
    await writer.drain()


async def test_the_key_is_exchanged_for_the_token(scene) -> None:
    """The gateway sees the token and its own name as host; the key stays here."""
    made = await scene(echo)
    answer = await made.ask("Agent-Intent: a.read")
    assert b"\r\nAuthorization: Bearer dwt_x\r\n" in answer
    assert made.loopback.key.encode() not in answer
    assert b"Host: 127.0.0.1:" in answer
    assert made.keeper.asked == [("/api/x", True)]


async def test_nothing_passes_without_the_key(scene) -> None:
    """Another key, none, or two of it: 401, and the gateway is not asked."""
    made = await scene(echo)
    for lines, key in (((), "x"), ((), ""), ((f"Api-Key: {made.loopback.key}",), None), ((), "dwt_x")):
        answer = await made.ask(*lines, key=key)
        assert answer.startswith(b"HTTP/1.1 401 ")
        assert b'"key_wrong"' in answer
        assert made.loopback.key.encode() not in answer
    assert made.keeper.asked == []


async def test_without_a_token_nothing_passes(scene) -> None:
    """The command reads why."""
    made = await scene(echo)
    made.keeper.none = True
    answer = await made.ask()
    assert answer.startswith(b"HTTP/1.1 401 ")
    assert b"has run out" in answer


async def test_bytes_pass_both_ways_as_they_come(scene) -> None:
    """What one side says reaches the other while both still speak."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        while word := await reader.read(100):
            writer.write(word.upper())
        writer.close()

    made = await scene(talk)
    reader, writer = await made.open()
    for word in (b"one", b"two", b"three"):
        writer.write(word)
        assert await asyncio.wait_for(reader.readexactly(len(word)), 20) == word.upper()
    await made.close(writer)


async def test_a_cut_answer_is_no_good_end(scene) -> None:
    """When the gateway resets the connection, the command sees a reset too and takes no half for the whole."""

    async def cut(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\n\r\nhalf")
        await writer.drain()
        await reader.read(1)
        writer.get_extra_info("socket").setsockopt(1, 13, b"\x01\x00\x00\x00\x00\x00\x00\x00")  # SO_LINGER: a reset
        writer.transport.abort()

    made = await scene(cut)
    reader, writer = await made.open()
    await reader.readuntil(b"half")
    writer.write(b"x")
    with pytest.raises(ConnectionError):
        await asyncio.wait_for(reader.read(), 20)
    await made.close(writer)


async def test_who_does_not_read_holds_the_gateway_back(scene) -> None:
    """An endless answer that nobody reads fills what is bounded, and no more."""
    full = asyncio.Event()

    async def flood(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.transport.set_write_buffer_limits(high=0)
        sent = 0
        try:
            async with asyncio.timeout(3):
                while sent < 1 << 28:
                    writer.write(bytes(1 << 16))
                    await writer.drain()
                    sent += 1 << 16
        except TimeoutError:
            full.set()
        writer.transport.abort()

    made = await scene(flood)
    _, writer = await made.open()
    await asyncio.wait_for(full.wait(), 30)
    writer.transport.abort()
    await made.close(writer)


async def test_what_is_no_head_or_too_large_gets_nowhere(scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """A bad head is answered; one that never ends, in bytes or in time, is cut."""
    made = await scene(echo)
    assert (await made.ask("X-A : 1")).startswith(b"HTTP/1.1 400 ")
    reader, writer = await asyncio.open_connection("127.0.0.1", made.port)
    writer.write(b"GET / HTTP/1.1\r\nX: " + bytes(HEAD_BYTES * 2))
    with pytest.raises(ConnectionError):
        await asyncio.wait_for(reader.readexactly(1), 20)
    await made.close(writer)
    monkeypatch.setattr(loopback, "HEAD_SECONDS", 0.05)
    reader, writer = await asyncio.open_connection("127.0.0.1", made.port)
    writer.write(b"GET / HTTP/1.1\r\n")
    with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
        await asyncio.wait_for(reader.readexactly(1), 20)
    await made.close(writer)


async def test_requests_under_way_are_counted(scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """One more than may be under way is told so."""
    monkeypatch.setattr(loopback, "CONNECTIONS", 1)
    begun = asyncio.Event()

    async def wait(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        begun.set()
        await reader.read()
        writer.close()

    made = await scene(wait)
    _, writer = await made.open()
    await asyncio.wait_for(begun.wait(), 20)
    assert (await made.ask()).startswith(b"HTTP/1.1 503 ")
    await made.close(writer)


async def test_an_answer_is_not_lost_over_a_body_that_nobody_wants(scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """What still comes is read away, for a second at most."""
    monkeypatch.setattr(loopback, "LINGERING_SECONDS", 0.2)
    made = await scene(echo)
    reader, writer = await made.open("Content-Length: 1000000", key="x")
    writer.write(bytes(1_000_000))
    assert (await asyncio.wait_for(reader.read(), 20)).startswith(b"HTTP/1.1 401 ")
    await made.close(writer)


async def test_a_gateway_that_is_gone_is_said(scene) -> None:
    """502, with its address."""

    async def never(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    made = await scene(never)
    made.loopback._way = Way.to("http://127.0.0.1:1")
    answer = await made.ask()
    assert answer.startswith(b"HTTP/1.1 502 ")
    assert b"127.0.0.1:1 cannot be reached" in answer


def test_a_gateway_is_named_by_its_origin() -> None:
    """A path or another scheme is a mistake."""
    assert Way.to("https://gateway.example")[:2] == ("gateway.example", 443)
    for text in ("http://gateway.example/x", "unix:x", "gateway.example:80"):
        with pytest.raises(MisusedError):
            Way.to(text)
