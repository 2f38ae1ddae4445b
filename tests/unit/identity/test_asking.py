"""With what a server is asked that helps to verify identities: a CA of its own, and a token from a file."""

import ssl
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from fakes.certificates import Certificates

from gateway.fetch import Fetch
from gateway.fetched import FetchError
from gateway.identity.asking import BEARER_BYTES, Asking
from gateway.identity.provider import JWT_TYPE, IdentityUnavailableError, Presented, Tools
from gateway.identity.providers.oidc import Config, build

AGENT = '"spiffe://acme.example/sa/" + segment(claims["kubernetes.io"].serviceaccount.name)'


class Server:
    """An API server with a certificate of its own, that wants a token and gives out keys."""

    def __init__(self, issuer: Any, certificates: Certificates) -> None:
        self.issuer, self.certificates, self.shown, self.url = issuer, certificates, [], ""

    async def answer(self, request: web.Request) -> web.Response:
        self.shown.append(request.headers.get("Authorization"))
        if request.path == "/.well-known/openid-configuration":
            return web.json_response({"issuer": self.url, "jwks_uri": f"{self.url}/openid/v1/jwks"})
        return web.Response(body=self.issuer.jwks())


@pytest.fixture
async def server(issuer: Any, tmp_path: Path, clock: Any) -> AsyncIterator[Server]:
    """It serves TLS on loopback."""
    certificates = Certificates(tmp_path)
    made = Server(issuer, certificates)
    application = web.Application()
    application.router.add_get("/{path:.*}", made.answer)
    runner = web.AppRunner(application)
    await runner.setup()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificates.issue("127.0.0.1").configure_cert(context)
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context).start()
    made.url = issuer.url = f"https://127.0.0.1:{runner.addresses[0][1]}"
    yield made
    await runner.cleanup()
    assert clock


def rule(server: Server, **jwks: str) -> Config:
    basis = {"issuer": server.url, "audience": "doorward", "agent": AGENT}
    return Config.model_validate({**basis, "jwks": jwks})


async def test_keys_are_discovered_at_an_issuer_with_a_private_authority(server: Server, tools: Tools) -> None:
    """`jwks.ca` is for discovery too; without it the issuer is not trusted."""
    presented = Presented(server.issuer.token(), JWT_TYPE)
    assert await build(rule(server, ca="ca.pem"), "cluster", tools).verify(presented)
    with pytest.raises(IdentityUnavailableError, match="TLS certificate that is not trusted"):
        await build(rule(server), "cluster", tools).verify(presented)
    assert server.shown == [None, None]


async def test_keys_at_an_address_are_asked_for_with_a_token(server: Server, tools: Tools, tmp_path: Path, clock: Any) -> None:
    """As a Kubernetes API server wants it; the file is read each time, for its token is a short-lived one."""
    (tmp_path / "token").write_text("first.token\n")
    url = f"{server.url}/openid/v1/jwks"
    provider = build(rule(server, url=url, ca="ca.pem", bearer="token"), "cluster", tools)
    assert await provider.verify(Presented(server.issuer.token(), JWT_TYPE))
    (tmp_path / "token").write_text("second.token")
    clock.seconds += 300
    assert await provider.verify(Presented(server.issuer.token(server.issuer.claims(exp=clock.seconds + 60)), JWT_TYPE))
    assert server.shown == ["Bearer first.token", "Bearer second.token"]


async def test_an_authority_that_is_exchanged_is_read_again(server: Server, tools: Tools, tmp_path: Path, clock: Any) -> None:
    """The next question goes by the new one, which does not know this server."""
    provider = build(rule(server, ca="ca.pem"), "cluster", tools)
    assert await provider.verify(Presented(server.issuer.token(), JWT_TYPE))
    Certificates(tmp_path)
    clock.seconds += 2000
    token = server.issuer.token(server.issuer.claims(iat=None, exp=clock.seconds + 60))
    with pytest.raises(IdentityUnavailableError, match="not trusted"):
        await provider.verify(Presented(token, JWT_TYPE))


@pytest.mark.parametrize("content", ["", "two tokens", "tøken", "a\nb", "x" * (BEARER_BYTES + 1), None])
def test_a_file_with_one_token_is_bounded(content: str | None, tmp_path: Path, fetch: Fetch, clock: Any) -> None:
    """Anything else is a mistake that names the file, and shows nothing of it."""
    if content is not None:
        (tmp_path / "token").write_text(content)
    with pytest.raises(ValueError, match=r"token cannot be read as a file with one token") as caught:
        Asking("the server", fetch, clock, tmp_path.joinpath, ca=None, bearer="token")
    assert content is None or len(content) < 3 or content not in str(caught.value)


async def test_a_token_that_is_gone_is_said_to_be(server: Server, tmp_path: Path, fetch: Fetch, clock: Any) -> None:
    """It asks nothing without it."""
    (tmp_path / "token").write_text("first.token")
    asking = Asking("the server", fetch, clock, tmp_path.joinpath, ca="ca.pem", bearer="token")
    (tmp_path / "token").unlink()
    with pytest.raises(FetchError, match="cannot be read as a file with one token, which the server is asked with"):
        await asking.get(server.url, limit=100)
    assert server.shown == []
