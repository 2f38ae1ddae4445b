"""What the gateway holds itself while one side does not read, with TLS on either side and without: no more than one read."""

import asyncio
import tracemalloc
from collections.abc import Callable, Iterable

import pytest
from fakes.certificates import Certificates
from fakes.house import Build, House, Open, RawClient, ScriptedUpstream, get
from fakes.websocket import ACCEPTED, asking, frame, took_handshake

from gateway.http.downstream import Downstream
from gateway.http.sender import LARGE
from gateway.http.upstream import UpstreamConnection

READ = 256 << 10
"""Bytes that event loops read at once, at most."""
RECORD = 16 << 10
"""Bytes of one record of TLS, which may have waited for its end when more was read."""
BODY = 64 << 20
"""More than all buffers of the kernel hold."""


async def until(condition: Callable[[], bool]) -> None:
    """Look in every turn of the loop, so that what is seen is what it was when it came about."""
    async with asyncio.timeout(30):
        while not condition():
            await asyncio.sleep(0)


def sending(piece: int) -> Callable:
    """A script that answers with a large body, in pieces of so many bytes."""

    async def send_much(upstream: ScriptedUpstream, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await upstream.request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % BODY)
        await write_in(piece, writer)

    return send_much


def streaming(kind: str) -> Callable:
    """A script that sends as much without saying how much it will be: events, or messages after a handshake."""

    async def stream_much(upstream: ScriptedUpstream, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if kind == "messages":
            await took_handshake(upstream, reader)
            writer.write(ACCEPTED + b"\r\n")
            part = frame(bytes(RECORD))
        else:
            await upstream.request(reader)
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
            event = b"data: %b\n\n" % (b"x" * RECORD)
            part = b"%x\r\n%b\r\n" % (len(event), event)
        for _ in range(BODY // RECORD):
            writer.write(part)
            await writer.drain()

    return stream_much


async def write_in(piece: int, writer: asyncio.StreamWriter) -> None:
    """Write a large body; pieces that are small are read one by one."""
    for _ in range(BODY // piece):
        writer.write(bytes(piece))
        await writer.drain()
        await asyncio.sleep(0)


def waiting(connections: Iterable[Downstream | UpstreamConnection]) -> bool:
    """Whether anything waits here to be sent on one of them."""
    return any(each._transport.get_write_buffer_size() for each in connections)


def check_that_one_read_waits(sender: Downstream | UpstreamConnection) -> None:
    """The transport has the rest of no more than one read, and the sender itself has nothing."""
    assert not sender._unsent
    assert 0 < sender._transport.get_write_buffer_size() <= READ + RECORD


def sides(door: House) -> tuple[Downstream, UpstreamConnection]:
    """Both ends of the one exchange that is under way."""
    (caller,), (connection,) = door.doorward.listener.connections, door.doorward.pool._open
    return caller, connection


async def check_that_the_client_is_waited_for(door: House) -> None:
    """With one read that waits for it, and no other behind that."""
    await until(lambda: waiting(door.doorward.listener.connections))
    caller, connection = sides(door)
    assert caller.full
    assert not connection._tcp.is_reading()
    check_that_one_read_waits(caller)


@pytest.fixture
def build(house: Build, opened: Open, certificates: Certificates) -> Build:
    """Builds a Doorward with TLS on the sides that are named; the upstream runs the script."""

    async def build(secured: str, script: Callable, upstream: str = "", limits: str = "body: 1GiB", granted: str = "") -> House:
        certificates.write("own", "127.0.0.1")
        context = certificates.upstream(certificates.issue("127.0.0.1")) if "upstream" in secured else None
        told = await opened(context, script)
        scheme = "http" if context is None else "https"
        changes = {"gateway_limits": f"{{{limits}}}", "upstream": upstream or "scrub: full"}
        if "client" in secured:
            changes["gateway_url"] = "https://gateway.test"
            changes["gateway_limits"] += "\n  tls: {certificate: own.pem, key: own.key}"
        if granted:
            changes["declare"] = f"required\n    limits: {granted}"
        if context is not None:
            changes["upstream"] += "\n    tls: {ca: ca.pem}"
        return await house(url=f"{scheme}://127.0.0.1:{told.port}", **changes)

    return build


async def unread(door: House, secured: str, certificates: Certificates) -> RawClient:
    """A client that does not read."""
    client = await door.connect(certificates.client() if "client" in secured else None)
    client.writer.transport.pause_reading()
    return client


@pytest.mark.parametrize("piece", [RECORD, 1 << 20])
@pytest.mark.parametrize("secured", ["none", "client", "upstream", "client and upstream"])
async def test_a_client_that_does_not_read_leaves_one_read_here(
    build: Build, certificates: Certificates, secured: str, piece: int
) -> None:
    """The first byte that the kernel does not take stops the reading from the upstream."""
    door = await build(secured, sending(piece))
    client = await unread(door, secured, certificates)
    await client.send(get("/api/items", await door.token()))
    await check_that_the_client_is_waited_for(door)
    client.writer.transport.resume_reading()
    assert len((await client.answer()).body) == BODY


@pytest.mark.parametrize("granted", ["", "{bytes: 1GiB}"], ids=["unmetered", "metered"])
@pytest.mark.parametrize("scrub", ["full", "none"])
@pytest.mark.parametrize("kind", ["events", "messages"])
async def test_a_stream_that_is_not_read_leaves_one_read_here(
    build: Build, certificates: Certificates, kind: str, scrub: str, granted: str
) -> None:
    """Whatever its framing is, and whoever searches or counts it on its way."""
    door = await build("none", streaming(kind), f"scrub: {scrub}", granted=granted)
    token = await door.token("items.read", "items.watch")
    client = await unread(door, "none", certificates)
    await client.send(asking(token) if kind == "messages" else get("/api/items", token))
    await check_that_the_client_is_waited_for(door)
    client.writer.transport.abort()


@pytest.mark.parametrize("piece", [RECORD, 1 << 20])
@pytest.mark.parametrize("secured", ["none", "client", "upstream", "client and upstream"])
async def test_an_upstream_that_does_not_read_leaves_one_read_here(
    build: Build, certificates: Certificates, secured: str, piece: int
) -> None:
    """The same the other way; over TLS one more waits to be encrypted, for its TCP says only then that it is full."""

    async def script(_upstream: ScriptedUpstream, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.transport.pause_reading()
        await goes_on.wait()
        writer.transport.resume_reading()
        await reader.readexactly(BODY)
        writer.write(b"HTTP/1.1 204 No Content\r\n\r\n")

    goes_on = asyncio.Event()
    door = await build(secured, script)
    client = await door.connect(certificates.client() if "client" in secured else None)
    await client.send(get("/api/items", await door.token(), "items.write", f"Content-Length: {BODY}", method="POST"))
    uploading = asyncio.ensure_future(write_in(piece, client.writer))
    await until(lambda: waiting(door.doorward.pool._open))
    caller, connection = sides(door)
    assert connection._congested
    assert not caller._transport.is_reading()
    check_that_one_read_waits(connection)
    if connection._tcp is not connection._transport:
        assert 0 < connection._tcp.get_write_buffer_size() <= READ + RECORD
    goes_on.set()
    await uploading
    assert (await client.answer()).status == 204


@pytest.mark.interpreted("only interpreted lines are told with what they allocate")
@pytest.mark.parametrize("upstream", ["scrub: full", "scrub: none"])
async def test_nothing_else_of_a_body_stays_here(build: Build, certificates: Certificates, upstream: str) -> None:
    """Neither its beginning, which came with the head, nor what has been handed to the kernel."""
    door = await build("none", sending(1 << 20), upstream)
    token = await door.token()
    client = await unread(door, "none", certificates)
    tracemalloc.start()
    try:
        await client.send(get("/api/items", token))
        await until(lambda: any(caller.full for caller in door.doorward.listener.connections))
        held = tracemalloc.take_snapshot().filter_traces([tracemalloc.Filter(inclusive=True, filename_pattern="*/gateway/*")])
    finally:
        tracemalloc.stop()
    assert [trace for trace in held.traces if trace.size >= LARGE] == []
    client.writer.transport.abort()
