"""How connections over TLS end: no answer is lost because its client said too much, and who leaves unread is noticed soon."""

import asyncio
import contextlib

from fakes.certificates import Certificates
from fakes.house import Build, House, ScriptedUpstream, get

from gateway.http.early import EARLY

LARGE = 16 << 20
"""More than all buffers of the way back hold."""


async def until(condition) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.01)


def pass_seconds(door: House, seconds: int) -> None:
    """Let the sweep believe that time has gone by; nothing else moves."""
    for _ in range(seconds):
        door.doorward.sweep.advance()


async def secured(house: Build, certificates: Certificates, *script, **changes: str) -> House:
    """A Doorward that serves TLS."""
    certificates.write("own", "127.0.0.1")
    tls = "{}\n  tls: {certificate: own.pem, key: own.key}"
    return await house(*script, gateway_url="https://gateway.test", gateway_limits=tls, **changes)


async def answer_much(upstream: ScriptedUpstream, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await upstream.request(reader)
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % LARGE + bytes(LARGE))
    await writer.drain()
    await reader.read()


async def test_what_is_sent_beyond_the_last_request_costs_no_answer(house: Build, certificates: Certificates) -> None:
    """TLS cannot end one direction alone: where more is known to come the end waits; the answer says it was the last."""
    door = await secured(house, certificates, answer_much)
    token = await door.token()
    client = await door.connect(certificates.client())
    await client.send(get("/api/items", token, "items.read", "Connection: close"))
    await until(lambda: door.upstream.seen)
    client.writer.write(get("/api/items", token) * 400)
    (connection,) = door.doorward.listener.connections
    await until(lambda: connection._ahead)
    answer = await client.answer()
    assert (answer.fields["connection"], len(answer.body), answer.whole) == ("close", LARGE, True)
    await asyncio.sleep(0.05)
    pass_seconds(door, 4)
    with contextlib.suppress(ConnectionError):  # what was said too late is not read any more
        assert await client.ended()
    assert len(door.upstream.seen) == 1


async def test_an_old_client_does_not_wait_for_the_end(house: Build, certificates: Certificates) -> None:
    """To HTTP/1.0 the end of the connection is that of the answer, so it comes at once where nothing more is known to come."""

    async def script(upstream: ScriptedUpstream, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await upstream.request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n")
        await reader.read()

    door = await secured(house, certificates, script)
    client = await door.connect(certificates.client())
    asked = get("/api/items", await door.token()).replace(b"HTTP/1.1", b"HTTP/1.0")
    await client.send(asked)
    answer = await asyncio.wait_for(client.reader.read(), 1)
    assert answer.endswith(b"\r\n\r\nhello")


async def test_a_client_that_leaves_while_it_is_held_back_is_noticed(house: Build, certificates: Certificates) -> None:
    """By the end of TCP; a goodbye within TLS alone is not seen before it is read."""

    async def stay_silent(_upstream: ScriptedUpstream, reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        await reader.read()

    silence = ScriptedUpstream(stay_silent)
    port = await silence.start()
    door = await secured(house, certificates, url=f"https://127.0.0.1:{port}")
    head = get("/api/items", await door.token(), "items.write", "Content-Length: 100000000", method="POST")
    client = await door.connect(certificates.client())
    await client.send(head + bytes(2 * EARLY))
    await until(lambda: door.doorward.sweep.unread)
    pass_seconds(door, 1)
    client.writer.transport.abort()
    await asyncio.sleep(0.05)
    pass_seconds(door, 1)
    await until(lambda: not door.doorward.listener.connections and not silence.open)
    await silence.stop()
    await door.stop()
    _, (response,) = door.exchanges()
    assert response["ending"] == "client_gone"


async def test_a_head_that_drips_is_refused(house: Build, certificates: Certificates) -> None:
    """A byte in each TLS record costs the sender little; the clock of a head runs from its first byte all the same."""
    door = await secured(house, certificates)
    client = await door.connect(certificates.client())
    for byte in get("/api/items", None)[:40]:
        await client.send(bytes([byte]))
        await asyncio.sleep(0)
    (connection,) = door.doorward.listener.connections
    await until(lambda: len(connection._ahead) == 40)
    for _ in range(6):
        await client.send(b"x")
        pass_seconds(door, 2)
        await asyncio.sleep(0.01)
    assert (await client.answer()).problem["detail"] == "The request head did not arrive in time."
