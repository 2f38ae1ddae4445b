"""Two whole Doorwards, one of which takes tokens of the other: what one says of its agents and tasks is never the other's."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from fakes.certificates import Certificates
from fakes.clock import TurnedClock
from fakes.dpop import Prover
from fakes.house import AGENT, Build, House, get
from fakes.scraped import scrape
from fakes.sidecars import BesideHouse

from gateway.app import Doorward
from gateway.clock import Clock
from gateway.errors import ConfigurationError
from gateway.fetch import Fetch
from gateway.settings.load import load

OWN, PARTNER = "http://authority.test", "http://partner.test"
SECURE = "https://partner.test"
URL = "http://127.0.0.1:1/api/items"
OK = (200, None)
UNTRUSTED = {
    "denied": "items.burn]\n  - name: nothing is written by who has read what strangers wrote\n    intents: [items.write]\n"
    "    when: |\n      'untrusted' in task.labels\n  - name: last\n    intents: [items.burn",
    "read": "adds: [untrusted]",
}
TWICE = {"declare": "required\n    limits: {requests: 2, per: task}"}


class CountingClock(TurnedClock):
    """Identifiers count up, so that two authorities can be made to give the same."""

    def __init__(self) -> None:
        super().__init__()
        self.numbers = itertools.count(1)

    def identifier(self) -> str:
        return f"{next(self.numbers):032x}"


class Pair:
    """The gateway under test with its own authority, and the partner whose tokens it takes too."""

    def __init__(self, door: House, partner: House) -> None:
        self.door, self.partner = door, partner
        self.task = ""
        """What the tasks of both are called."""

    async def issue(self, of: House, *intents: str, number: int, proof: str | None = None) -> Mapping[str, Any]:
        """A token of one of them, whose names are those that the other gives for the same `number`."""
        of.clock.numbers = itertools.count(number)  # type: ignore[attr-defined]
        socket = "authority.sock" if of is self.door else "partner.sock"
        form = {
            "grant_type": "urn:ietf:params:oauth:grant-type:token-exchange", "subject_token": "peer",
            "subject_token_type": "urn:doorward:unix-peer", "scope": " ".join(intents or ("items.read", "items.write")),
        }  # fmt: skip
        async with Fetch() as fetch:
            answer = await fetch.request(
                "POST", "http://authority/token", form=form, headers={} if proof is None else {"DPoP": proof},
                unix=str(self.door.folder / socket),
            )  # fmt: skip
        assert answer.status == 200, answer.body
        return answer.json()

    async def both(self, *intents: str) -> tuple[str, str]:
        """A token of each, whose tasks have one name."""
        own, its = [await self.issue(of, *intents, number=1 << 40) for of in (self.door, self.partner)]
        assert own["task"] == its["task"]
        self.task = own["task"]
        return own["access_token"], its["access_token"]

    async def ask(self, token: str, method: str = "GET", intent: str = "items.read") -> tuple[int, str | None]:
        client = await self.door.connect()
        more = () if method == "GET" else ("Content-Length: 0",)
        await client.send(get("/api/items/1" if method == "PUT" else "/api/items", token, intent, *more, method=method))
        answer = await client.answer()
        return answer.status, None if answer.status == 200 else answer.problem["code"]

    async def until(self, token: str, said: tuple[int, str | None]) -> None:
        async with asyncio.timeout(20):
            while await self.ask(token) != said:
                await asyncio.sleep(0.02)

    async def ready(self) -> dict:
        async with Fetch() as fetch:
            return (await fetch.request("GET", "http://doorward/readyz", unix=str(self.door.folder / "admin.sock"))).json()


Make = Callable[..., Awaitable[Pair]]


def issuers(**changes: str) -> str:
    """The section of the gateway's configuration, below its store."""
    rule = {"remote": "unix:partner.sock", "issuer": PARTNER, "tenants": "[flows]", **changes}
    members = ", ".join(f"{name}: {value}" for name, value in rule.items())
    return f"{{sqlite: doorward.db}}\nissuers:\n  partner: {{{members}}}"


