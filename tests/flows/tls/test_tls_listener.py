"""Callers over TLS: who is let in and who is not, and that a handshake is a connection with a place and a time."""

import asyncio
import contextlib
import errno
import socket
import ssl
import warnings
from collections.abc import Awaitable, Callable
from datetime import timedelta

import pytest
import structlog
from fakes.certificates import Certificates
from fakes.house import Build, House, RawClient, ScriptedUpstream, get
from fakes.scraped import scrape

Secure = Callable[..., Awaitable[House]]


@pytest.fixture
def secure(house: Build, certificates: Certificates) -> Secure:
    """Builds a Doorward that serves TLS with a certificate for 127.0.0.1."""
    certificates.write("own", "127.0.0.1")

    async def build(*more: str, limits: str = "{}", **changes: str) -> House:
        tls = ", ".join(("certificate: own.pem", "key: own.key", *more))
        return await house(gateway_url="https://gateway.test", gateway_limits=f"{limits}\n  tls: {{{tls}}}", **changes)

    return build


async def refused(door: House, context: ssl.SSLContext) -> bool:
    """Whether a client gets no answer. In TLS 1.3 it learns only afterwards that its certificate was not taken."""
    try:
        client = await door.connect(context)
        await client.send(get("/api/items", None))
        return not await asyncio.wait_for(client.reader.read(1), 10)
    except (ssl.SSLError, ConnectionError):
        return True


def unshaken(door: House) -> int:
    """How many handshakes have begun and are not complete."""
    assert door.doorward.listener._tls is not None
    return door.doorward.listener._tls.arriving


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.01)


async def test_a_request_goes_through(secure: Secure, certificates: Certificates) -> None:
    """With TLS 1.3 and HTTP/1.1; a body goes both ways, and the connection is kept."""
    door = await secure()
    token = await door.token()
    client = await door.connect(certificates.client())
    tls = client.writer.get_extra_info("ssl_object")
    assert (tls.version(), tls.selected_alpn_protocol(), tls.compression()) == ("TLSv1.3", "http/1.1", None)
    body = b"x" * 300_000
    await client.send(get("/api/items", token, "items.write", f"Content-Length: {len(body)}", method="POST") + body)
    assert (await client.answer()).body == body
    await client.send(get("/api/items", token))
    assert (await client.answer()).body == b"hello"
    (connection,) = door.doorward.listener.connections
    assert (connection.source, connection.peer_certificate) == ("127.0.0.1", None)
    await door.stop()
    requests, responses = door.exchanges()
    assert [record["source"] for record in requests] == ["127.0.0.1"] * 2
    assert [record["ending"] for record in responses] == ["complete"] * 2


async def test_tls_1_2_is_spoken_with_modern_suites_alone(secure: Secure, certificates: Certificates) -> None:
    """With forward secrecy and authenticated encryption; a client that has only the older ones is refused."""
    door = await secure()
    context = certificates.client()
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    client = await door.connect(context)
    assert client.writer.get_extra_info("cipher")[0].startswith("ECDHE-ECDSA-AES256-GCM")
    context.set_ciphers("ECDHE-ECDSA-AES128-SHA256:ECDHE-ECDSA-AES128-SHA")
    with pytest.raises(ssl.SSLError, match="HANDSHAKE_FAILURE"):
        await door.connect(context)


async def test_tls_1_1_is_refused(secure: Secure, certificates: Certificates) -> None:
    """RFC 8996 ended it, and an alert says so."""
    door = await secure()
    context = certificates.client()
    context.set_ciphers("ALL:@SECLEVEL=0")
    with warnings.catch_warnings(action="ignore", category=DeprecationWarning):
        context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_1
    with pytest.raises(ssl.SSLError, match="ALERT_PROTOCOL_VERSION"):
        await door.connect(context)


