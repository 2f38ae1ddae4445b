"""Sidecars: gateways that follow the feed of a Doorward elsewhere, over its Unix socket or by mTLS."""

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from datetime import timedelta
from pathlib import Path

import pytest
from fakes.certificates import Certificates
from fakes.clock import SetClock, TurnedClock
from fakes.house import Build, House
from fakes.sidecars import OVER_UNIX, BesideHouse

from gateway.clock import Clock
from gateway.endpoints import feed as feed_module
from gateway.endpoints.feed import Gateways
from gateway.fetch import Fetch
from gateway.stores.store import KEEP_SPENT

OK = (200, None)
REVOKED = (401, "token_revoked")
STALE = (503, "revocations_stale")
OVER = (401, "token_invalid")

Beside = Callable[..., BesideHouse]


@pytest.fixture
async def beside() -> AsyncIterator[Beside]:
    """Makes sidecars, which stop before the Doorward that they follow, or after it."""
    async with AsyncExitStack() as stack:

        def make(door: House, authority: str = OVER_UNIX, *, clock: Clock | None = None, name: str = "side", **changes: str):
            return BesideHouse(door, clock or Clock(), stack, authority, name, **changes)

        yield make


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0.01)


async def ended(door: House, issued: dict) -> None:
    assert await door.tell(f"/tasks/{issued['task']}/revoke", "admin.sock") == 200


async def test_a_sidecar_knows_what_its_authority_knows(house: Build, beside: Beside):
    """What was revoked before it came and what is revoked while it is there; it is ready only when it knows."""
    door = await house()
    gone, live = await door.issue("items.read"), await door.issue("items.read")
    await ended(door, gone)
    side = beside(door)
    await side.start()
    assert await side.ready() == {"ready": True, "reasons": [], "notices": []}
    assert await side.get(gone["access_token"]) == REVOKED
    assert await side.get(live["access_token"]) == OK
    await ended(door, live)
    standing = side.sidecar._gateway.standing
    await until(lambda: f"task:{live['task']}" in standing.ended)
    assert await side.get(live["access_token"]) == REVOKED


async def test_an_authority_that_is_gone_makes_it_stale_and_one_that_is_back_fresh(house: Build, beside: Beside):
    """It serves until `max_staleness`, counted in boot time, then refuses and says why; a new authority heals it."""
    clock = TurnedClock()
    door = await house()
    token = await door.token("items.read")
    side = beside(door, clock=clock)
    await side.start()
    assert await side.get(token) == OK
    await door.doorward.stop()
    assert await side.get(token) == OK
    clock.ahead = 11.0
    assert await side.get(token) == STALE
    told = await side.ready()
    assert not told["ready"]
    assert "the authority's last heartbeat is too old" in told["reasons"]
    assert any("authority.sock" in reason for reason in told["reasons"])
    again = await house(clock=Clock())
    await until(lambda: not side.sidecar._gateway.standing.stale)
    assert await side.get(token) == OK
    assert again.folder == door.folder


async def test_without_an_authority_it_listens_and_refuses(house: Build, beside: Beside, monkeypatch: pytest.MonkeyPatch):
    """A sidecar that starts first is there, and fails closed."""
    monkeypatch.setattr("gateway.authority.remote.PATIENCE", 0.1)
    door = await house()
    token = await door.token("items.read")
    await door.doorward.stop()
    side = beside(door)
    await side.start()
    assert await side.get(token) == STALE
    assert "cannot be reached" in side.sidecar.warnings[-1]


async def test_what_an_authority_ahead_of_its_time_has_forgotten_is_accepted_nowhere(house: Build, beside: Beside):
    """Its sweep forgot a revocation that matters by the right date. Who comes now never hears of it, and refuses everything."""
    clock = SetClock()
    door = await house(clock=clock)
    early, late = beside(door, name="early"), beside(door, name="late")
    await early.start()
    dead, live = await door.issue("items.read"), await door.token("items.read")
    await ended(door, dead)
    clock.ahead = KEEP_SPENT + 86_400
    await door.doorward.authority.endings.expire()
    await late.start()
    assert f"task:{dead['task']}" not in late.sidecar._gateway.standing.ended
    for side in (early, late):
        await until(lambda standing=side.sidecar._gateway.standing: standing.unfit)
        for token in (dead["access_token"], live):
            assert await side.get(token) == STALE
        assert re.match(r"the store forgot what ended up to 86\d{3} seconds from now", (await side.ready())["reasons"][0])
    clock.ahead = 0.0
    await door.doorward.authority.endings.expire()
    again = await door.token("items.read")
    for side in (early, late):
        await until(lambda standing=side.sidecar._gateway.standing: not standing.stale)
        for token in (dead["access_token"], live):
            assert await side.get(token) == OVER
        assert await side.get(again) == OK


