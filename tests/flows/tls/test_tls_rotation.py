"""Certificate files that change under a running Doorward: the next connection shows the new ones, open ones stay."""

import asyncio
import socket
from datetime import timedelta

import pytest
import structlog
from fakes.certificates import Certificates
from fakes.house import Build, House, Open, RawClient, ScriptedUpstream, answer_ok, get

OWN = "{}\n  tls: {certificate: own.pem, key: own.key}"
MUTUAL = "{}\n  tls: {certificate: own.pem, key: own.key, client_ca: ca.pem}"


def serial(client: RawClient) -> str:
    """The serial number of the certificate that the gateway showed on this connection."""
    return client.writer.get_extra_info("peercert")["serialNumber"]


async def works(client: RawClient, token: str) -> bool:
    await client.send(get("/api/items", token))
    return (await client.answer()).status == 200


def look(door: House) -> list[str]:
    """Let a second go by for those who watch the files; returns what was logged of it."""
    with structlog.testing.capture_logs() as logged:
        door.doorward.ground.tls.look()
    return [entry["event"] for entry in logged]


async def test_the_next_connection_sees_the_new_certificate(house: Build, certificates: Certificates) -> None:
    """Those that are open are neither dropped nor changed."""
    certificates.write("own", "127.0.0.1")
    door = await house(gateway_url="https://gateway.test", gateway_limits=OWN)
    token = await door.token()
    before = await door.connect(certificates.client())
    assert await works(before, token)
    certificates.write("own", "127.0.0.1")
    assert look(door) == ["tls_files_read"]
    after = await door.connect(certificates.client())
    assert await works(after, token)
    assert await works(before, token)
    assert serial(before) != serial(after)
    assert look(door) == []


async def test_the_files_are_looked_at_without_being_asked(
    house: Build, certificates: Certificates, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A timer looks; no request and no connection does."""
    monkeypatch.setattr("gateway.http.tls_watch.LOOK_EVERY", 0.05)
    certificates.write("own", "127.0.0.1")
    door = await house(gateway_url="https://gateway.test", gateway_limits=OWN)
    live = door.doorward.listener._tls._live
    before = live.context
    certificates.write("own", "127.0.0.1")
    async with asyncio.timeout(10):
        while live.context is before:
            await asyncio.sleep(0.02)


@pytest.mark.parametrize("broken", ["other key", "no certificate", "ended", "gone"])
async def test_a_broken_pair_leaves_the_old_one_and_is_told_once(house: Build, certificates: Certificates, broken: str) -> None:
    """Until the files change again; then they are read anew."""
    certificates.write("own", "127.0.0.1")
    door = await house(gateway_url="https://gateway.test", gateway_limits=OWN)
    first = await door.connect(certificates.client())
    if broken == "other key":
        certificates.issue("x.test").private_key_pem.write_to_path(str(door.folder / "own.key"))
    elif broken == "no certificate":
        (door.folder / "own.pem").write_text("-----BEGIN CERTIFICATE-----\n")
    elif broken == "ended":
        certificates.write("own", "127.0.0.1", ends_in=-timedelta(hours=1))
    else:
        (door.folder / "own.key").unlink()
    assert [look(door), look(door)] == [["tls_files_unusable"], []]
    still = await door.connect(certificates.client())
    assert serial(still) == serial(first)
    certificates.write("own", "127.0.0.1")
    assert look(door) == ["tls_files_read"]
    assert serial(await door.connect(certificates.client())) != serial(first)


async def test_an_authority_that_is_no_longer_trusted_lets_nobody_in(house: Build, certificates: Certificates) -> None:
    """Not even a client that would take up a session from before."""
    certificates.write("own", "127.0.0.1")
    door = await house(gateway_url="https://gateway.test", gateway_limits=MUTUAL)
    context = certificates.client(certificates.issue("agent.test"))
    client = await door.connect(context)
    assert await works(client, await door.token())
    session = client.writer.get_extra_info("ssl_object").session
    Certificates(door.folder)
    assert look(door) == ["tls_files_read"]
    host, _, port = door.doorward.addresses[0].rpartition(":")

    def take_up() -> bytes:
        """A client of the standard library's sockets, which can ask for a session."""
        with (
            socket.create_connection((host, int(port)), 10) as tcp,
            context.wrap_socket(tcp, server_hostname=host, session=session) as tls,
        ):
            tls.sendall(get("/api/items", None))
            return tls.recv(10)

    try:
        answered = await asyncio.to_thread(take_up)
    except OSError:
        answered = b""
    assert answered == b""


async def test_no_pooled_connection_outlives_its_certificates(house: Build, opened: Open, certificates: Certificates) -> None:
    """A new certificate of ours, or a new authority to trust, and the next request goes over a new connection."""
    shown: list[str] = []

    async def script(upstream: ScriptedUpstream, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        shown.append(writer.get_extra_info("peercert")["serialNumber"])
        await answer_ok(upstream, reader, writer)

    certificates.write("mine", "gateway.test")
    upstream = await opened(certificates.upstream(certificates.issue("127.0.0.1"), asks=True), script)
    files = "tls: {ca: ca.pem, client_certificate: mine.pem, client_key: mine.key}"
    door = await house(url=f"https://127.0.0.1:{upstream.port}", upstream=files)
    token = await door.token()
    client = await door.connect()
    for _ in range(2):
        assert await works(client, token)
    assert len(shown) == 1
    certificates.write("mine", "gateway.test")
    assert look(door) == ["tls_files_read"]
    for _ in range(2):
        assert await works(client, token)
    assert len(set(shown)) == len(shown) == 2
    assert door.doorward.pool.size == 1
    Certificates(door.folder)
    assert look(door) == ["tls_files_read"]
    await client.send(get("/api/items", token))
    assert (await client.answer()).problem["detail"].endswith("its certificate does not verify.")


async def test_an_exchange_goes_on_while_its_certificates_change(
    house: Build, opened: Open, certificates: Certificates
) -> None:
    """It ends well on the old connection, which then takes no other."""
    release = asyncio.Event()

    async def script(upstream: ScriptedUpstream, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            await upstream.request(reader)
            await release.wait()
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
            await writer.drain()

    certificates.write("mine", "gateway.test")
    upstream = await opened(certificates.upstream(certificates.issue("127.0.0.1")), script)
    files = "tls: {ca: ca.pem, client_certificate: mine.pem, client_key: mine.key}"
    door = await house(url=f"https://127.0.0.1:{upstream.port}", upstream=files)
    token = await door.token()
    client = await door.connect()
    await client.send(get("/api/items", token))
    async with asyncio.timeout(10):
        while not upstream.seen:
            await asyncio.sleep(0.01)
    certificates.write("mine", "gateway.test")
    assert look(door) == ["tls_files_read"]
    release.set()
    assert (await client.answer()).body == b"ok"
    assert await works(client, token)
    assert upstream.connections == 2
