"""Sockets of Doorward's own servers: stale files, addresses in use, bounds, stopping, and peers under uvloop."""

import asyncio
import os
import socket
from pathlib import Path

import pytest
import uvloop
from aiohttp import web
from fakes.certificates import Certificates

from gateway.authority.addresses import parse_address
from gateway.clock import Clock
from gateway.endpoints import sites
from gateway.endpoints.callers import peer_of
from gateway.endpoints.sites import start_site
from gateway.errors import DoorwardError
from gateway.fetch import Fetch
from gateway.http.tls_context import serving
from gateway.http.tls_watch import LiveContext
from gateway.http.unix_socket import OWNER_ONLY
from gateway.model import TlsFiles

CANARY = b"dwt_canary1234567890"


def application() -> web.Application:
    """Answers with the peer of the connection, after a moment if asked for."""

    async def show(request: web.Request) -> web.Response:
        await asyncio.sleep(float(request.query.get("wait", "0")))
        return web.json_response(peer_of(request))

    async def fail(request: web.Request) -> web.Response:
        raise RuntimeError(request.headers["Authorization"])

    made = web.Application()
    made.router.add_get("/", show)
    made.router.add_get("/fail", fail)
    return made


async def start(folder: Path, *addresses: str) -> sites.Site:
    """A site on addresses below a folder."""
    listen = [parse_address(one) for one in addresses]
    return await start_site(application(), listen, mode=OWNER_ONLY, resolve=folder.joinpath, clock=Clock())


@pytest.mark.parametrize("run", [asyncio.run, uvloop.run])
def test_the_kernel_names_the_peer(tmp_path: Path, run):
    """On a Unix socket the peer is this very process, on asyncio and on uvloop; over TCP there is none."""

    async def play() -> None:
        site = await start(tmp_path, "127.0.0.1:0", "unix:a.sock")
        async with Fetch() as fetch:
            unix = await fetch.request("GET", "http://doorward/", unix=str(tmp_path / "a.sock"))
            assert unix.json() == [os.getpid(), os.getuid(), os.getgid()]
            assert (await fetch.request("GET", f"http://127.0.0.1:{site.ports[0]}/")).json() is None
        await site.stop()
        assert not (tmp_path / "a.sock").exists()

    run(play())


@pytest.mark.parametrize("run", [asyncio.run, uvloop.run])
def test_over_tls_the_same_is_answered(tmp_path: Path, run):
    """A handshake that does not go on takes a place; the Unix socket beside it speaks no TLS; nothing is left at the end."""
    certificates = Certificates(tmp_path)
    certificates.write("own", "127.0.0.1")
    live = LiveContext("test", TlsFiles(str(tmp_path / "own.pem"), str(tmp_path / "own.key")), serving, Clock().now())

    async def play() -> None:
        listen = [parse_address(one) for one in ("127.0.0.1:0", "unix:a.sock")]
        site = await start_site(
            application(), listen, mode=OWNER_ONLY, resolve=tmp_path.joinpath, clock=Clock(), tls=live, grace=0.1
        )
        (port,) = site.ports
        _, idle = await asyncio.open_connection("127.0.0.1", port)
        reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=certificates.client())
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        assert (await asyncio.wait_for(reader.read(), 10)).startswith(b"HTTP/1.1 200 OK")
        async with Fetch() as fetch:
            assert (await fetch.request("GET", "http://doorward/", unix=str(tmp_path / "a.sock"))).status == 200
        assert site._doors[0].arriving == 1
        await site.stop()
        assert site._doors[0].arriving == 0
        for each in (idle, writer):
            each.close()

    run(play())


async def test_a_stale_socket_is_replaced(tmp_path: Path):
    """What a killed run has left does not stop the next one."""
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(tmp_path / "a.sock"))
    site = await start(tmp_path, "unix:a.sock")
    await site.stop()


async def test_a_live_socket_is_left_alone(tmp_path: Path):
    """A second program says that the first one listens there, and the first goes on."""
    site = await start(tmp_path, "unix:a.sock")
    with pytest.raises(DoorwardError, match="another program listens there"):
        await start(tmp_path, "127.0.0.1:0", "unix:a.sock")
    async with Fetch() as fetch:
        assert (await fetch.request("GET", "http://doorward/", unix=str(tmp_path / "a.sock"))).status == 200
    await site.stop()


