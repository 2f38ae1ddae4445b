"""`admin.listen`: health, readiness and figures over HTTP, of one process and of a sidecar."""

import asyncio
import math
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from fakes.clock import TurnedClock
from fakes.house import SECRET, Build, House, get
from fakes.scraped import Scraped, scrape
from fakes.sidecars import OVER_UNIX, BesideHouse

from gateway.clock import Clock
from gateway.credentials.sources.file import LASTS_WITHOUT
from gateway.endpoints import health
from gateway.errors import DoorwardError
from gateway.fetch import Answer, Fetch

LISTEN = ", listen: '127.0.0.1:0'"


def url(door: House) -> str:
    return f"http://127.0.0.1:{door.doorward.health_ports[0]}"


async def ask(door: House, path: str) -> Answer:
    async with Fetch() as fetch:
        return await fetch.request("GET", url(door) + path)


async def figures(door: House) -> Scraped:
    return await scrape(f"{url(door)}/metrics")


async def test_each_exchange_is_counted_once(house: Build) -> None:
    """By upstream, decision, code and class of status, with how long it took; one that was never routed has no upstream."""
    door = await house(admin=LISTEN)
    token, client = await door.token("items.read"), await door.connect()
    for request in (
        get("/api/items", token),
        get("/api/items/1", token),
        get("/api/items", token, "items.write"),
        get("/api/items", None),
        get("/nowhere", token),
    ):
        await client.send(request)
        await client.answer()
    told = await figures(door)
    requests = {key[1:]: value for key, value in told.items() if key[0] == "doorward_requests_total"}
    assert requests == {  # code, decision, status, tenant, upstream
        ("", "allow", "2xx", "flows", "api"): 2,
        ("intent_not_granted", "deny", "4xx", "flows", "api"): 1,
        ("token_missing", "deny", "4xx", "flows", "api"): 1,
        ("upstream_unknown", "deny", "4xx", "", ""): 1,
    }
    assert told["doorward_request_duration_seconds_count", "flows", "api"] == 4
    assert told["doorward_upstream_head_seconds_count", "flows", "api"] == 2
    assert told["doorward_exchange_endings_total", "complete", "flows", "api"] == 2
    assert told["doorward_response_body_bytes_total", "flows", "api"] > 0
    assert told["doorward_connections_open",] == 1
    assert told["doorward_exchanges_open",] == 0
    assert told["doorward_upstream_connections_open", "idle"] == 1


async def test_what_a_gateway_and_its_authority_know(house: Build) -> None:
    """Freshness, revocations, tokens, credentials, configuration and the log."""
    door = await house(admin=LISTEN)
    issued = await door.issue("items.read")
    await door.issue("items.read", task=issued["task"])
    await door.tell(f"/tasks/{issued['task']}/revoke", "admin.sock")
    await door.issue("items.nothing", refusable=True)
    told = await figures(door)
    assert told["doorward_tokens_issued_total", "issued"] == told["doorward_tokens_issued_total", "renewed"] == 1
    assert told["doorward_authority_requests_total", "/token", ""] == 2
    assert told["doorward_authority_requests_total", "/token", "invalid_scope"] == 1
    assert told["doorward_tasks_ended_total", "operator", "revoked"] == 1
    assert told["doorward_revocations_total", "operator", "task"] == 1
    assert told["doorward_revocations_live", "authority"] == told["doorward_feed_entry", "authority"] == 1
    assert 0 <= told["doorward_feed_staleness_seconds", "authority"] < 10
    assert told["doorward_credential_usable", "key"] == 1
    assert told["doorward_credential_end_timestamp_seconds", "key"] > door.clock.now()
    assert told["doorward_config_info", door.doorward.snapshot.digest] == 1
    assert told["doorward_ready",] == told["doorward_store_available",] == told["doorward_audit_available",] == 1
    assert told["doorward_audit_records_total",] == door.doorward.ledger.seq
    assert told["doorward_process_resident_memory_bytes", "main"] > 1 << 20


async def test_a_refused_configuration_shows(house: Build) -> None:
    """One that was refused stays visible until the files are what is in force again."""
    door = await house(admin=LISTEN)
    reload = door.doorward.reload
    assert reload is not None
    before = (door.folder / "doorward.yaml").read_text()
    for text, successful in ((f"{before}\nnonsense: 1\n", 0), (f"{before}\nx-note: 1\n", 1)):
        (door.folder / "doorward.yaml").write_text(text)
        if successful:
            await reload.again(by="test")
        else:
            with pytest.raises(DoorwardError):
                await reload.again(by="test")
        assert (await figures(door))["doorward_config_last_reload_successful",] == successful
    told = await figures(door)
    assert told["doorward_config_reloads_total", "refused"] >= 1
    assert told["doorward_config_reloads_total", "loaded"] == 1