def partner_options(**changes: str) -> dict[str, Any]:
    authority = f"listen: [unix:partner.sock]\n  issuer: {PARTNER}"
    return {"name": "partner", "clock": CountingClock(), "authority": authority, "store": "{sqlite: partner.db}", **changes}


@pytest.fixture
def pair(house: Build) -> Make:
    """Makes both; `changes` are of either's configuration, and `rule` of what the gateway says of the partner."""

    async def make(*, rule: Mapping[str, str] | None = None, admin: str = "", **changes: str) -> Pair:
        partner = await house(**partner_options(**changes))
        door = await house(clock=CountingClock(), store=issuers(**(rule or {})), admin=admin, **changes)
        return Pair(door, partner)

    return make


async def test_each_is_served_and_recorded_as_its_own(pair: Make) -> None:
    """Agent, task and token have the same names at both; the record says whose they are."""
    it = await pair()
    own, its = await it.both()
    assert [await it.ask(own), await it.ask(its), await it.ask(own)] == [OK, OK, OK]
    await it.door.stop()
    requests, _ = it.door.exchanges()
    assert [each["issuer"] for each in requests] == [OWN, PARTNER, OWN]
    assert len({(each["agent"], each["task"]) for each in requests}) == 1


@pytest.mark.parametrize("which", ["own", "partner"])
async def test_a_revocation_at_one_does_nothing_to_the_other(pair: Make, which: str) -> None:
    """The task that ends is one of two with the same name."""
    it = await pair()
    own, its = await it.both()
    revoked, other = (own, its) if which == "own" else (its, own)
    socket = "admin.sock" if which == "own" else "partner-admin.sock"
    assert await it.ask(revoked) == await it.ask(other) == OK
    assert await it.door.tell(f"/tasks/{it.task}/revoke", socket) == 200
    await it.until(revoked, (401, "token_revoked"))
    assert await it.ask(other) == OK


async def test_a_label_of_one_is_not_the_others(pair: Make) -> None:
    """What the partner's task has read keeps it from writing, and not the gateway's own task of the same name."""
    it = await pair(**UNTRUSTED)
    own, its = await it.both()
    assert await it.ask(its) == OK
    assert await it.ask(its, "PUT", "items.write") == (403, "denied")
    assert await it.ask(own, "PUT", "items.write") == OK


async def test_a_limit_is_spent_at_its_own_authority(pair: Make) -> None:
    """Each of two tasks of one name has the whole of its limit."""
    it = await pair(**TWICE)
    own, its = await it.both()
    assert [await it.ask(own) for _ in range(3)] == [OK, OK, (429, "limit_exceeded")]
    assert [await it.ask(its) for _ in range(3)] == [OK, OK, (429, "limit_exceeded")]


async def test_a_proof_of_possession_is_new_for_each(pair: Make) -> None:
    """One key holds tokens of both; a `jti` that came with one may come once with the other, and then no more."""
    it = await pair()
    prover = Prover()

    async def bound(of: House, issuer: str) -> str:
        proof = prover.proof("POST", f"{issuer}/token", now=of.clock.now())
        return str((await it.issue(of, number=1 << 40, proof=proof))["access_token"])

    async def ask(token: str, name: str) -> tuple[int, str | None]:
        client = await it.door.connect()
        proof = prover.proof("GET", URL, token, jti=name, now=it.door.clock.now())
        await client.send(get("/api/items", None, "items.read", f"Authorization: DPoP {token}", f"DPoP: {proof}"))
        answer = await client.answer()
        prover.nonce = answer.fields.get("dpop-nonce", prover.nonce)
        return answer.status, None if answer.status == 200 else answer.problem["code"]

    own, its = await bound(it.door, OWN), await bound(it.partner, PARTNER)
    assert await ask(own, "first") == (401, "proof_invalid")  # and learns the nonce
    assert [await ask(own, "one"), await ask(its, "one")] == [OK, OK]
    assert [await ask(own, "one"), await ask(its, "one")] == [(401, "proof_invalid")] * 2