async def test_a_client_of_http_2_alone_is_told_in_http_1(secure: Secure, certificates: Certificates) -> None:
    """No protocol is agreed on by ALPN; if it goes on all the same, it gets one answer in HTTP/1.1 and the end."""
    door = await secure()
    context = certificates.client()
    context.set_alpn_protocols(["h2"])
    client = await door.connect(context)
    assert client.writer.get_extra_info("ssl_object").selected_alpn_protocol() is None
    await client.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(9))
    answer = await client.answer()
    assert (answer.status, answer.problem["code"], answer.fields["connection"]) == (400, "request_malformed", "close")
    assert door.upstream.seen == []
    await client.close()
    await door.stop()
    requests, responses = door.exchanges()
    assert ([record["code"] for record in requests], responses) == (["request_malformed"], [])


@pytest.mark.parametrize("spoken", [get("/api/items", "dwt_canary"), b"\x16\x03\x01\xff\xff" + bytes(100), b"\0" * 600])
async def test_what_is_no_tls_is_cut_without_a_record(secure: Secure, spoken: bytes) -> None:
    """Plain HTTP on a port of TLS gets no answer in the clear; nothing of it reaches a log."""
    door = await secure()
    client = await door.connect()
    await client.send(spoken)
    client.writer.write_eof()
    with contextlib.suppress(ConnectionError):
        assert b"HTTP" not in await asyncio.wait_for(client.reader.read(), 10)
    await until(lambda: unshaken(door) == 0)
    await door.stop()
    assert [record for record in door.records() if record["type"] == "request"] == []


async def test_who_shows_no_good_certificate_stays_outside(secure: Secure, certificates: Certificates) -> None:
    """With `client_ca`: none, one of another authority, or one that has ended is refused, and a good one is handed on."""
    door = await secure("client_ca: ca.pem")
    other = Certificates(door.folder, "other")
    assert await refused(door, certificates.client())
    assert await refused(door, certificates.client(other.issue("agent.test")))
    assert await refused(door, certificates.client(certificates.issue("agent.test", ends_in=-timedelta(hours=1))))
    leaf = certificates.issue("agent.test")
    client = await door.connect(certificates.client(leaf))
    await client.send(get("/api/items", await door.token()))
    assert (await client.answer()).status == 200
    (connection,) = door.doorward.listener.connections
    assert connection.peer_certificate == ssl.PEM_cert_to_DER_cert(leaf.cert_chain_pems[0].bytes().decode())
    assert len(door.upstream.seen) == 1


async def test_a_certificate_that_is_optional_may_be_left_out(secure: Secure, certificates: Certificates) -> None:
    """With `client_certificate: optional`; one of another authority is refused all the same."""
    door = await secure("client_ca: ca.pem", "client_certificate: optional")
    leaf, other = certificates.issue("agent.test"), Certificates(door.folder, "other")
    assert await refused(door, certificates.client(other.issue("agent.test")))
    for context in (certificates.client(), certificates.client(leaf)):
        client = await door.connect(context)
        await client.send(get("/api/items", await door.token()))
        assert (await client.answer()).status == 200
    shown = {connection.peer_certificate for connection in door.doorward.listener.connections}
    assert shown == {None, ssl.PEM_cert_to_DER_cert(leaf.cert_chain_pems[0].bytes().decode())}


async def test_no_ticket_stands_for_a_certificate(secure: Secure, certificates: Certificates) -> None:
    """No session ticket is given out, so a client shows its certificate on every connection."""
    door = await secure("client_ca: ca.pem")
    context = certificates.client(certificates.issue("agent.test"))
    client = await door.connect(context)
    await client.send(get("/api/items", None))
    assert (await client.answer()).status == 401
    session = client.writer.get_extra_info("ssl_object").session
    assert session is None or not session.has_ticket


async def test_no_session_stands_for_a_certificate(secure: Secure, certificates: Certificates) -> None:
    """TLS 1.2 would take up an old session without looking at the certificate again, so it is not spoken where one counts."""
    door = await secure("client_ca: ca.pem")
    context = certificates.client(certificates.issue("agent.test"))
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    with pytest.raises(ssl.SSLError, match="ALERT_PROTOCOL_VERSION"):
        await door.connect(context)


