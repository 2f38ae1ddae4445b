"""The authority on real sockets, with an OIDC issuer whose keys are in a file and the test's own user as an agent."""

import json
import os
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from fakes.authority import AGENT, Grants, Log, StillClock, build_authority

from gateway.authority.addresses import parse_address
from gateway.authority.authority import Authority
from gateway.authority.keys import SigningKey
from gateway.endpoints.admin import admin_application
from gateway.endpoints.authority import authority_application
from gateway.endpoints.health import Health
from gateway.endpoints.proofs import Proofs
from gateway.endpoints.sites import start_site
from gateway.errors import DoorwardError
from gateway.fetch import Answer, Fetch
from gateway.http.unix_socket import EVERY_USER, OWNER_ONLY
from gateway.identity.identify import Identities, Minter
from gateway.identity.nonces import Nonces
from gateway.identity.provider import JWT_TYPE, UNIX_PEER_TYPE, Tools
from gateway.identity.providers import PROVIDERS
from gateway.metrics.figures import Figures
from gateway.model import AgentPattern

EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"
ISSUER = "https://issuer.example"
AUTHORITY = "https://server.example.com"
"""The authority's own address, as proofs have to name it."""


class World:
    """Everything a test talks to. `users` and `operators` are who may, by user id."""

    def __init__(self, folder: Path, clock: StillClock, log: Log, grants: Grants, authority: Authority) -> None:
        (self.tenant,) = authority.tenants.each
        self.folder, self.clock, self.log, self.grants, self.authority = folder, clock, log, grants, authority
        self.key = SigningKey(ec.generate_private_key(ec.SECP256R1()))
        self.operators: dict[int, str] = {os.getuid(): "tester"}
        self.reasons: list[str] = []
        self.notices: list[str] = []
        self.asked: list[tuple[str, bool]] = []
        self.socket = folder / "sockets/authority.sock"
        self.admin = folder / "private/admin.sock"
        self.port = 0
        self.fetch = Fetch()
        self.proofs = Proofs(
            issuer=AUTHORITY, once=authority.once, nonces=Nonces(bytes(32), clock), binds_certificates=False, clock=clock
        )
        self.known: Identities

    def trust(self, audience: str) -> None:
        """From now on identity tokens are for this audience."""
        self.known.become(self.identities(self.fetch, os.getuid(), audience))

    async def reload(self, operator: str, confirmed: bool) -> dict[str, object]:
        self.asked.append((operator, confirmed))
        if not confirmed:
            raise DoorwardError("f:1:2: this is wrong")
        return {"policy": "ab"}

    async def measure(self) -> Figures:
        return Figures()

    def identities(self, fetch: Fetch, uid: int, audience: str = "doorward") -> Identities:
        tools = Tools(self.clock, fetch, self.folder.joinpath)
        (self.folder / "jwks.json").write_text(json.dumps(self.key.jwks()))
        agent = '"spiffe://acme.example/ns/agents/sa/" + segment(claims.name)'
        oidc = {"issuer": ISSUER, "audience": audience, "jwks": {"file": "jwks.json"}, "agent": agent}
        unix = {"users": {str(uid): "spiffe://acme.example/host/tester"}}
        patterns = {"oidc": "spiffe://acme.example/ns/*", "unix": "spiffe://acme.example/host/*"}
        return Identities(
            {
                name: Minter(
                    PROVIDERS[name].build(PROVIDERS[name].config.model_validate(config), name, tools),
                    (AgentPattern.parse(patterns[name]),),
                    self.tenant,
                )
                for name, config in (("oidc", oidc), ("unix", unix))
            }
        )

    def identity_token(self, name: str = "reconciler", *, life: float = 600, **other: Any) -> str:
        now = int(self.clock.seconds)
        claims = {"iss": ISSUER, "aud": "doorward", "sub": name, "name": name, "iat": now, "exp": now + int(life), **other}
        return jwt.encode(claims, self.key.private, "ES256", headers={"kid": self.key.kid})

    async def ask(self, method: str, path: str, *, socket: Path | None = None, **options: Any) -> Answer:
        unix = None if socket is None else str(socket)
        url = f"http://127.0.0.1:{self.port}{path}" if unix is None else f"http://doorward{path}"
        return await self.fetch.request(method, url, unix=unix, **options)

    async def exchange(
        self,
        *extra: tuple[str, str],
        without: Sequence[str] = (),
        socket: Path | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        form = {
            "grant_type": EXCHANGE,
            "subject_token_type": JWT_TYPE,
            "subject_token": self.identity_token(),
            "scope": "invoices.read",
        }
        return await self.post("/token", form, *extra, without=without, socket=socket, headers=headers)

    async def by_peer(self, *extra: tuple[str, str], socket: Path | None = None) -> Answer:
        form = {"grant_type": EXCHANGE, "subject_token_type": UNIX_PEER_TYPE, "subject_token": "peer", "scope": "invoices.read"}
        return await self.post("/token", form, *extra, socket=socket or self.socket)

    async def post(
        self,
        path: str,
        form: Mapping[str, str],
        *extra: tuple[str, str],
        without: Sequence[str] = (),
        socket: Path | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        added = {name for name, _ in extra}
        pairs = [(name, value) for name, value in form.items() if name not in without and name not in added]
        return await self.ask("POST", path, form=[*pairs, *extra], socket=socket, headers=headers or {})

    def break_store(self) -> None:
        (self.folder / "store/doorward.db").rename(self.folder / "away")

    def mend_store(self) -> None:
        (self.folder / "away").rename(self.folder / "store/doorward.db")


@asynccontextmanager
async def serving(
    folder: Path,
    clock: StillClock,
    log: Log,
    grants: Grants,
    user: int,
    *,
    tenant: str = "acme",
    store: str | Mapping[str, object] = "store/doorward.db",
    key: SigningKey | None = None,
    max_staleness: float = 10.0,
) -> AsyncIterator[World]:
    """The authority of a tenant with both sockets; `user` is the user id that counts as an agent, `key` the issuer's."""
    grants.intents["spiffe://acme.example/host/tester"] = {"invoices.read"}
    assert AGENT in grants.intents
    authority = await build_authority(folder, clock, log, grants, tenant=tenant, store=store, max_staleness=max_staleness)
    made = World(folder, clock, log, grants, authority)
    made.key = key or made.key
    identities = made.known = made.identities(made.fetch, user)
    resources = {"http://gateway.example": None, "http://gateway.example/billing": frozenset(("invoices.read",))}
    agents = await start_site(
        authority_application(
            authority, identities, audience="doorward", resources=lambda _tenant: resources, proofs=made.proofs, clock=clock
        ),
        [parse_address("127.0.0.1:0"), parse_address("unix:sockets/authority.sock")],
        mode=EVERY_USER,
        resolve=folder.joinpath,
        clock=clock,
    )
    (made.port,) = agents.ports
    operators = await start_site(
        admin_application(
            authority.tenants,
            authority.keys,
            operators=made.operators,
            health=Health(lambda: made.reasons, lambda: made.notices, made.measure),
            reload=made.reload,
            clock=clock,
        ),
        [parse_address("unix:private/admin.sock")],
        mode=OWNER_ONLY,
        resolve=folder.joinpath,
        clock=clock,
    )
    yield made
    await made.fetch.close()
    await operators.stop()
    await agents.stop()
    await authority.stop()
    assert not made.socket.exists()
    assert not made.admin.exists()


@pytest.fixture(params=[os.getuid()])
async def world(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[World]:
    """The authority with both sockets. The parameter is the user id that counts as an agent."""
    async with serving(tmp_path, StillClock(), Log(), Grants(), request.param) as made:
        yield made
