"""Every provider that takes signed tokens, each with an issuer that it trusts, behind one interface; knows no test."""

import base64
import json
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, utils
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from gateway.identity.keyset import read_key_set
from gateway.identity.provider import (
    ACCESS_TOKEN_TYPE,
    JWT_TYPE,
    Identity,
    IdentityRefusedError,
    Presented,
    Provider,
    Tools,
)
from gateway.identity.providers import PROVIDERS

NOW = 1_800_000_000.0
AUDIENCE = "doorward"


def b64(octets: bytes) -> str:
    return base64.urlsafe_b64encode(octets).rstrip(b"=").decode()


class Signed:
    """One provider and the key that it trusts."""

    prefix = ""
    token_type = JWT_TYPE
    typ: str | None = "JWT"

    def __init__(self, domain: str, kid: str) -> None:
        self.domain, self.kid = domain, kid
        self.agent = f"spiffe://{domain}/ns/agents/sa/reconciler"
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.provider: Provider

    def claims(self) -> dict[str, Any]:
        return {"sub": self.agent, "aud": AUDIENCE, "iat": int(NOW), "nbf": int(NOW), "exp": int(NOW) + 300}

    def header(self) -> dict[str, Any]:
        return {"alg": "ES256", "kid": self.kid, "typ": self.typ}

    def jwk(self) -> dict[str, Any]:
        numbers = self.key.public_key().public_numbers()
        x, y = (b64(number.to_bytes(32, "big")) for number in (numbers.x, numbers.y))
        return {"kty": "EC", "crv": "P-256", "x": x, "y": y, "kid": self.kid}

    def public_forms(self) -> Sequence[bytes]:
        """The public key as a forger could take it for a secret."""
        public = self.key.public_key()
        pem = public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        der = public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        return (pem, pem.strip(), der, json.dumps(self.jwk()).encode(), b"")

    def token(self, *, header: Mapping[str, Any] | None = None, **claims: Any) -> str:
        """A token whose signature is good; a member that is None is left out."""
        head = {name: value for name, value in {**self.header(), **(header or {})}.items() if value is not None}
        body = {name: value for name, value in {**self.claims(), **claims}.items() if value is not None}
        return self.sign(json.dumps(head), json.dumps(body))

    def sign(self, head: str, claims: str) -> str:
        signed = f"{b64(head.encode())}.{b64(claims.encode())}"
        r, s = utils.decode_dss_signature(self.key.sign(signed.encode(), ec.ECDSA(hashes.SHA256())))
        return f"{self.prefix}{signed}.{b64(r.to_bytes(32, 'big') + s.to_bytes(32, 'big'))}"

    async def verify(self, token: str) -> Identity:
        return await self.provider.verify(Presented(token, self.token_type))

    async def refused(self, token: str) -> str:
        """The sentence of the refusal, which holds nothing of the token."""
        with pytest.raises(IdentityRefusedError) as caught:
            await self.verify(token)
        assert token[:24] not in caught.value.sentence
        return caught.value.sentence

    @staticmethod
    def real_now() -> float:
        return time.time()


class _Cluster(Signed):
    """An OpenID Connect issuer, as a Kubernetes cluster is one."""

    def __init__(self, folder: Path, tools: Tools, name: str = "cluster", jwks: Any = None) -> None:
        super().__init__(f"{name}.example", f"{name}-1")
        self.issuer = f"https://{name}.example"
        (folder / "jwks.json").write_text(json.dumps({"keys": [self.jwk()]}))
        rule = {
            "issuer": self.issuer,
            "audience": AUDIENCE,
            "agent": f'"spiffe://{self.domain}/ns/agents/sa/" + segment(claims.name)',
            "algorithms": ["ES256"],
            "jwks": jwks or {"file": str(folder / "jwks.json")},
        }
        self.provider = PROVIDERS["oidc"].build(PROVIDERS["oidc"].config.model_validate(rule), name, tools)

    def claims(self) -> dict[str, Any]:
        return {**super().claims(), "iss": self.issuer, "name": "reconciler"}


class _Mesh(Signed):
    """A SPIFFE trust domain."""

    def __init__(self, folder: Path, tools: Tools, name: str = "mesh", bundle: Any = None) -> None:
        super().__init__(f"{name}.example", f"{name}-1")
        (folder / "bundle.json").write_text(json.dumps(self.bundle()))
        rule = {"trust_domain": self.domain, "audience": AUDIENCE, "bundle": bundle or {"file": str(folder / "bundle.json")}}
        self.provider = PROVIDERS["spiffe_jwt"].build(PROVIDERS["spiffe_jwt"].config.model_validate(rule), name, tools)

    def bundle(self) -> dict[str, Any]:
        return {"keys": [{**self.jwk(), "use": "jwt-svid"}]}


