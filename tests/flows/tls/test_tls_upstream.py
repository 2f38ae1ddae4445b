"""Upstreams over TLS: what is verified and shown, how failures are answered, and how a cut is told from an end."""

import asyncio
import contextlib
import os
import socket
import ssl
import warnings
from collections.abc import Callable
from datetime import timedelta

import pytest
from fakes.certificates import Certificates
from fakes.house import SECRET, Answer, Build, House, Open, ScriptedUpstream, answer_ok, get


async def asked(door: House) -> Answer:
    """The answer to one good request on a connection of its own."""
    client = await door.connect()
    await client.send(get("/api/items", await door.token()))
    return await client.answer()


@pytest.mark.parametrize(("host", "shown"), [("localhost", "localhost"), ("127.0.0.1", None)])
async def test_a_name_is_shown_and_verified_and_http_1_1_is_offered(
    house: Build, opened: Open, certificates: Certificates, host: str, shown: str | None
) -> None:
    """SNI carries a name and never an address (RFC 6066 §3); both are verified."""
    names: list[str | None] = []
    context = certificates.upstream(certificates.issue(host))
    context.set_alpn_protocols(["h2", "http/1.1"])
    context.sni_callback = lambda _tls, name, _context: names.append(name)
    chosen: list[str | None] = []

    async def script(upstream: ScriptedUpstream, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        chosen.append(writer.get_extra_info("ssl_object").selected_alpn_protocol())
        await answer_ok(upstream, reader, writer)

    upstream = await opened(context, script)
    door = await house(url=f"https://{host}:{upstream.port}", upstream="tls: {ca: ca.pem}")
    assert (await asked(door)).body == b"hello"
    assert (names, chosen) == ([shown], ["http/1.1"])


FAILURES = {
    "unknown authority": ("127.0.0.1", timedelta(days=9), "other.pem", "its certificate does not verify"),
    "wrong name": ("other.test", timedelta(days=9), "ca.pem", "its certificate does not verify"),
    "ended": ("127.0.0.1", -timedelta(hours=1), "ca.pem", "its certificate does not verify"),
}


@pytest.mark.parametrize(("name", "ends_in", "ca", "told"), FAILURES.values(), ids=FAILURES)
async def test_an_upstream_that_is_not_the_right_one_gets_no_secret(
    house: Build, opened: Open, certificates: Certificates, name: str, ends_in: timedelta, ca: str, told: str
) -> None:
    """The request is refused before a byte of it goes out; the answer names the kind of trouble and nothing within."""
    Certificates(certificates.folder, "other")
    upstream = await opened(certificates.upstream(certificates.issue(name, ends_in=ends_in)))
    door = await house(url=f"https://127.0.0.1:{upstream.port}", upstream=f"tls: {{ca: {ca}}}")
    problem = (await asked(door)).problem
    assert (problem["code"], problem["detail"]) == ("upstream_failed", f"The upstream api cannot be reached: {told}.")
    assert upstream.seen == []
    assert door.doorward.pool.size == 0
    await door.stop()
    _, (response,) = door.exchanges()
    assert (response["code"], response["ending"], response["status"]) == ("upstream_failed", "refused", 502)
    assert response["error"] == "tls_certificate_error"
    assert SECRET not in str(door.records())


async def test_an_upstream_without_tls_hears_no_request(house: Build, opened: Open) -> None:
    """With https nothing is ever sent in the clear instead."""
    upstream = await opened(None)
    door = await house(url=f"https://127.0.0.1:{upstream.port}", upstream="timeouts: {connect: 500ms}")
    assert (await asked(door)).problem["code"] in ("upstream_failed", "upstream_timeout")
    assert upstream.seen == []


async def test_an_upstream_of_old_tls_is_refused(house: Build, opened: Open, certificates: Certificates) -> None:
    """TLS 1.1 has ended (RFC 8996)."""
    context = certificates.upstream(certificates.issue("127.0.0.1"))
    context.set_ciphers("ALL:@SECLEVEL=0")
    with warnings.catch_warnings(action="ignore", category=DeprecationWarning):
        context.minimum_version = ssl.TLSVersion.TLSv1
        context.maximum_version = ssl.TLSVersion.TLSv1_1
    upstream = await opened(context)
    door = await house(url=f"https://127.0.0.1:{upstream.port}", upstream="tls: {ca: ca.pem}")
    assert (await asked(door)).problem["code"] == "upstream_failed"
    assert upstream.seen == []


async def test_the_gateway_shows_its_certificate(house: Build, opened: Open, certificates: Certificates) -> None:
    """An upstream that asks for one gets the one of the configuration."""
    subjects: list[object] = []

    async def script(upstream: ScriptedUpstream, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        subjects.append(writer.get_extra_info("peercert")["subjectAltName"])
        await answer_ok(upstream, reader, writer)

    certificates.write("mine", "gateway.test")
    upstream = await opened(certificates.upstream(certificates.issue("127.0.0.1"), asks=True), script)
    files = "tls: {ca: ca.pem, client_certificate: mine.pem, client_key: mine.key}"
    door = await house(url=f"https://127.0.0.1:{upstream.port}", upstream=files)
    assert (await asked(door)).status == 200
    assert subjects == [(("DNS", "gateway.test"),)]


def demand(listening: socket.socket, context: ssl.SSLContext) -> None:
    """An upstream on plain sockets, which sends its alert before it goes; the event loops send none."""
    accepted, _ = listening.accept()
    with accepted.dup() as tcp, context.wrap_socket(accepted, server_side=True, do_handshake_on_connect=False) as tls:
        with contextlib.suppress(ssl.SSLError):
            tls.do_handshake()
        tcp.shutdown(socket.SHUT_WR)
        with contextlib.suppress(ConnectionError):
            while tcp.recv(4096):
                pass


@pytest.mark.parametrize(
    ("version", "told"),
    [
        (ssl.TLSVersion.TLSv1_2, {"The upstream api cannot be reached: the TLS handshake failed.": "tls_protocol_error"}),
        (
            ssl.TLSVersion.TLSv1_3,  # here it is told after the handshake: after the request went out, or before
            {
                "The upstream ended the TLS connection with an alert.": "tls_alert_received",
                "The upstream closed the connection without an answer.": "connection_terminated",
            },
        ),
    ],
)
async def test_without_the_certificate_that_is_asked_for_there_is_no_answer(
    house: Build, certificates: Certificates, version: ssl.TLSVersion, told: dict[str, str | None]
) -> None:
    """The request is over, not repeated, and recorded with the type of what went wrong."""
    context = certificates.upstream(certificates.issue("127.0.0.1"), asks=True)
    context.maximum_version = version
    with socket.create_server(("127.0.0.1", 0)) as listening:
        served = asyncio.get_running_loop().run_in_executor(None, demand, listening, context)
        door = await house(url=f"https://127.0.0.1:{listening.getsockname()[1]}", upstream="tls: {ca: ca.pem}")
        problem = (await asked(door)).problem
        await served
    assert problem["code"] == "upstream_failed"
    await door.stop()
    _, (response,) = door.exchanges()
    assert (response["ending"], response["attempts"], response["error"]) == ("refused", 1, told[problem["detail"]])


class Hasty(asyncio.Protocol):
    """Answers as soon as there is TLS, in the very packet that completes the handshake."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        transport.write(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nfirst")


async def test_an_upstream_that_speaks_first_is_cut(house: Build, certificates: Certificates) -> None:
    """What comes before a request could be taken for the answer to one."""
    context = certificates.upstream(certificates.issue("127.0.0.1"))
    context.maximum_version = ssl.TLSVersion.TLSv1_2  # here the upstream completes the handshake
    server = await asyncio.get_running_loop().create_server(Hasty, "127.0.0.1", 0, ssl=context)
    port = server.sockets[0].getsockname()[1]
    door = await house(url=f"https://127.0.0.1:{port}", upstream="tls: {ca: ca.pem}")
    assert (await asked(door)).problem["code"] == "upstream_failed"
    assert door.doorward.pool.size == 0
    await door.stop()
    server.close()


@pytest.mark.parametrize("politely", [True, False])
@pytest.mark.parametrize("slowly", [False, True], ids=["fast client", "slow client"])
async def test_only_a_close_notify_ends_a_response_without_length(
    house: Build, opened: Open, certificates: Certificates, politely: bool, slowly: bool
) -> None:
    """Whoever cuts the TCP connection cannot make half a response look whole (RFC 9112 §9.8)."""
    body = b"x" * (4 << 20 if slowly else 100)

    async def script(upstream: ScriptedUpstream, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await upstream.request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n" + body)
        await writer.drain()
        if not politely:
            # Everything has gone out, and now the connection ends without the word that it was meant to.
            with socket.socket(fileno=os.dup(writer.get_extra_info("socket").fileno())) as tcp:
                tcp.shutdown(socket.SHUT_WR)
            await reader.read()

    upstream = await opened(certificates.upstream(certificates.issue("127.0.0.1")), script)
    door = await house(url=f"https://127.0.0.1:{upstream.port}", upstream="tls: {ca: ca.pem}")
    client = await door.connect()
    if slowly:
        client.writer.transport.pause_reading()
    await client.send(get("/api/items", await door.token()))
    if slowly:
        await asyncio.sleep(0.5)
        client.writer.transport.resume_reading()
    answer = await client.answer()
    assert answer.whole is politely
    if politely:
        assert answer.body == body
    await door.stop()
    _, (response,) = door.exchanges()
    assert (response["ending"], response["code"]) == (("complete", None) if politely else ("cut", "upstream_failed"))


async def test_a_slow_client_gets_all_of_a_response_whose_upstream_has_left(
    house: Build, opened: Open, certificates: Certificates
) -> None:
    """An upstream that closes after its last byte takes nothing away of what the client has yet to read."""
    body = bytes(range(256)) * (8 << 10)

    async def script(upstream: ScriptedUpstream, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await upstream.request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
        await writer.drain()

    upstream = await opened(certificates.upstream(certificates.issue("127.0.0.1")), script)
    door = await house(url=f"https://127.0.0.1:{upstream.port}", upstream="tls: {ca: ca.pem}")
    client = await door.connect()
    client.writer.transport.pause_reading()
    await client.send(get("/api/items", await door.token()))
    await asyncio.sleep(0.5)
    client.writer.transport.resume_reading()
    answer = await client.answer()
    assert (answer.whole, answer.body == body) == (True, True)


def answer_in_one(listening: socket.socket, context: ssl.SSLContext, answer: bytes, politely: bool) -> None:
    """An upstream on a plain socket, whose answer and end leave in one piece; `politely` it says that it is the end."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = context.wrap_bio(incoming, outgoing, server_side=True)
    listening.settimeout(10)
    accepted, _ = listening.accept()
    accepted.settimeout(10)

    def until_done(step: Callable[[], object]) -> object:
        while True:
            try:
                return step()
            except ssl.SSLWantReadError:
                accepted.sendall(outgoing.read())
                came = accepted.recv(65536)
                assert came
                incoming.write(came)

    with accepted:
        until_done(tls.do_handshake)
        until_done(lambda: tls.read(65536))
        tls.write(answer)
        if politely:
            with contextlib.suppress(ssl.SSLWantReadError):
                tls.unwrap()
        accepted.sendall(outgoing.read())
        accepted.shutdown(socket.SHUT_WR)
        with contextlib.suppress(ConnectionError):
            while accepted.recv(65536):
                pass


@pytest.mark.parametrize(
    ("framing", "politely", "whole"),
    [("Content-Length: 5", True, True), ("Content-Length: 5", False, True), ("X: y", True, True), ("X: y", False, False)],
    ids=["length", "length, cut after it", "close", "cut"],
)
@pytest.mark.parametrize("scrub", ["full", "none"])
async def test_an_end_takes_nothing_from_a_body_that_waits_for_its_meter(
    house: Build, certificates: Certificates, framing: str, scrub: str, politely: bool, whole: bool
) -> None:
    """The upstream has left before its first bytes were counted; what came whole passes when they are, and ends well."""
    context = certificates.upstream(certificates.issue("127.0.0.1"))
    answer = f"HTTP/1.1 200 OK\r\n{framing}\r\nConnection: close\r\n\r\nhello".encode()
    with socket.create_server(("127.0.0.1", 0)) as listening:
        served = asyncio.get_running_loop().run_in_executor(None, answer_in_one, listening, context, answer, politely)
        door = await house(
            url=f"https://127.0.0.1:{listening.getsockname()[1]}",
            upstream=f"tls: {{ca: ca.pem}}\n    scrub: {scrub}",
            declare="required\n    limits: {bytes: 64MiB}",
        )
        got = await asked(door)
        await served
    assert (got.status, got.whole) == (200, whole)
    assert got.body == b"hello" or not whole
    await door.stop()
    _, (response,) = door.exchanges()
    assert (response["ending"], response["code"]) == (("complete", None) if whole else ("cut", "upstream_failed"))
