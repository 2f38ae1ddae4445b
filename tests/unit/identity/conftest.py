"""A clock turned by hand and a real issuer on a loopback port, for the tests of identities; knows no verifier."""

import base64
import json
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, utils

from gateway.clock import Clock
from gateway.fetch import Fetch
from gateway.identity.provider import Tools
from gateway.identity.standing import Standing

NOW = 1_800_000_000.0


def b64(octets: bytes) -> str:
    """Base64url without padding."""
    return base64.urlsafe_b64encode(octets).rstrip(b"=").decode()


class TurnedClock(Clock):
    """A clock that stands still until a test turns it; tasks are real."""

    def __init__(self) -> None:
        super().__init__()
        self.seconds = NOW

    def now(self) -> float:
        return self.seconds

    def boot(self) -> float:
        return self.seconds


class Issuer:
    """An OpenID Connect issuer with one ES256 key at a time. `requests` counts what it was asked."""

    def __init__(self, kid: str = "first") -> None:
        self.url = "https://issuer.example"
        self.requests: list[str] = []
        self.status = 200
        self.document: dict[str, Any] | None = None
        self.rotate(kid)

    def rotate(self, kid: str) -> None:
        self.kid = kid
        self.key = ec.generate_private_key(ec.SECP256R1())

    def jwk(self) -> dict[str, Any]:
        numbers = self.key.public_key().public_numbers()
        x, y = (b64(number.to_bytes(32, "big")) for number in (numbers.x, numbers.y))
        return {"kty": "EC", "crv": "P-256", "x": x, "y": y, "kid": self.kid, "use": "sig", "alg": "ES256"}

    def jwks(self) -> bytes:
        return json.dumps({"keys": [self.jwk()]}).encode()

    def claims(self, **other: Any) -> dict[str, Any]:
        claims = {
            "iss": self.url,
            "aud": "doorward",
            "sub": "system:serviceaccount:agents:reconciler",
            "iat": NOW,
            "exp": NOW + 600,
            "kubernetes.io": {"namespace": "agents", "serviceaccount": {"name": "reconciler"}},
        }
        return {name: value for name, value in {**claims, **other}.items() if value is not None}

    def token(self, claims: Mapping[str, Any] | None = None, **header: Any) -> str:
        return self.signed(json.dumps(self.claims() if claims is None else claims), **header)

    def signed(self, payload: str, **header: Any) -> str:
        head = {name: value for name, value in {"alg": "ES256", "kid": self.kid, **header}.items() if value is not None}
        return self.sign(json.dumps(head), payload)

    def sign(self, head: str, payload: str) -> str:
        signed = f"{b64(head.encode())}.{b64(payload.encode())}"
        r, s = utils.decode_dss_signature(self.key.sign(signed.encode(), ec.ECDSA(hashes.SHA256())))
        return f"{signed}.{b64(r.to_bytes(32, 'big') + s.to_bytes(32, 'big'))}"

    async def serve(self) -> web.AppRunner:
        """Publish discovery document and keys on a loopback port, which becomes the issuer's address."""

        async def discovery(request: web.Request) -> web.Response:
            self.requests.append(request.path)
            document = self.document or {"issuer": self.url, "jwks_uri": f"{self.url}/keys"}
            return web.json_response(document, status=self.status)

        async def keys(request: web.Request) -> web.Response:
            self.requests.append(request.path)
            return web.Response(body=self.jwks(), status=self.status)

        application = web.Application()
        application.router.add_get("/.well-known/openid-configuration", discovery)
        application.router.add_get("/keys", keys)
        runner = web.AppRunner(application)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        host, port = runner.addresses[0][:2]
        self.url = f"http://{host}:{port}"
        return runner


@pytest.fixture
def clock() -> TurnedClock:
    """A clock at rest."""
    return TurnedClock()


@pytest.fixture
def issuer() -> Issuer:
    """An issuer that nobody can reach, whose keys have to be handed over."""
    return Issuer()


@pytest.fixture
async def published() -> AsyncIterator[Issuer]:
    """An issuer that answers on a loopback port."""
    issuer = Issuer()
    runner = await issuer.serve()
    yield issuer
    await runner.cleanup()


@pytest.fixture
async def fetch() -> AsyncIterator[Fetch]:
    """A client, closed after the test."""
    async with Fetch() as client:
        yield client


@pytest.fixture
def tools(clock: TurnedClock, fetch: Fetch, tmp_path: Path) -> Tools:
    """What a provider is built with; paths are below the test's own folder."""
    return Tools(clock, fetch, lambda text: tmp_path / text)


@pytest.fixture
def standing(clock: TurnedClock, issuer: Issuer) -> Standing:
    """What a gateway knows that has the issuer for its authority, and has just heard from it."""
    known = Standing(
        clock, issuer=issuer.url, audience="doorward", tenants=frozenset(("acme",)), prefix="dwt_", max_staleness=10.0
    )
    known.keys(issuer.url, json.loads(issuer.jwks()))
    known.beat("first epoch", 0, horizon=0.0)
    return known
