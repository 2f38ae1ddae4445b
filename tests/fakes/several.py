"""A whole Doorward of two tenants before one scripted upstream, on real sockets; knows no single behaviour."""

import json
import os
import pwd
from contextlib import AsyncExitStack
from pathlib import Path

import jwt
from cryptography.hazmat.primitives.asymmetric import ec
from fakes.house import Answer, House, RawClient, ScriptedUpstream, answer_ok, get

from gateway.app import Doorward
from gateway.authority.keys import SigningKey
from gateway.clock import Clock
from gateway.fetch import Answer as Said
from gateway.fetch import Fetch
from gateway.settings.load import load

JWT_TYPE = "urn:ietf:params:oauth:token-type:jwt"
ACCESS_TYPE = "urn:ietf:params:oauth:token-type:access_token"
ASSERTION = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
ISSUER = "https://issuer.globex.test"
ACME, GLOBEX = "spiffe://acme.test/agent", "spiffe://globex.test/agent"

MAIN = """version: 1
tenants:
  acme: {{identities: [host], include: [acme.yaml]}}
  globex: {{identities: [cluster], include: [globex.yaml]}}
gateway: {{listen: ["127.0.0.1:0"], url: "http://127.0.0.1:1", workers: {workers}}}
authority:
  listen: [unix:authority.sock]
  issuer: http://authority.test
  askers: ["spiffe://acme.test/*", "spiffe://globex.test/*"]
  store: {{sqlite: doorward.db}}
admin: {{socket: "unix:admin.sock", operators: [{user}]}}
identities:
  host: {{unix: {{users: {{{user}: "spiffe://acme.test/agent"}}}}, same_user: true}}
  cluster:
    oidc:
      issuer: https://issuer.globex.test
      audience: doorward
      jwks: {{file: jwks.json}}
      agent: '"spiffe://globex.test/" + segment(claims.sub)'
    mints: spiffe://globex.test/*
audit:
  sinks:
    local: {{file: {{path: audit.jsonl}}, required: true}}
"""
TENANT = """upstreams:
  api: {{url: "http://127.0.0.1:{port}/{tenant}", credential: key, networks: [127.0.0.0/8]}}
credentials:
  key:
    secret: {{file: {tenant}-secret}}
    inject: {{header: X-Api-Key}}
    exception: {{owner: tests, reason: tests, expires: {expires}, review_every: 30d, reviewed: {today}}}
intents:
  items.read: {{upstream: api, operations: ["GET /items", "GET /items/{{id}}"]}}
grants:
  - {{name: all read, agents: ["spiffe://{tenant}.test/*"], intents: [items.read]}}
"""


def write(folder: Path, port: int, clock: Clock, *, workers: int = 1) -> SigningKey:
    """Write the configuration and its files; returns the key of globex's issuer."""
    key = SigningKey(ec.generate_private_key(ec.SECP256R1()))
    (folder / "jwks.json").write_text(json.dumps(key.jwks()))
    dates = {"expires": clock.stamp(clock.now() + 90 * 86400)[:10], "today": clock.stamp(clock.now())[:10]}
    for tenant in ("acme", "globex"):
        (folder / f"{tenant}-secret").write_text(f"the secret of {tenant} 0123456789\n")
        (folder / f"{tenant}.yaml").write_text(TENANT.format(tenant=tenant, port=port, **dates))
    user = pwd.getpwuid(os.getuid()).pw_name
    (folder / "doorward.yaml").write_text(MAIN.format(user=user, workers=workers))
    return key


class Several(House):
    """The same as a house, with agents of two tenants: acme's is the user of the test, globex's has identity tokens."""

    key: SigningKey

    def identity_token(self, name: str = "agent") -> str:
        now = int(self.clock.now())
        claims = {"iss": ISSUER, "aud": "doorward", "sub": name, "iat": now, "exp": now + 600}
        return jwt.encode(claims, self.key.private, "ES256", headers={"kid": self.key.kid})

    async def acme(self, **extra: str) -> dict:
        return await self.issue("items.read", **extra)

    async def globex(self, **extra: str) -> dict:
        shown = {"subject_token": self.identity_token(), "subject_token_type": JWT_TYPE}
        return await self.issue("items.read", **{**shown, **extra})

    def by_globex(self) -> dict[str, str]:
        """The form by which the agent of globex authenticates; that of acme is known by its user."""
        return {"client_assertion_type": ASSERTION, "client_assertion": self.identity_token()}

    async def ask(self, method: str, path: str, *, socket: str = "authority.sock", **options: object) -> Said:
        async with Fetch() as fetch:
            unix = str(self.folder / socket)
            return await fetch.request(method, f"http://doorward{path}", unix=unix, **options)  # type: ignore[arg-type]

    async def call(self, path: str, token: str | None, client: RawClient | None = None) -> Answer:
        client = client or await self.connect()
        await client.send(get(path, token))
        return await client.answer()


async def several(folder: Path, stack: AsyncExitStack) -> Several:
    """Started; the stack stops it."""
    upstream = ScriptedUpstream(answer_ok)
    port = await upstream.start()
    stack.push_async_callback(upstream.stop)
    clock = Clock()
    key = write(folder, port, clock)
    doorward = Doorward(load(folder / "doorward.yaml"), clock)
    await doorward.start()
    stack.push_async_callback(doorward.stop)
    made = Several(doorward, clock, folder, upstream, stack)
    made.key = key
    return made
