"""WebSockets between a client and a server that others wrote, through a whole Doorward, with and without TLS."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web
from fakes.certificates import Certificates
from fakes.house import SECRET, Build, House

ENDS = web.AppKey("ends", list)


async def talk(request: web.Request) -> web.WebSocketResponse:
    """Send back what is heard, and say which key came."""
    peer = web.WebSocketResponse(protocols=("v2", "v1"))
    await peer.prepare(request)
    await peer.send_json({"key": request.headers["X-Api-Key"], "protocol": peer.ws_protocol, "compress": bool(peer.compress)})
    async for message in peer:
        if message.type == aiohttp.WSMsgType.TEXT:
            await peer.send_str(message.data)
        else:
            await peer.send_bytes(message.data)
    request.app[ENDS].append(peer.close_code)
    return peer


@pytest.fixture
async def peers() -> AsyncIterator[AsyncExitStack]:
    """What the servers are stopped by."""
    async with AsyncExitStack() as stack:
        yield stack


async def served(peers: AsyncExitStack, ends: list, tls: ssl.SSLContext | None = None) -> int:
    """The port of a server that notes with which codes it was left."""
    app = web.Application()
    app[ENDS] = ends
    app.router.add_get("/items/{id}/events", talk)
    runner = web.AppRunner(app)
    await runner.setup()
    peers.push_async_callback(runner.cleanup)
    site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls)
    await site.start()
    return runner.addresses[0][1]


async def converse(door: House, scheme: str, tls: ssl.SSLContext | None) -> None:
    """Open one, say things of all sizes, and close it in good order."""
    headers = {"Authorization": f"Bearer {await door.token('items.watch')}", "Agent-Intent": "items.watch"}
    url = f"{scheme}://{door.doorward.addresses[0]}/api/items/1/events"
    async with (
        aiohttp.ClientSession() as session,
        session.ws_connect(url, headers=headers, protocols=("v1", "v3"), compress=15, ssl=tls or True) as own,
    ):
        told = await own.receive_json(timeout=10)
        assert told == {"key": "*" * len(SECRET), "protocol": "v1", "compress": False}
        assert own.protocol == "v1"
        for said in ("hello", "", "ü" * 100, "x" * 70_000):
            await own.send_str(said)
            assert await own.receive_str(timeout=10) == said
        await own.send_bytes(bytes(range(256)) * 4096)
        assert await own.receive_bytes(timeout=10) == bytes(range(256)) * 4096
        await own.ping(b"are you there")
        await own.close(code=4001, message=b"enough")


async def test_a_client_and_a_server_understand_each_other(house: Build, peers: AsyncExitStack) -> None:
    """Subprotocol, messages of every size, pings and the closing handshake; what the server tells of its key is masked."""
    ends: list[int] = []
    door = await house(url=f"http://127.0.0.1:{await served(peers, ends)}")
    await converse(door, "ws", None)
    async with asyncio.timeout(10):
        while door.doorward.pool.size:
            await asyncio.sleep(0.01)
    assert ends == [4001]
    await door.stop()
    (request,), (response,) = door.exchanges()
    assert (request["method"], request["grant"]) == ("WEBSOCKET", "the agent reads and writes")
    assert (response["status"], response["ending"], response["scrubbed"]) == (101, "complete", 1)
    assert min(response["received"], response["sent"]) > 256 * 4096


async def test_over_tls_on_both_sides_it_is_the_same(house: Build, peers: AsyncExitStack, tmp_path: Path) -> None:
    """The tunnel knows nothing of what carries it."""
    certificates = Certificates(tmp_path)
    ends: list[int] = []
    port = await served(peers, ends, certificates.upstream(certificates.issue("127.0.0.1")))
    certificates.write("server", "127.0.0.1")
    door = await house(
        url=f"https://127.0.0.1:{port}",
        upstream="tls: {ca: ca.pem}",
        gateway_url="https://gateway.test",
        gateway_limits="{}\n  tls: {certificate: server.pem, key: server.key}",
    )
    await converse(door, "wss", certificates.client())
    async with asyncio.timeout(10):
        while not ends:
            await asyncio.sleep(0.01)
    assert ends == [4001]