async def test_a_date_that_is_ahead_by_less_costs_nothing(house: Build, beside: Beside):
    """The sweep has forgotten nothing that matters anywhere: what is revoked is refused as that, and the rest is served."""
    clock = SetClock()
    door = await house(clock=clock)
    dead, live = await door.issue("items.read"), await door.token("items.read")
    await ended(door, dead)
    clock.ahead = KEEP_SPENT - 600
    await door.doorward.authority.endings.expire()
    side = beside(door)
    await side.start()
    assert await side.get(dead["access_token"]) == REVOKED
    assert await side.get(live) == OK


async def test_another_policy_shows(house: Build, beside: Beside):
    """Both have to allow, so it is no reason to refuse; whoever looks is told."""
    door = await house()
    side = beside(door, **{"the agent reads and writes": "the agent reads"})
    await side.start()
    told = await side.ready()
    assert told["ready"]
    assert "both have to allow" in told["notices"][0]


async def test_only_gateways_hear_the_feed(house: Build, monkeypatch: pytest.MonkeyPatch):
    """Another user of this host is turned away."""
    monkeypatch.setattr(
        "gateway.authority_side.Gateways", lambda _users, names, clock: Gateways(frozenset((4_000_000,)), names, clock)
    )
    door = await house()
    async with Fetch() as fetch:
        answer = await fetch.request("GET", "http://doorward/feed", unix=str(door.folder / "authority.sock"))
    assert (answer.status, answer.json()["error"]) == (403, "not_a_gateway")


@pytest.mark.parametrize("query", ["epoch=xyz", "after=-1", "after=1&after=2", "since=1", "after=" + "1" * 16])
async def test_a_position_is_checked(house: Build, query: str):
    """Epoch and number have one form."""
    door = await house()
    async with Fetch() as fetch:
        answer = await fetch.request("GET", f"http://doorward/feed?{query}", unix=str(door.folder / "authority.sock"))
    assert (answer.status, answer.json()["error"]) == (400, "invalid_request")


async def test_lines_are_counted(house: Build, beside: Beside, monkeypatch: pytest.MonkeyPatch):
    """One gateway too many is told to come later, and it refuses until then."""
    monkeypatch.setattr(feed_module, "MOST_LINES", 1)
    monkeypatch.setattr("gateway.authority.remote.PATIENCE", 0.3)
    door = await house()
    first, second = beside(door), beside(door, name="second")
    await first.start()
    await second.start()
    assert (await first.ready())["ready"]
    assert not (await second.ready())["ready"]
    assert "status 503" in second.sidecar.warnings[-1]


async def test_a_gateway_that_stands_still_is_cut(house: Build, monkeypatch: pytest.MonkeyPatch):
    """It takes nothing of what is written to it for a while: the authority hangs up, and keeps nothing for it."""
    monkeypatch.setattr(feed_module, "STALLED", 0.2)
    door = await house()
    reader, writer = await asyncio.open_unix_connection(str(door.folder / "authority.sock"), limit=1024)
    writer.write(b"GET /feed HTTP/1.1\r\nHost: doorward\r\n\r\n")
    await reader.readuntil(b"event: beat")
    writer.transport.pause_reading()
    feed = door.doorward.authority.feed
    await until(lambda: len(feed._subscribers) == 2)
    big = {"keys": ["x" * 200_000]}

    async def flood() -> None:
        while len(feed._subscribers) == 2:
            feed._subscribers[1].keys("http://elsewhere", big)
            await asyncio.sleep(0.01)

    await asyncio.wait_for(flood(), 20)
    writer.close()
    with contextlib.suppress(ConnectionError):
        await writer.wait_closed()


