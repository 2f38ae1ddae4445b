"""The tools of the bench measure real proxies: equal work is proved, streams and timetables hold; no figure is judged."""

import argparse

import pytest
from fakes.redis_server import need_redis

from benchmarks import added_latency, event_streams, exchange, large_bodies, revocation, tokens, upstreams
from benchmarks.peers import PEERS
from benchmarks.peers.doorward import configured
from benchmarks.proof import prove
from benchmarks.scene import AGENT, Scene, end, free_port


@pytest.fixture
def scene(tmp_path):
    """One core for all, so that it runs anywhere."""
    return Scene(tmp_path, "0", "0")


@pytest.fixture
def peers(scene):
    """Doorward, the direct way and the obvious proxy, before the source of events."""
    upstream = upstreams.events(scene)
    started = []
    try:
        for name in ("doorward", "direct", "aiohttp"):
            if name != "doorward" and not scene.token:
                tokens.issue(scene)
            peer = PEERS[name](scene)
            peer.start() if name != "direct" else peer.launch()
            started.append(peer)
        yield started
    finally:
        for peer in started:
            peer.stop()
        end(upstream)


def test_equal_work_is_proved_and_measured(peers):
    """Each peer refuses and swaps as the proof says; events arrive on all streams; each scheduled request is answered."""
    for peer in peers:
        prove(peer)
        heard = event_streams.listen(peer, 1)
        assert heard["events"] > 0
        assert heard["broken"] == 0
        asked = added_latency.ask(peer, 1)
        assert asked["requests"] > 0
        assert asked["failed"] == 0


def test_a_peer_that_does_not_do_the_job_is_found_out(peers):
    """A token of nobody is refused by the proof itself, so that no figure can come of a proxy that lets everything pass."""
    doorward, _, _ = peers
    doorward.scene.token = "dwt_nonsense.nonsense.nonsense"
    with pytest.raises(AssertionError, match="does not swap"):
        prove(doorward)


def test_minted_tokens_are_the_authoritys_own(peers, scene):
    """Each is accepted, and no two are the same."""
    minted = list(tokens.mint(scene, 3))
    assert len({*minted, scene.token}) == 4
    for token in minted:
        scene.token = token
        prove(peers[0])


def test_bodies_arrive_as_they_were_sent(scene):
    """Up and down, with a length and in chunks, and to a client that hardly reads."""
    upstream = upstreams.bodies(scene)
    peer = configured(
        scene,
        free_port(),
        intents="{" + ", ".join(
            f'{name}: {{upstream: api, operations: ["{method} /v1/{{rest...}}"]}}'
            for name, method in ((large_bodies.READ, "GET"), (large_bodies.WRITE, "PUT"))
        ) + "}",
        grants=f'[{{name: all, agents: ["{AGENT}"], intents: ["items.*"]}}]',
    )  # fmt: skip
    try:
        peer.start()
        tokens.issue(scene, scope=f"{large_bodies.READ} {large_bodies.WRITE}")
        found = large_bodies.measure(peer, argparse.Namespace(mib=4, slow_clients=2, slow_seconds=1))
    finally:
        peer.stop()
        end(upstream)
    assert len(found["passages"]) == 4
    assert found["slow"]["clients"] == 2


@pytest.mark.parametrize("setting", revocation.SETTINGS)
def test_revocations_are_timed_in_every_setting(setting, monkeypatch):
    """Each is refused by every process and cuts its streams, nobody else notices, and the logs hold no breach."""
    if setting == "two authorities on one Redis":
        need_redis()
    monkeypatch.setattr(revocation, "CORES", ("0", "0"))
    monkeypatch.setattr(revocation, "RATE", 50)
    seen = revocation.measure_once(setting, argparse.Namespace(tasks=6, streams=8, compiled=False))
    assert (len(seen["ended"]), seen["failed"], seen["broken"]) == (6, 0, 0)
    assert seen["judged"]["held"]
    assert seen["judged"]["cut"] >= 6


@pytest.mark.parametrize("setting", exchange.SETTINGS)
def test_identities_are_exchanged_in_every_setting(setting, monkeypatch):
    """Each exchange is answered with a token on its own connection, and nothing that the flood sends is."""
    monkeypatch.setattr(exchange, "CORES", ("0", "0"))
    seen = exchange.measure_once(setting, argparse.Namespace(exchanges=400, compiled=False))
    assert (seen["answered"], seen["failed"], seen["mistaken"]) == (400, 0, 0)
    assert (seen["refused"] > 0) == (setting == "flood")
