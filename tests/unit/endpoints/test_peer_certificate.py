"""The certificate that a client of the authority shows reaches its endpoints, from the handshake of its own connection."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path

import pytest
import trustme
import uvloop
from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from fakes.certificates import Certificates

from gateway.authority.addresses import parse_address
from gateway.clock import Clock
from gateway.endpoints.peer_certificate import certificate_of
from gateway.endpoints.sites import start_site
from gateway.fetch import Fetch, FetchError
from gateway.http.tls_peer import DEEPEST, PeerCertificate
from gateway.http.tls_watch import TlsWatch
from gateway.model import TlsFiles


def pytest_asyncio_loop_factories() -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Each has a TLS of its own."""
    return {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}


class Door:
    """An application behind TLS that remembers who came. A certificate is asked for and need not be shown."""

    def __init__(self, folder: Path) -> None:
        self.certificates = Certificates(folder)
        self.certificates.write("own", "127.0.0.1")
        self.files = TlsFiles(*(str(folder / name) for name in ("own.pem", "own.key", "ca.pem")))
        self.came: list[PeerCertificate | None] = []
        self.url = ""

    async def look(self, request: web.Request) -> web.Response:
        self.came.append(certificate_of(request))
        return web.Response()

    async def visit(
        self, leaf: trustme.LeafCert | None = None, *, url: str | None = None, context: ssl.SSLContext | None = None
    ) -> None:
        context = context or self.certificates.client(leaf)
        async with Fetch() as fetch:
            await fetch.request("GET", url or self.url, headers={"Client-Cert": ":Y2VydA==:"}, tls=context)


@pytest.fixture
async def door(tmp_path: Path) -> AsyncIterator[Door]:
    """A listener of the authority that asks for certificates, and another one in the clear."""
    made = Door(tmp_path)
    application = web.Application()
    application.router.add_get("/", made.look)
    clock, here = Clock(), [parse_address("127.0.0.1:0")]
    live = TlsWatch(clock).serve("authority", made.files, optional=True)
    site = await start_site(application, here, mode=0o600, resolve=tmp_path.joinpath, clock=clock, tls=live)
    made.url = f"https://127.0.0.1:{site.ports[0]}/"
    yield made
    await site.stop()


async def test_a_client_may_show_a_certificate_or_none(door: Door) -> None:
    """The endpoint gets the bytes of the one that was shown, and what was sent beside it; no header is taken for one."""
    leaf = door.certificates.issue("agent.test")
    await door.visit(leaf)
    await door.visit()
    shown = ssl.PEM_cert_to_DER_cert(leaf.cert_chain_pems[0].bytes().decode())
    assert [came and came.leaf for came in door.came] == [shown, None]


async def test_intermediates_come_with_it(door: Door) -> None:
    """Whoever verifies it again needs them, as the handshake did."""
    between = door.certificates.authority.create_child_ca(key_type=trustme.KeyType.ECDSA)
    await door.visit(between.issue_cert("agent.test", key_type=trustme.KeyType.ECDSA))
    (came,) = door.came
    assert came is not None
    expected = x509.load_pem_x509_certificate(between.cert_pem.bytes()).public_bytes(Encoding.DER)
    assert came.intermediates[0] == expected
    assert came.leaf not in came.intermediates


async def test_no_more_is_handed_on_than_an_honest_chain_has(door: Door, tmp_path: Path) -> None:
    """What else a client sends with its certificate ends here."""
    for n in range(DEEPEST + 5):
        door.certificates.write("agent", f"agent{n}.test")
        with (tmp_path / "chain.pem").open("ab") as chain:
            chain.write((tmp_path / "agent.pem").read_bytes())
    door.certificates.write("agent", "agent.test")
    pieces = [(tmp_path / name).read_bytes() for name in ("agent.pem", "chain.pem")]
    (tmp_path / "chain.pem").write_bytes(b"".join(pieces))
    context = door.certificates.client()
    context.load_cert_chain(tmp_path / "chain.pem", tmp_path / "agent.key")
    await door.visit(context=context)
    (came,) = door.came
    assert came is not None
    assert len(came.intermediates) == DEEPEST - 1


async def test_one_that_does_not_verify_lets_nobody_in(door: Door, tmp_path: Path) -> None:
    """To show a wrong one is no way to show none."""
    other = Certificates(tmp_path, "other")
    with pytest.raises(FetchError):
        await door.visit(other.issue("agent.test"))
    assert door.came == []


async def test_in_the_clear_there_is_none(tmp_path: Path, door: Door) -> None:
    """Whatever a header says."""
    application = web.Application()
    application.router.add_get("/", door.look)
    site = await start_site(application, [parse_address("127.0.0.1:0")], mode=0o600, resolve=tmp_path.joinpath, clock=Clock())
    await door.visit(url=f"http://127.0.0.1:{site.ports[0]}/")
    await site.stop()
    assert door.came == [None]