@pytest.fixture
def certificates(tmp_path: Path) -> Certificates:
    """Of the authority and of gateways; their files lie beside the configuration."""
    made = Certificates(tmp_path)
    made.write("authority", "127.0.0.1")
    made.write("side", "side.gateways.test")
    made.write("stranger", "stranger.test")
    return made


async def over_tls(house: Build) -> tuple[House, str]:
    """An authority that knows one gateway by its certificate, and what a sidecar writes to follow it."""
    door = await house(
        authority='listen: [unix:authority.sock, "127.0.0.1:0"]\n  issuer: https://authority.test\n'
        "  tls: {certificate: authority.pem, key: authority.key, client_ca: ca.pem}\n"
        "  gateways: {certificates: [side.gateways.test]}"
    )
    port = door.doorward._authority.ports[0]
    own = f"remote: 'https://127.0.0.1:{port}', ca: ca.pem, issuer: https://authority.test"
    return door, f"{{{own}, certificate: NAME.pem, key: NAME.key}}"


async def test_a_sidecar_comes_with_its_certificate(house: Build, beside: Beside, certificates: Certificates):
    """Over mTLS it hears the same; the certificate is read again for the next line when its files change."""
    assert certificates.folder
    door, authority = await over_tls(house)
    issued = await door.issue("items.read")
    side = beside(door, authority.replace("NAME", "side"))
    await side.start()
    assert await side.get(issued["access_token"]) == OK
    await ended(door, issued)
    standing = side.sidecar._gateway.standing
    await until(lambda: f"task:{issued['task']}" in standing.ended)
    assert await side.get(issued["access_token"]) == REVOKED


async def test_its_certificate_is_looked_after_whatever_was_reloaded(house: Build, beside: Beside, certificates: Certificates):
    """A reload lets go of the files of upstreams that are gone, and not of those with which the authority is followed."""
    door, authority = await over_tls(house)
    side = beside(door, authority.replace("NAME", "side"))
    await side.start()
    file = door.folder / "side.yaml"
    file.write_text(file.read_text().replace("intents: [items.burn, items.burn]", "intents: [items.burn]"))
    assert side.sidecar._reload is not None
    await side.sidecar._reload.again(by="test")
    tls = side.sidecar.ground.tls
    before = tls.ends()["authority"]
    certificates.write("side", "side.gateways.test", ends_in=timedelta(days=9))
    tls.look()
    assert tls.ends()["authority"] != before


async def test_a_certificate_alone_makes_no_gateway(house: Build, beside: Beside, certificates: Certificates):
    """Agents have certificates of the same authority; only the names that are listed hear the feed."""
    assert certificates.folder
    door, authority = await over_tls(house)
    side = beside(door, authority.replace("NAME", "stranger"))
    await side.start()
    assert await side.get(await door.token("items.read")) == STALE
    assert any("status 403" in reason for reason in (await side.ready())["reasons"])


async def test_two_authorities_on_one_store_tell_both_sidecars(house: Build, beside: Beside):
    """What ends at one authority is refused behind the other, too; what was issued by one is accepted behind both."""
    door = await house()
    other = await house(authority="listen: [unix:other.sock]\n  issuer: http://authority.test", name="other")
    issued = await door.issue("items.read")
    sides = [beside(door), beside(door, OVER_UNIX.replace("authority.sock", "other.sock"), name="second")]
    for side in sides:
        await side.start()
        assert await side.get(issued["access_token"]) == OK
    await ended(door, issued)
    for side in sides:
        await until(lambda standing=side.sidecar._gateway.standing: f"task:{issued['task']}" in standing.ended)
        assert await side.get(issued["access_token"]) == REVOKED
    assert other.folder == door.folder


async def test_limits_are_lent_over_the_line(house: Build, beside: Beside):
    """A limit is one for the authority's own gateway and all sidecars: together they pass as many requests as it says."""
    door = await house(declare="required\n    limits: {requests: 10}")
    token = await door.token("items.read")
    sides = [beside(door), beside(door, name="second")]
    answers = []
    for side in sides:
        await side.start()
    for _ in range(8):
        answers += [await side.get(token) for side in sides]
    assert answers.count(OK) == 10
    assert set(answers) == {OK, (429, "limit_exceeded")}