async def test_a_file_that_is_no_socket_is_left_alone(tmp_path: Path):
    """A path that was mistyped never costs a file."""
    (tmp_path / "a.sock").write_text("precious")
    with pytest.raises(DoorwardError, match="the file there is no socket"):
        await start(tmp_path, "unix:a.sock")
    assert (tmp_path / "a.sock").read_text() == "precious"


@pytest.mark.parametrize("address", ["127.0.0.1:{port}", "unix:" + "x" * 200, "no-such-host.invalid:1"])
async def test_an_address_that_cannot_be_used(tmp_path: Path, address: str):
    """One sentence names the address."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        text = address.format(port=taken.getsockname()[1])
        with pytest.raises(DoorwardError, match="cannot listen on"):
            await start(tmp_path, text)


async def test_a_socket_of_a_successor_is_not_removed(tmp_path: Path):
    """Stopping removes only the file that this site has made."""
    site = await start(tmp_path, "unix:a.sock")
    (tmp_path / "a.sock").unlink()
    successor = await start(tmp_path, "unix:a.sock")
    await site.stop()
    assert (tmp_path / "a.sock").exists()
    await successor.stop()


async def test_stopping_lets_requests_finish(tmp_path: Path):
    """A request under way gets its answer; nothing new is accepted."""
    site = await start(tmp_path, "unix:a.sock")
    async with Fetch() as fetch:
        slow = asyncio.ensure_future(fetch.request("GET", "http://doorward/?wait=0.2", unix=str(tmp_path / "a.sock")))
        await asyncio.sleep(0.05)
        await site.stop()
        assert (await slow).status == 200


async def test_connections_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Beyond the bound a connection is closed at once, and the others go on."""
    monkeypatch.setattr(sites, "CONNECTIONS", 2)
    site = await start(tmp_path, "unix:a.sock")
    opened = [await asyncio.open_unix_connection(tmp_path / "a.sock") for _ in range(3)]
    await asyncio.sleep(0.05)
    assert [reader.at_eof() for reader, _ in opened].count(True) == 1
    reader, writer = next(pair for pair in opened if not pair[0].at_eof())
    writer.write(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    assert (await reader.readline()).startswith(b"HTTP/1.1 200")
    for _, one in opened:
        one.close()
    await site.stop()


async def test_a_slow_head_is_cut(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A head that does not come in time ends the connection."""
    monkeypatch.setattr(sites, "IDLE", 0.1)
    site = await start(tmp_path, "unix:a.sock")
    reader, writer = await asyncio.open_unix_connection(tmp_path / "a.sock")
    writer.write(b"GET / HTTP/1.1\r\nHost:")
    assert await asyncio.wait_for(reader.read(), 5) == b""
    writer.close()
    await site.stop()


@pytest.mark.parametrize(
    "head",
    [
        b"GET / HTTP/1.1\r\nAuthorization: " + CANARY * 900,
        b"GET / HTTP/1.1\r\n" + b"\r\n".join(b"X%d: %s" % (number, CANARY) for number in range(100)),
        b"GET /" + CANARY * 900 + b" HTTP/1.1\r\nHost: a",
        b"GET / HTTP/1.1\r\nHost: a\r\n" + CANARY,
        CANARY,
        b"GET /fail HTTP/1.1\r\nHost: a\r\nAuthorization: " + CANARY,
    ],
    ids=["long field", "many fields", "long line", "no field", "no HTTP", "a bug"],
)
async def test_what_cannot_be_read_is_not_repeated(tmp_path: Path, head: bytes, capfd: pytest.CaptureFixture[str], caplog):
    """Heads are bounded, and neither the answer nor any log holds what was in them."""
    caplog.set_level("DEBUG")
    site = await start(tmp_path, "unix:a.sock")
    reader, writer = await asyncio.open_unix_connection(tmp_path / "a.sock")
    writer.write(head + b"\r\n\r\n")
    answer = await reader.read()
    assert b" 500 " in answer if b"/fail" in head else b" 400 " in answer
    assert b'"error"' in answer
    writer.close()
    await site.stop()
    logged = "".join(capfd.readouterr()) + caplog.text
    assert CANARY not in answer
    assert CANARY.decode() not in logged
    assert ("request_failed" in logged) == (b"/fail" in head)