async def test_silence_of_one_refuses_its_tokens_alone(pair: Make) -> None:
    """The gateway stays ready, and says whose tokens it refuses."""
    it = await pair(admin=", listen: 'unix:health.sock'")
    own, its = await it.both()
    assert await it.ready() == {"ready": True, "reasons": [], "notices": []}
    await it.partner.stop()
    it.door.clock.ahead = 11.0  # type: ignore[attr-defined]
    await it.until(its, (503, "revocations_stale"))
    await it.until(own, OK)
    told = await it.ready()
    assert told["ready"]
    assert len(told["notices"]) == 1
    assert told["notices"][0].startswith("issuer partner: its last heartbeat is too old, so its tokens are refused (")
    figures = await scrape("http://doorward/metrics", unix=str(it.door.folder / "health.sock"))
    assert figures["doorward_feed_staleness_seconds", "partner"] > 10 > figures["doorward_feed_staleness_seconds", "authority"]
    assert figures["doorward_feed_lost_total", "partner"] > 0


async def test_a_partner_that_is_not_there_is_waited_for_by_nobody(house: Build, monkeypatch: pytest.MonkeyPatch) -> None:
    """The gateway starts and serves its own; when the partner comes, its tokens are served too."""
    monkeypatch.setattr("gateway.authority.remote.PATIENCE", 0.1)
    door = await house(clock=CountingClock(), store=issuers())
    assert any("issuer partner" in warning for warning in door.doorward.warnings)
    it = Pair(door, await house(**partner_options()))
    own, its = await it.both()
    assert await it.ask(own) == OK
    await it.until(its, OK)


async def test_a_partner_elsewhere_is_followed_with_a_certificate(house: Build, tmp_path: Path) -> None:
    """Over mTLS; its files are read again when they change, also after a reload."""
    certificates = Certificates(tmp_path)
    certificates.write("there", "127.0.0.1")
    certificates.write("here", "here.gateways.test")
    authority = (
        f"listen: [unix:partner.sock, '127.0.0.1:0']\n  issuer: {SECURE}\n"
        "  tls: {certificate: there.pem, key: there.key, client_ca: ca.pem}\n"
        "  gateways: {certificates: [here.gateways.test]}"
    )
    partner = await house(**partner_options(authority=authority))
    (port,) = partner.doorward.authority_ports
    rule = {
        "remote": f"https://127.0.0.1:{port}",
        "issuer": SECURE,
        "ca": "ca.pem",
        "certificate": "here.pem",
        "key": "here.key",
    }
    it = Pair(await house(clock=CountingClock(), store=issuers(**rule)), partner)
    own, its = await it.both()
    assert [await it.ask(own), await it.ask(its)] == [OK, OK]
    file, reload, tls = it.door.folder / "doorward.yaml", it.door.doorward.reload, it.door.doorward.ground.tls
    file.write_text(file.read_text().replace("intents: [items.burn, items.burn]", "intents: [items.burn]"))
    assert reload is not None
    await reload.again(by="test")
    before = tls.ends()["issuers.partner"]
    certificates.write("here", "here.gateways.test", ends_in=timedelta(days=9))
    tls.look()
    assert tls.ends()["issuers.partner"] != before
    assert await it.ask(its) == OK


@pytest.mark.parametrize(
    ("rule", "code"),
    [
        ({"algorithms": "[EdDSA]"}, (401, "token_invalid")),
        ({"agents": "['spiffe://partner.test/*']"}, (401, "token_invalid")),
        ({"agents": f"['{AGENT}']"}, OK),
        ({"prefix": "oth_"}, (401, "token_invalid")),
        ({"issuer": "http://other.test"}, (401, "token_invalid")),
    ],
)
async def test_what_is_said_of_an_issuer_bounds_it(pair: Make, rule: Mapping[str, str], code: tuple[int, str | None]) -> None:
    """And it does not bound the gateway's own authority, which has the same agent."""
    it = await pair(rule=rule)
    own, its = await it.both()
    assert [await it.ask(own), await it.ask(its)] == [OK, code]


