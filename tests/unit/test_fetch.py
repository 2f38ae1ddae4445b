"""The outgoing client against real servers on TCP and Unix sockets."""

import asyncio
import gzip
import json
import socket
import ssl
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
import trustme
from aiohttp import web

from gateway.fetch import ANSWER_BYTES, Answer, Fetch, FetchError

Serve = Callable[[bytes], Awaitable[str]]


@pytest.fixture
async def fetch() -> AsyncIterator[Fetch]:
    """A client, closed after the test."""
    async with Fetch() as client:
        yield client


async def echo(request: web.Request) -> web.Response:
    """Answer with what came."""
    body = (await request.read()).decode()
    headers = {name.lower(): value for name, value in request.headers.items()}
    answer = web.json_response({"method": request.method, "path": request.path_qs, "headers": headers, "body": body})
    answer.set_cookie("session", "canary")
    return answer


def application() -> web.Application:
    """A server with one path for each behaviour."""

    async def redirect(_request: web.Request) -> web.Response:
        raise web.HTTPFound("/echo")

    async def large(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        for _ in range(int(request.query["kib"])):
            await response.write(b"x" * 1024)
        return response

    async def compressed(_request: web.Request) -> web.Response:
        return web.Response(body=gzip.compress(b"x" * 10_000), headers={"Content-Encoding": "gzip"})

    async def slow(_request: web.Request) -> web.Response:
        await asyncio.sleep(30)
        return web.Response()

    app = web.Application()
    app.router.add_route("*", "/echo", echo)
    app.router.add_get("/redirect", redirect)
    app.router.add_get("/large", large)
    app.router.add_get("/compressed", compressed)
    app.router.add_get("/slow", slow)
    return app


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[str]:
    """The server's address; it also listens on a Unix socket in the test's folder."""
    runner = web.AppRunner(application(), shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    await web.UnixSite(runner, str(tmp_path / "socket")).start()
    port = next(address[1] for address in runner.addresses if isinstance(address, tuple))
    yield f"http://127.0.0.1:{port}"
    await runner.cleanup()


@pytest.fixture
async def raw() -> AsyncIterator[Serve]:
    """Start a server that answers every connection with the same bytes and closes it."""
    servers: list[asyncio.Server] = []

    async def serve(answer: bytes) -> str:
        async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(answer)
            await writer.drain()
            writer.close()
            await writer.wait_closed()

        server = await asyncio.start_server(connected, "127.0.0.1", 0)
        servers.append(server)
        return f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"

    yield serve
    for server in servers:
        server.close()
        await server.wait_closed()


async def test_a_form_is_sent_and_the_answer_read(fetch: Fetch, server: str) -> None:
    """Repeated members stay, and the answer is what the other side sent."""
    answer = await fetch.request("POST", f"{server}/echo?q=1", form=[("a", "1&2"), ("a", "ü")], headers={"X-Name": "v"})
    seen = answer.json()
    assert (answer.status, seen["method"], seen["path"]) == (200, "POST", "/echo?q=1")
    assert seen["body"] == "a=1%262&a=%C3%BC"
    assert seen["headers"]["content-type"] == "application/x-www-form-urlencoded"
    assert seen["headers"]["x-name"] == "v"
    assert answer.headers["content-TYPE"].startswith("application/json")


async def test_json_is_sent_over_a_unix_socket(fetch: Fetch, server: str, tmp_path: Path) -> None:
    """The host of the URL is then only a name."""
    assert server
    answer = await fetch.request("PUT", "http://authority/echo", json={"a": None}, unix=str(tmp_path / "socket"))
    assert json.loads(answer.json()["body"]) == {"a": None}
    assert answer.json()["headers"]["host"] == "authority"


async def test_a_request_has_one_body(fetch: Fetch) -> None:
    """Both kinds at once are a mistake of the caller."""
    with pytest.raises(ValueError, match="one body"):
        await fetch.request("POST", "http://127.0.0.1/", form={}, json={})


async def test_redirects_are_not_followed(fetch: Fetch, server: str) -> None:
    """The caller sees the redirect itself."""
    answer = await fetch.request("GET", f"{server}/redirect")
    assert (answer.status, answer.headers["Location"]) == (302, "/echo")


async def test_cookies_are_not_kept(fetch: Fetch, server: str, tmp_path: Path) -> None:
    """One answer cannot colour the next request."""
    assert server
    for _ in range(2):
        answer = await fetch.request("GET", "http://authority/echo", unix=str(tmp_path / "socket"))
        assert "session=canary" in answer.headers["Set-Cookie"]
        assert "cookie" not in answer.json()["headers"]


async def test_proxies_of_the_environment_are_not_used(server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where keys come from is not for an environment variable to decide."""
    for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    monkeypatch.delenv("no_proxy", raising=False)
    async with Fetch() as fetch:
        assert (await fetch.request("GET", f"{server}/echo")).status == 200


async def test_an_answer_beyond_the_limit_is_cut_off(fetch: Fetch, server: str) -> None:
    """The bound counts while reading, whatever length was promised, and is not part of what is refused."""
    answer = await fetch.request("GET", f"{server}/large?kib=4", limit=4096)
    assert len(answer.body) == 4096
    with pytest.raises(FetchError, match=r"http://127.0.0.1:\d+ sent more than 4095 bytes"):
        await fetch.request("GET", f"{server}/large?kib=4", limit=4095)
    with pytest.raises(FetchError, match=f"sent more than {ANSWER_BYTES} bytes"):
        await fetch.request("GET", f"{server}/large?kib={ANSWER_BYTES // 1024 + 1}")


async def test_compression_is_neither_asked_for_nor_taken(fetch: Fetch, server: str) -> None:
    """A small answer cannot become a large one."""
    assert (await fetch.request("GET", f"{server}/echo")).json()["headers"]["accept-encoding"] == "identity"
    with pytest.raises(FetchError, match="compressed answer"):
        await fetch.request("GET", f"{server}/compressed")


async def test_the_whole_exchange_has_one_timeout(fetch: Fetch, server: str) -> None:
    """It covers connecting, sending and reading."""
    with pytest.raises(FetchError, match=r"did not answer within 0\.05 seconds"):
        await fetch.request("GET", f"{server}/slow", timeout=0.05)


async def test_a_refused_connection_is_one_sentence(fetch: Fetch, unused_tcp_port: int, tmp_path: Path) -> None:
    """On TCP and on a socket that is not there; nothing but the address is named."""
    with pytest.raises(FetchError, match=rf"^http://127.0.0.1:{unused_tcp_port} cannot be reached: connection refused$"):
        await fetch.request("GET", f"http://127.0.0.1:{unused_tcp_port}/path?secret=canary")
    with pytest.raises(FetchError, match=r"socket cannot be reached: no such file or directory$"):
        await fetch.request("GET", "http://authority/", unix=str(tmp_path / "socket"))
    with pytest.raises(FetchError, match=r"^unix:/x+ cannot be reached"):
        await fetch.request("GET", "http://authority/", unix="/" + "x" * 200)


async def test_a_name_that_does_not_resolve_is_one_sentence(fetch: Fetch) -> None:
    """RFC 6761: .invalid never resolves."""
    with pytest.raises(FetchError, match=r"^https://issuer.invalid cannot be reached"):
        await fetch.request("GET", "https://issuer.invalid/keys")


async def test_names_whose_servers_never_answer_hold_up_no_other(
    fetch: Fetch, server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An issuer that cannot be found does not keep a gateway from its authority."""
    hung, answer, lookup = set(), threading.Event(), socket.getaddrinfo

    def resolve(host: str, *more: Any, **how: Any) -> list[Any]:
        if not host.endswith(".example"):
            return lookup(host, *more, **how)
        hung.add(host)
        answer.wait()
        return []

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    asking = [asyncio.ensure_future(fetch.request("GET", f"http://issuer{number}.example")) for number in range(10)]
    try:
        async with asyncio.timeout(10):
            while len(hung) < len(asking):
                await asyncio.sleep(0.01)
            told = await fetch.request("GET", server.replace("127.0.0.1", "localhost") + "/echo")
    finally:
        answer.set()
    assert told.status == 200
    for each in asking:
        with pytest.raises(FetchError, match="its name does not resolve"):
            await each


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (b"", "closed the connection before the answer was complete"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nshort", "closed the connection before the answer was complete"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n", "before the answer was complete"),
        (b"SSH-2.0-OpenSSH\r\n\r\n", "did not answer in valid HTTP"),
        (b"HTTP/1.1 200 OK\r\nX: " + b"x" * 100_000 + b"\r\n\r\n", "did not answer in valid HTTP"),
    ],
)
async def test_an_incomplete_or_senseless_answer_is_none(fetch: Fetch, raw: Serve, answer: bytes, expected: str) -> None:
    """A cut answer never looks like a whole one."""
    with pytest.raises(FetchError, match=expected):
        await fetch.request("GET", await raw(answer))


async def test_a_certificate_that_nobody_vouches_for_is_refused(fetch: Fetch) -> None:
    """There is no option that switches the check off."""
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    server = await asyncio.start_server(lambda _reader, writer: writer.close(), "127.0.0.1", 0, ssl=context)
    port = server.sockets[0].getsockname()[1]
    with pytest.raises(FetchError, match=rf"https://localhost:{port} has a TLS certificate that is not trusted"):
        await fetch.request("GET", f"https://localhost:{port}/")
    server.close()


async def test_a_port_that_speaks_no_tls_is_one_sentence(fetch: Fetch) -> None:
    """The address says https, so nothing is sent in clear."""

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    with pytest.raises(FetchError, match=rf"https://127.0.0.1:{port} cannot be reached: the TLS handshake failed"):
        await fetch.request("GET", f"https://127.0.0.1:{port}/")
    server.close()
    await server.wait_closed()


async def test_closing_ends_what_is_open_and_nothing_is_sent_afterwards(server: str) -> None:
    """A request in flight fails in words, and a late one opens no connection that nobody would close."""
    fetch = Fetch()
    pending = asyncio.create_task(fetch.request("GET", f"{server}/slow"))
    await asyncio.sleep(0.05)
    await fetch.close()
    with pytest.raises(FetchError):
        await pending
    with pytest.raises(FetchError, match="sends no more requests"):
        await fetch.request("GET", f"{server}/echo")


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("ftp://a/", "not an http:// or https:// URL"),
        ("file:///etc/passwd", "not an http:// or https:// URL"),
        ("issuer", "not an http:// or https:// URL"),
        ("http://", "not an http:// or https:// URL"),
        ("http://[", "not a URL"),
        ("http://a:x/", "not a URL"),
        ("http://user:canary@a/", "holds a user name or password"),
    ],
)
async def test_what_is_no_plain_address_is_refused(fetch: Fetch, url: str, expected: str) -> None:
    """And a password in an address is not repeated."""
    with pytest.raises(FetchError, match=expected) as caught:
        await fetch.request("GET", url)
    assert "canary" not in str(caught.value)


@pytest.mark.parametrize("headers", [{"X": "a\r\nY: b"}, {"X\n": "a"}])
async def test_a_header_cannot_carry_another(fetch: Fetch, server: str, headers: Any) -> None:
    """A line break in a value is an error, not a second header."""
    with pytest.raises(FetchError):
        await fetch.request("GET", f"{server}/echo", headers=headers)


def test_an_answer_that_is_not_json_says_so() -> None:
    """Its text, which could be anything, is not repeated, in the error or in the repr."""
    for body in (b"canary", b"\xff", b"[" * 100_000):
        with pytest.raises(FetchError, match="the answer with status 500 is not JSON"):
            Answer(500, {}, body).json()
    assert "canary" not in repr(Answer(200, {"a": "canary"}, b"canary"))