async def test_a_refused_client_is_told_why(secure: Secure, certificates: Certificates) -> None:
    """By the alert of RFC 8446, section 6.2, and it leaves no handshake behind; a stranger learns which part it lacks."""
    door = await secure("client_ca: ca.pem")
    other = Certificates(door.folder, "other")
    for leaf, alert in ((None, "CERTIFICATE_REQUIRED"), (other.issue("agent.test"), "UNKNOWN_CA")):
        client = await door.connect(certificates.client(leaf))
        with pytest.raises(ssl.SSLError, match=alert):
            await asyncio.wait_for(client.reader.read(1), 10)
        await until(lambda: unshaken(door) == 0)
    assert not door.doorward.listener.connections


def _shaken(tls: ssl.SSLObject) -> bool:
    """Whether the client's side of the handshake is complete; in TLS 1.3 it is before the server has seen the certificate."""
    try:
        tls.do_handshake()
    except ssl.SSLWantReadError:
        return False
    return True


async def test_a_refused_client_that_stays_is_cut(
    secure: Secure, certificates: Certificates, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has the time of a handshake to leave; until then it has a place, as every handshake has.

    The log tells of it once.
    """
    monkeypatch.setattr("gateway.http.tls_door.TELL_EVERY", 0.0)
    door = await secure("client_ca: ca.pem", limits="{head_timeout: 500ms}")
    client = await door.connect()
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = certificates.client().wrap_bio(incoming, outgoing, server_hostname="127.0.0.1")
    assert not _shaken(tls)
    await client.send(outgoing.read())
    while not _shaken(tls):
        incoming.write(await asyncio.wait_for(client.reader.read(65536), 10))
    with structlog.testing.capture_logs() as logged:
        await client.send(outgoing.read())
        incoming.write(await asyncio.wait_for(client.reader.read(65536), 10))
        with pytest.raises(ssl.SSLError, match="CERTIFICATE_REQUIRED"):
            tls.read(1)
        assert unshaken(door) == 1
        assert await client.ended()
        await until(lambda: unshaken(door) == 0)
    assert [entry["last"] for entry in logged] == ["PEER_DID_NOT_RETURN_A_CERTIFICATE"]


async def test_a_handshake_that_dawdles_is_cut(secure: Secure) -> None:
    """Its time is `head_timeout`, whatever comes of it meanwhile, and it leaves neither record nor place behind."""
    door = await secure(limits="{head_timeout: 300ms}")
    client = await door.connect()
    await client.send(b"\x16\x03\x01")
    await until(lambda: unshaken(door) == 1)
    with contextlib.suppress(ConnectionError):
        assert await client.ended()
    await until(lambda: unshaken(door) == 0)
    assert not door.doorward.listener.connections


async def test_a_handshake_takes_the_place_of_a_connection(secure: Secure, certificates: Certificates) -> None:
    """With all places taken by clients that do not go on, a further one is closed at once and counted.

    Later there is room again.
    """
    door = await secure(limits="{connections: 2}", admin=", listen: '127.0.0.1:0'")
    first, second = await door.connect(), await door.connect()
    await until(lambda: unshaken(door) == 2)
    third = await door.connect()
    with contextlib.suppress(ConnectionError):
        assert await third.ended()
    assert unshaken(door) == 2
    told = await scrape(f"http://127.0.0.1:{door.doorward.health_ports[0]}/metrics")
    assert (told["doorward_connections_open",], told["doorward_connections_turned_away_total",]) == (2, 1)
    first.writer.transport.abort()
    await until(lambda: unshaken(door) == 1)
    fourth = await door.connect(certificates.client())
    await fourth.send(get("/api/items", await door.token()))
    assert (await fourth.answer()).status == 200
    second.writer.transport.abort()


async def test_the_end_waits_for_no_handshake(secure: Secure) -> None:
    """Draining drops what never began to ask."""
    door = await secure()
    client = await door.connect()
    await until(lambda: unshaken(door) == 1)
    async with asyncio.timeout(5):
        await door.stop()
    with contextlib.suppress(ConnectionError):
        assert await client.ended()


async def test_a_refused_upload_is_answered_before_the_end(secure: Secure, certificates: Certificates) -> None:
    """TLS cannot close one direction alone, so the gateway goes on reading until the client has seen the answer."""
    door = await secure(limits="{body: 1KiB}")
    client = await door.connect(certificates.client())
    head = get("/api/items", await door.token(), "items.write", "Content-Length: 500000", method="POST")
    await client.send(head + b"x" * 250_000)
    await client.send(b"x" * 250_000)
    assert (await client.answer()).problem["code"] == "body_too_large"
    await client.close()


async def test_a_client_that_does_not_read_holds_the_upstream_back(secure: Secure, certificates: Certificates) -> None:
    """What waits to be encrypted is bounded as it is without TLS."""

    async def script(upstream: ScriptedUpstream, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await upstream.request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (64 << 20))
        for _ in range(64):
            writer.write(bytes(1 << 20))
            await writer.drain()
            written.append(1)

    written: list[int] = []
    door = await secure(script=script)
    client = await door.connect(certificates.client())
    client.writer.transport.pause_reading()
    await client.send(get("/api/items", await door.token()))
    seen = -1
    while seen < len(written) or not written:
        seen = len(written)
        await asyncio.sleep(0.3)
    assert len(written) < 32
    (connection,) = door.doorward.listener.connections
    assert connection.full
    client.writer.transport.abort()


async def test_who_does_not_say_goodbye_is_left(
    secure: Secure, certificates: Certificates, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A client that never answers our close_notify keeps its place only for a moment."""
    monkeypatch.setattr("gateway.http.tls_door.GOODBYE", 0.2)
    door = await secure()
    client = await door.connect(certificates.client())
    client.writer.transport.pause_reading()
    await client.send(get("/api/items", await door.token(), "items.read", "Connection: close"))
    await until(lambda: len(door.upstream.seen) == 1)
    try:
        await until(lambda: not door.doorward.listener.connections)
    finally:
        client.writer.transport.abort()


async def test_why_handshakes_fail_is_logged_now_and_then(
    secure: Secure, certificates: Certificates, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The operator learns the reason and the number; whoever connects decides neither how much is logged nor what."""
    door = await secure("client_ca: ca.pem")
    with structlog.testing.capture_logs() as logged:
        for _ in range(3):
            assert await refused(door, certificates.client())
        monkeypatch.setattr("gateway.http.tls_door.TELL_EVERY", 0.0)
        assert await refused(door, certificates.client())
        await until(lambda: len(logged) == 2)
    assert [(entry["event"], entry["count"]) for entry in logged] == [
        ("tls_handshakes_failed", 1),
        ("tls_handshakes_failed", 3),
    ]
    assert {entry["last"] for entry in logged} == {"PEER_DID_NOT_RETURN_A_CERTIFICATE"}


async def test_handshakes_that_take_too_long_are_logged(secure: Secure) -> None:
    """Whoever takes all places with them can be seen."""
    door = await secure(limits="{head_timeout: 300ms}")
    with structlog.testing.capture_logs() as logged:
        client = await door.connect()
        await client.send(b"\x16\x03\x01")
        await until(lambda: bool(logged))
    (entry,) = logged
    assert (entry["event"], entry["count"], entry["last"]) == ("tls_handshakes_failed", 1, "TIMED_OUT")
    client.writer.transport.abort()


async def test_a_unix_socket_beside_tls_speaks_none(secure: Secure) -> None:
    """It never leaves the host; who may open it is a matter of its folder."""
    door = await secure(listen='127.0.0.1:0", "unix:gateway.sock')
    client = RawClient(*await asyncio.open_unix_connection(str(door.folder / "gateway.sock")))
    await client.send(get("/api/items", await door.token()))
    assert (await client.answer()).status == 200
    await client.close()


async def test_accepting_goes_on_after_descriptors_ran_out(
    secure: Secure, certificates: Certificates, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A failed accept waits a moment, and is not the end of the listener."""
    monkeypatch.setattr("gateway.http.door.PAUSE", 0.01)
    door = await secure()
    accept = socket.socket.accept
    failures = [OSError(errno.EMFILE, "too many"), ConnectionAbortedError()]

    def failing(listening: socket.socket) -> tuple[socket.socket, object]:
        if failures:
            raise failures.pop()
        return accept(listening)

    monkeypatch.setattr(socket.socket, "accept", failing)
    client = await door.connect(certificates.client())
    await client.send(get("/api/items", None))
    assert (await client.answer()).status == 401
    assert failures == []