async def test_limits_and_scrubbing_are_counted(house: Build) -> None:
    """Which kind of limit refused, and how often an upstream repeated its secret."""

    async def echo(upstream, reader, writer) -> None:
        await upstream.request(reader)
        body = SECRET.encode()
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))

    door = await house(echo, admin=LISTEN, upstream="limits: {rate: 1/h}")
    token, client = await door.token("items.read"), await door.connect()
    for status in (200, 429):
        await client.send(get("/api/items", token))
        assert (await client.answer()).status == status
    told = await figures(door)
    assert told["doorward_scrubbed_total", "flows", "api"] == 1
    assert told["doorward_limit_refusals_total", "rate", "flows", "api"] == 1
    assert told["doorward_lease_waits_total",] >= 1


async def test_a_secret_that_is_gone_shows_before_a_request_needs_it(house: Build) -> None:
    """The file of a secret was taken away, and what was in it is not good for ever."""
    clock = TurnedClock()
    door = await house(clock=clock, admin=LISTEN)
    (door.folder / "secret").unlink()
    clock.ahead += LASTS_WITHOUT + 1
    assert (await figures(door))["doorward_credential_usable", "key"] == 0


async def test_health_and_readiness_are_for_everybody(house: Build) -> None:
    """With the reasons while requests would be refused."""
    clock = TurnedClock()
    door = await house(clock=clock, admin=LISTEN)
    assert (await ask(door, "/healthz")).json() == {"status": "ok"}
    ready = await ask(door, "/readyz")
    assert (ready.status, ready.json()) == (200, {"ready": True, "reasons": [], "notices": []})
    (door.folder / "doorward.db").rename(door.folder / "away.db")
    clock.ahead += 60
    async with asyncio.timeout(20):
        while (await ask(door, "/readyz")).status == 200:
            clock.ahead += 60
            await asyncio.sleep(0.05)
    assert "heartbeat" in " ".join((await ask(door, "/readyz")).json()["reasons"])
    told = await figures(door)
    assert told["doorward_ready",] == 0
    assert told["doorward_feed_staleness_seconds", "authority"] > 10
    (door.folder / "away.db").rename(door.folder / "doorward.db")


async def test_nothing_of_operators_is_answered_there(house: Build) -> None:
    """Tasks and revocations stay behind the socket, where operators are known."""
    door = await house(admin=LISTEN)
    for path in ("/tasks", "/revocations", "/reload", "/token", "/feed"):
        assert (await ask(door, path)).status == 404


async def test_a_long_text_lets_requests_pass(house: Build, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between two pieces of it the loop has its turn."""
    monkeypatch.setattr(health, "LINES_AT_ONCE", 10)
    turns = 0

    class Turning(Clock):
        async def sleep(self, seconds: float) -> None:
            nonlocal turns
            turns += seconds == 0
            await super().sleep(seconds)

    door = await house(clock=Turning(), admin=LISTEN)
    before = turns
    told = await figures(door)
    assert turns - before >= len(told) // 10


async def test_a_sidecar_has_figures_of_its_own(house: Build, tmp_path: Path) -> None:
    """Its line to the authority among them, and whether their policies differ."""
    door = await house(admin=LISTEN)
    async with AsyncExitStack() as stack:
        side = BesideHouse(door, Clock(), stack, OVER_UNIX, "side")
        await side.start()
        token = await door.token("items.read")
        assert await side.get(token) == (200, None)
        told = await scrape(f"http://127.0.0.1:{side.sidecar.health_ports[0]}/metrics")
        assert told["doorward_requests_total", "", "allow", "2xx", "flows", "api"] == 1
        assert told["doorward_policy_differs",] == told["doorward_feed_lost_total", "authority"] == 0
        assert told["doorward_ready",] == 1
        assert ("doorward_store_available",) not in told
        assert (await scrape("http://doorward/metrics", str(tmp_path / "side-admin.sock"))).keys() >= told.keys()
        assert (await figures(door))["doorward_gateways_connected",] == 1


async def test_before_the_first_heartbeat_staleness_is_infinite(house: Build) -> None:
    """So an alert on too great a value needs no second rule for a gateway that never heard anything."""
    door = await house(admin=LISTEN)
    door.doorward.standing.anew()
    assert door.doorward.standing.age == math.inf