async def test_a_tenant_is_the_configurations_and_not_the_tokens(house: Build) -> None:
    """The partner's own file calls its tenant otherwise: whatever its tokens say, it does not speak for that one here."""
    partner = await house(**partner_options())
    file = partner.folder / "partner.yaml"
    await partner.stop()
    file.write_text(file.read_text().replace("tenant: flows", "tenant: globex"))
    (partner.folder / "partner.db").unlink()
    partner.doorward = Doorward(load(file), partner.clock)
    await partner.doorward.start()
    partner.stack.push_async_callback(partner.doorward.stop)
    it = Pair(await house(clock=CountingClock(), store=issuers()), partner)
    own, its = await it.both()
    assert [await it.ask(own), await it.ask(its)] == [OK, (403, "tenant_mismatch")]


async def test_metadata_names_all_who_issue_for_the_resource(pair: Make) -> None:
    """An agent without a token finds either (RFC 9728 §2)."""
    it = await pair()
    client = await it.door.connect()
    await client.send(b"GET /.well-known/oauth-protected-resource/api HTTP/1.1\r\nHost: doorward.test\r\n\r\n")
    assert (await client.answer()).problem["authorization_servers"] == [OWN, PARTNER]


async def test_a_reload_keeps_the_issuers_and_takes_no_others(pair: Make) -> None:
    """What may change is taken with all issuers in place; another issuer, or one less, says that a restart is needed."""
    it = await pair()
    own, its = await it.both()
    file = it.door.folder / "doorward.yaml"
    text = file.read_text()
    file.write_text(text.replace("intents: [items.burn, items.burn]", "intents: [items.burn, items.write]"))
    reload = it.door.doorward.reload
    assert reload is not None
    await reload.again(by="test", confirmed=True)
    assert await it.ask(own) == (401, "token_revoked")  # its authority ends what policy gives no more; the partner's does not
    own = (await it.issue(it.door, "items.read", number=1 << 41))["access_token"]
    assert [await it.ask(own), await it.ask(its), await it.ask(its, "PUT", "items.write")] == [OK, OK, (403, "denied")]
    without = "\n".join(line for line in text.splitlines() if "partner" not in line and line != "issuers:")
    more = text.replace("issuers:\n", "issuers:\n  third: {remote: 'unix:t.sock', issuer: 'http://t.test', tenants: [flows]}\n")
    for changed in (without, more):
        file.write_text(changed)
        with pytest.raises(ConfigurationError, match="'issuers' cannot change while doorward runs; restart it"):
            await reload.again(by="test")
    assert await it.ask(its) == OK


@pytest.fixture
async def beside() -> AsyncIterator[AsyncExitStack]:
    """What stops a sidecar."""
    async with AsyncExitStack() as stack:
        yield stack


async def test_a_sidecar_follows_several(pair: Make, beside: AsyncExitStack) -> None:
    """Its own authority elsewhere, and the partner beside it; it says on which line what was revoked."""
    it = await pair()
    own, its = await it.both()
    side = BesideHouse(
        it.door, Clock(), beside, f"{{remote: unix:authority.sock, issuer: '{OWN}', algorithms: [ES256]}}", "side"
    )
    await side.start()
    assert [await side.get(own), await side.get(its)] == [OK, OK]
    assert await side.ready() == {"ready": True, "reasons": [], "notices": []}
    assert await it.door.tell(f"/tasks/{it.task}/revoke", "partner-admin.sock") == 200
    async with asyncio.timeout(20):
        while await side.get(its) != (401, "token_revoked"):
            await asyncio.sleep(0.02)
    assert await side.get(own) == OK
