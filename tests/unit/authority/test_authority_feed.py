"""The feed: catch-up before the first heartbeat, order, and silence when the store cannot be read."""

import asyncio
from collections.abc import Sequence
from pathlib import Path

import pytest
from fakes.authority import AGENT, NOW, Gateway, StillClock, build_store, first_token, identity, task_row
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.authority import feed as feed_module
from gateway.authority.authority import Authority
from gateway.authority.feed import Feed
from gateway.model import Revocation
from gateway.stores.store import PAGE, Beat, Store, StoreUnavailableError


async def test_a_new_subscriber_catches_up_first(authority: Authority):
    """Keys, then every live revocation in order, then the first heartbeat with the epoch."""
    tasks = [(await authority.exchange.open_task(identity(), ["invoices.read"])).task for _ in range(3)]
    for task in tasks:
        await authority.tasks.fail(task, AGENT)
    gateway = Gateway()
    await authority.feed.subscribe(gateway)
    kinds = [event[0] for event in gateway.heard]
    assert kinds == ["keys", "revoked", "revoked", "revoked", "beat"]
    assert gateway.heard[0] == ("keys", "http://127.0.0.1:8081", authority.key.jwks())
    assert gateway.of("revoked") == [("revoked", number + 1, f"task:{task}") for number, task in enumerate(tasks)]
    assert gateway.of("beat")[0][2] == 3


async def test_catching_up_over_many_pages(tmp_path: Path):
    """More revocations than one read returns all come before the heartbeat."""
    clock = StillClock()
    store = build_store(tmp_path, clock, where="memory")
    await store.open()
    count = 2 * PAGE + 1
    for number in range(count):
        task = task_row(f"{number:032x}")
        await store.open_task(task, first_token(task, f"token{number}"))
        await store.end_task(task.id, "completed", "completed", NOW)
    feed = Feed(store, clock, issuer="i", jwks={})
    await feed.start()
    gateway = Gateway()
    await feed.subscribe(gateway)
    assert [event[1] for event in gateway.of("revoked")] == list(range(1, count + 1))
    assert gateway.heard[-1][0] == "beat"
    await store.close()


async def test_a_revocation_is_delivered_before_it_is_acknowledged(authority: Authority):
    """Whoever ends a task knows on return that the gateways know."""
    gateways = [Gateway(), Gateway()]
    for gateway in gateways:
        await authority.feed.subscribe(gateway)
    issued = await authority.exchange.open_task(identity(), ["invoices.read"])
    await authority.tasks.fail(issued.task, AGENT)
    assert [gateway.of("revoked") for gateway in gateways] == [[("revoked", 1, f"task:{issued.task}")]] * 2
    authority.feed.unsubscribe(gateways[0])
    await authority.feed.beat()
    assert len(gateways[1].of("beat")) > len(gateways[0].of("beat"))


async def test_subscribing_while_tasks_end_misses_nothing(authority: Authority):
    """Subscribers that come in the middle of many endings hear each of them once and in order."""
    tasks = [(await authority.exchange.open_task(identity(), ["invoices.read"])).task for _ in range(60)]
    gateways = [Gateway() for _ in range(20)]

    async def end() -> None:
        for task in tasks:
            await authority.tasks.fail(task, AGENT)

    async def come() -> None:
        for gateway in gateways:
            await authority.feed.subscribe(gateway)

    await asyncio.gather(end(), come(), end())
    await authority.feed.beat()
    for gateway in gateways:
        assert [event[1] for event in gateway.of("revoked")] == list(range(1, 61))
        for at, event in enumerate(gateway.heard):
            if event[0] == "beat":
                assert event[2] <= sum(earlier[0] == "revoked" for earlier in gateway.heard[:at])


async def test_a_heartbeat_brings_what_another_writer_stored(tmp_path: Path, authority: Authority):
    """A revocation that was stored but not published, as after a cancelled request, comes with the next heartbeat."""
    gateway = Gateway()
    await authority.feed.subscribe(gateway)
    issued = await authority.exchange.open_task(identity(), ["invoices.read"])
    other = build_store(tmp_path, StillClock())
    await other.open()
    await other.end_task(issued.task, "failed", "failed", NOW)
    await other.close()
    second = await authority.exchange.open_task(identity(), ["invoices.read"])
    await authority.tasks.fail(second.task, AGENT)
    await authority.feed.beat()
    assert gateway.heard[-3:] == [
        ("revoked", 1, f"task:{issued.task}"),
        ("revoked", 2, f"task:{second.task}"),
        ("beat", gateway.heard[-1][1], 2),
    ]


async def test_no_read_no_heartbeat(tmp_path: Path, authority: Authority, monkeypatch: pytest.MonkeyPatch):
    """While the store cannot be read the feed is silent, and goes on when it can be read again."""
    monkeypatch.setattr(feed_module, "HEARTBEAT", 0.01)
    gateway = Gateway()
    await authority.feed.subscribe(gateway)
    file = tmp_path / "store/doorward.db"
    file.rename(tmp_path / "away")
    await authority.feed.beat()
    assert authority.troubles() == ["the store cannot be read"]
    before = len(gateway.heard)
    await authority.feed.beat()
    assert len(gateway.heard) == before
    with pytest.raises(StoreUnavailableError):
        await authority.feed.subscribe(Gateway())
    (tmp_path / "away").rename(file)
    await authority.feed.beat()
    assert authority.feed.reading
    assert len(gateway.heard) > before


async def test_it_beats_by_itself(authority: Authority):
    """A started authority sends a heartbeat every second without being asked."""
    gateway = Gateway()
    await authority.feed.subscribe(gateway)
    await asyncio.sleep(2.2)
    assert 2 <= len(gateway.of("beat")) - 1 <= 3


class Scripted:
    """A store of revocations alone, whose reads take a turn of the loop."""

    def __init__(self) -> None:
        self.kept: list[Revocation] = []

    async def beat(self) -> Beat:
        await asyncio.sleep(0)
        return Beat("e", len(self.kept))

    async def revocations(self, after: int) -> Sequence[Revocation]:
        await asyncio.sleep(0)
        return tuple(self.kept[after : after + 2])


@given(st.lists(st.sampled_from(["store", "publish", "beat", "subscribe", "turn"]), max_size=40))
@settings(deadline=None)
def test_any_interleaving_is_in_order(steps: list[str]):
    """Whatever is stored, published late or never, and read in between: every gateway hears 1, 2, 3 and so on, once."""

    async def play() -> None:
        store = Scripted()
        kept: Store = store
        feed = Feed(kept, StillClock(), issuer="i", jwks={})
        await feed.start()
        gateways: list[Gateway] = []
        under_way = []
        for step in steps:
            match step:
                case "store":
                    store.kept.append(Revocation(len(store.kept) + 1, NOW, "task", str(len(store.kept)), "failed", NOW))
                case "publish" if store.kept:
                    feed.publish(store.kept[-1])
                case "beat":
                    under_way.append(asyncio.ensure_future(feed.beat()))
                case "subscribe":
                    gateways.append(Gateway())
                    under_way.append(asyncio.ensure_future(feed.subscribe(gateways[-1])))
                case "turn":
                    await asyncio.sleep(0)
        await asyncio.gather(*under_way)
        await feed.beat()
        for gateway in gateways:
            assert [event[1] for event in gateway.of("revoked")] == list(range(1, len(store.kept) + 1))
            for at, event in enumerate(gateway.heard):
                if event[0] == "beat":
                    assert event[2] <= sum(earlier[0] == "revoked" for earlier in gateway.heard[:at])

    asyncio.run(play())
