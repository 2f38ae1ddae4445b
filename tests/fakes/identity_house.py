"""A whole Doorward whose authority speaks TLS, with identities that a test writes; knows no single behaviour."""

import base64
import json
import os
import pwd
import ssl
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

from fakes.certificates import Certificates
from fakes.spiffe import Svid

from gateway.app import Doorward
from gateway.clock import Clock
from gateway.fetch import Answer, Fetch
from gateway.settings.load import load

EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"
JWT = "urn:ietf:params:oauth:token-type:jwt"
MTLS = "urn:doorward:mtls-peer"
PEER = "peer"
AGENTS = "spiffe://acme.example/*, spiffe://other.example/*"

CONFIGURATION = """
version: 1
tenant: flows
gateway: {{listen: ["127.0.0.1:0"], url: "http://127.0.0.1:1"}}
authority:
  listen: [unix:authority.sock, "127.0.0.1:0"]
  issuer: https://authority.test
  tls: {{certificate: own.pem, key: own.key{tls}}}
  gateways: {gateways}
  store: {{sqlite: doorward.db}}
admin: {{socket: "unix:admin.sock", operators: [{user}]}}
identities:
{identities}
upstreams:
  api: {{url: "http://127.0.0.1:9", credential: key, networks: [127.0.0.0/8]}}
credentials:
  key:
    secret: {{file: secret}}
    inject: {{header: X-Api-Key}}
    exception: {{owner: tests, reason: tests, expires: {expires}, review_every: 30d, reviewed: {today}}}
intents:
  items.read: {{upstream: api, operations: [GET /items]}}
grants:
  - {{name: all read, agents: [{agents}], intents: [items.read]}}
audit:
  sinks:
    local: {{file: {{path: audit.jsonl}}, required: true}}
"""


class IdentityHouse:
    """A running Doorward whose authority speaks TLS, and the trust domains that its agents are of."""

    def __init__(self, folder: Path, certificates: Certificates, stack: AsyncExitStack) -> None:
        self.folder, self.certificates, self.stack = folder, certificates, stack
        self.doorward: Doorward
        self._written = ("", "")

    async def start(self, identities: str, *, tls: str = "", gateways: str = "{}", agents: str = AGENTS) -> "IdentityHouse":
        clock = Clock()
        (self.folder / "secret").write_text("a secret of this upstream\n")
        text = CONFIGURATION.format(
            identities=identities,
            tls=tls,
            gateways=gateways,
            agents=agents,
            user=pwd.getpwuid(os.getuid()).pw_name,
            expires=clock.stamp(clock.now() + 90 * 86400)[:10],
            today=clock.stamp(clock.now())[:10],
        )
        self._written = (identities, agents)
        (self.folder / "doorward.yaml").write_text(text)
        self.doorward = Doorward(load(self.folder / "doorward.yaml"), clock)
        await self.doorward.start()
        self.stack.push_async_callback(self.doorward.stop)
        return self

    def reconfigure(self, identities: str, agents: str) -> None:
        """Write other identities and other agents into the configuration."""
        file = self.folder / "doorward.yaml"
        fresh = file.with_suffix(".fresh")
        text = file.read_text().replace(self._written[0], identities).replace(f"[{self._written[1]}]", f"[{agents}]")
        fresh.write_text(text)
        fresh.rename(file)
        self._written = (identities, agents)

    async def reload(self) -> None:
        assert self.doorward.reload is not None
        await self.doorward.reload.again(by="test", confirmed=True)

    def look(self) -> None:
        """Let a second go by for those who watch over TLS."""
        self.doorward.ground.tls.look()

    def context(self, svid: Svid | None = None) -> ssl.SSLContext:
        context = self.certificates.client()
        return context if svid is None else svid.show(context, self.folder)

    async def ask(self, path: str, svid: Svid | None = None, method: str = "POST", **form: str) -> Answer:
        url = f"https://127.0.0.1:{self.doorward._authority.ports[0]}{path}"
        async with Fetch() as fetch:
            return await fetch.request(method, url, form=form if method == "POST" else None, tls=self.context(svid))

    async def exchange(self, svid: Svid | None = None, *, token: str = PEER, kind: str = MTLS) -> Answer:
        form = {"grant_type": EXCHANGE, "subject_token": token, "subject_token_type": kind, "scope": "items.read"}
        return await self.ask("/token", svid, **form)

    def agent_of(self, answer: Answer) -> str:
        assert answer.status == 200, answer.body
        claims = answer.json()["access_token"].split(".")[1]
        decoded: dict[str, Any] = json.loads(base64.urlsafe_b64decode(claims + "=="))
        return str(decoded["act"]["sub"])


Start = Callable[..., Awaitable[IdentityHouse]]