class _Partner(Signed):
    """Another Doorward. Its keys are fetched, so it is served by whoever makes it."""

    prefix = "dwt_"
    token_type = ACCESS_TOKEN_TYPE
    typ = "at+jwt"

    def __init__(self, folder: Path, tools: Tools, name: str = "partner", issuer: str | None = None) -> None:
        super().__init__(f"{name}.example", f"{name}-1")
        self.issuer = issuer or f"https://authority.{name}.example"
        rule = {"issuer": self.issuer, "tenant": name, "audience": AUDIENCE}
        self.tenant = name
        self.provider = PROVIDERS["doorward"].build(PROVIDERS["doorward"].config.model_validate(rule), name, tools)
        if issuer is None:
            self.provider._keys = self
        assert folder

    async def find(self, kid: str) -> Any:
        """The keys of an issuer that no test asks."""
        return read_key_set(json.dumps({"keys": [self.jwk()]}).encode(), ("ES256",)).get(kid)

    def claims(self) -> dict[str, Any]:
        own = {"iss": self.issuer, "tenant": self.tenant, "act": {"sub": self.agent}, "client_id": self.agent, "txn": "0" * 32}
        return {**super().claims(), **own, "sub": f"spiffe://{self.domain}/users/alice", "scope": "invoices.read"}


Make = Callable[..., Signed]


def cluster(folder: Path, tools: Tools, name: str = "cluster") -> Signed:
    """An OpenID Connect issuer."""
    return _Cluster(folder, tools, name)


def mesh(folder: Path, tools: Tools, name: str = "mesh") -> Signed:
    """A SPIFFE trust domain."""
    return _Mesh(folder, tools, name)


def partner(folder: Path, tools: Tools, name: str = "partner") -> Signed:
    """Another Doorward."""
    return _Partner(folder, tools, name)


SIGNED: Sequence[Make] = (cluster, mesh, partner)


class Published:
    """A provider whose keys come from a server on loopback. `asked` counts requests, `each` is how many a fetch takes."""

    each = 1

    def __init__(self, folder: Path, tools: Tools) -> None:
        self.folder, self.tools, self.asked = folder, tools, 0
        self.signed: Signed

    def document(self, url: str, path: str) -> Any:
        """What stands at a path."""
        raise NotImplementedError

    def make(self, url: str) -> Signed:
        """The provider that asks there."""
        raise NotImplementedError

    @asynccontextmanager
    async def served(self) -> AsyncIterator[None]:
        async def answer(request: web.Request) -> web.Response:
            self.asked += 1
            return web.json_response(self.document(url, request.path))

        application = web.Application()
        application.router.add_get("/{path:.*}", answer)
        runner = web.AppRunner(application)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        self.signed = self.make(url)
        try:
            yield
        finally:
            await runner.cleanup()


class DiscoveredIssuer(Published):
    """By discovery at the issuer."""

    each = 2

    def make(self, url: str) -> Signed:
        made = _Cluster(self.folder, self.tools)
        made.issuer = url
        rule = {
            "issuer": url,
            "audience": AUDIENCE,
            "agent": f'"spiffe://{made.domain}/ns/agents/sa/" + segment(claims.name)',
            "algorithms": ["ES256"],
        }
        made.provider = PROVIDERS["oidc"].build(PROVIDERS["oidc"].config.model_validate(rule), "cluster", self.tools)
        return made

    def document(self, url: str, path: str) -> Any:
        return {"keys": [self.signed.jwk()]} if path == "/keys" else {"issuer": url, "jwks_uri": f"{url}/keys"}


class NamedKeys(Published):
    """At an address that the operator names."""

    def make(self, url: str) -> Signed:
        return _Cluster(self.folder, self.tools, jwks={"url": f"{url}/keys"})

    def document(self, url: str, path: str) -> Any:
        assert (url, path) == (url, "/keys")
        return {"keys": [self.signed.jwk()]}


class BundleEndpoint(Published):
    """From a bundle endpoint."""

    def make(self, url: str) -> Signed:
        return _Mesh(self.folder, self.tools, bundle={"url": f"{url}/bundle"})

    def document(self, url: str, path: str) -> Any:
        assert (url, path) == (url, "/bundle")
        return {"keys": [{**self.signed.jwk(), "use": "jwt-svid"}]}


class OtherAuthority(Published):
    """From the authority of another Doorward."""

    def make(self, url: str) -> Signed:
        return _Partner(self.folder, self.tools, issuer=url)

    def document(self, url: str, path: str) -> Any:
        assert (url, path) == (url, "/jwks.json")
        return {"keys": [self.signed.jwk()]}


PUBLISHED: Sequence[type[Published]] = (DiscoveredIssuer, NamedKeys, BundleEndpoint, OtherAuthority)
