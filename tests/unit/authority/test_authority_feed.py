"""The feed: catch-up before the first heartbeat, order, and silence when the store cannot be read."""

import asyncio
import sqlite3
from collections.abc import Sequence
from pathlib import Path

import pytest
from fakes.authority import AGENT, NOW, Gateway, Log, StillClock, build_store, first_token, identity, task_row
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.authority import feed as feed_module
from gateway.authority.authority import Authority
from gateway.authority.feed import AHEAD, Feed
from gateway.errors import Refusal
from gateway.model import Revocation
from gateway.stores.store import KEEP_SPENT, PAGE, Beat, Store, StoreUnavailableError


async def test_a_new_subscriber_catches_up_first(authority: Authority):
    """Keys, then every live revocation in order, then the first heartbeat with the epoch."""
    tasks = [(await authority.exchange.open_task(identity(), ["invoices.read"])).task for _ in range(3)]
    for task in tasks:
        await authority.tasks.fail(task, AGENT)
    gateway = Gateway()
    await authority.feed.subscribe(gateway)
    kinds = [event[0] for event in gateway.heard]
    assert kinds == ["keys", "revoked", "revoked", "revoked", "beat"]
    assert gateway.heard[0] == ("keys", "http://127.0.0.1:8081", authority.keys.jwks())
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
    feed = Feed(store, clock, issuer="i", jwks={}, tenants=frozenset(("acme",)))
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


async def test_renewals_are_announced_when_they_are_good(authority: Authority, clock: StillClock):
    """With the end of the new token, once it is stored and recorded; a narrower one is none that keeps anything open."""
    gateway = Gateway()
    await authority.feed.subscribe(gateway)
    issued = await authority.exchange.open_task(identity(), ["invoices.read", "invoices.write"])
    clock.seconds += 200
    await authority.exchange.renew(identity(), issued.task, ["invoices.read"])
    assert gateway.of("renewed") == []
    await authority.exchange.renew(identity(), issued.task, [])
    assert gateway.of("renewed") == [("renewed", issued.task, NOW + 500)]


async def test_a_renewal_that_is_not_recorded_is_not_announced(authority: Authority, log: Log):
    """A token that nobody gets keeps nothing open."""
    gateway = Gateway()
    await authority.feed.subscribe(gateway)
    issued = await authority.exchange.open_task(identity(), ["invoices.read"])
    log.full = True
    with pytest.raises(Refusal):
        await authority.exchange.renew(identity(), issued.task, [])
    assert gateway.of("renewed") == []


async def test_a_renewal_is_taken_back_with_a_token(authority: Authority):
    """It could be the newest one, so from then on each token keeps open only what it has opened itself."""
    gateway = Gateway()
    await authority.feed.subscribe(gateway)
    issued = await authority.exchange.open_task(identity(), ["invoices.read"])
    renewed = await authority.exchange.renew(identity(), issued.task, [])
    await authority.tasks.revoke_token(renewed.token, AGENT)
    assert gateway.of("renewed")[-1] == ("renewed", issued.task, 0.0)


async def test_a_new_subscriber_hears_of_live_renewals(authority: Authority, clock: StillClock):
    """Before its first heartbeat; a gateway that was cut off meanwhile need not cut what is still good."""
    tasks = [(await authority.exchange.open_task(identity(), ["invoices.read"])).task for _ in range(2)]
    await authority.exchange.renew(identity(), tasks[0], [])
    clock.seconds += 200
    await authority.exchange.renew(identity(), tasks[1], [])
    clock.seconds += 150
    gateway = Gateway()
    await authority.feed.subscribe(gateway)
    assert gateway.of("renewed") == [("renewed", tasks[1], NOW + 500)]
    assert gateway.heard[-1][0] == "beat"


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


async def test_a_store_that_was_set_back_is_told_as_a_new_epoch(tmp_path: Path):
    """What was delivered and is not known any more: no token of that epoch is good, and all that is known comes anew."""
    clock = StillClock()
    store = build_store(tmp_path, clock)
    await store.open()
    for name in ("1" * 32, "2" * 32):
        task = task_row(name)
        await store.open_task(task, first_token(task, name))
    await store.end_task("1" * 32, "failed", "failed", NOW)
    copy = (tmp_path / "copy.db").absolute()
    backup = sqlite3.connect(tmp_path / "store/doorward.db")
    backup.execute("VACUUM INTO ?", (str(copy),))
    feed = Feed(store, clock, issuer="i", jwks={}, tenants=frozenset(("acme",)))
    before = await feed.start()
    gateway = Gateway()
    await feed.subscribe(gateway)
    await feed.publish((await store.end_task("2" * 32, "failed", "failed", NOW)).revocation, feed.epoch)
    with sqlite3.connect(copy) as older:
        older.backup(backup)
    backup.close()
    del gateway.heard[:]
    await feed.beat()
    told, beat = gateway.heard
    assert told == ("revoked", 1, f"task:{'1' * 32}")
    assert beat == ("beat", feed.epoch, 1)
    assert feed.epoch != before
    await store.close()


async def test_a_store_that_counts_anew_is_noticed_before_a_revocation_is_acknowledged(tmp_path: Path):
    """It was set back between two heartbeats, and what is revoked now gets a number that was delivered before."""
    clock = StillClock()
    store = build_store(tmp_path, clock)
    await store.open()
    tasks = ("1" * 32, "2" * 32)
    for name in tasks:
        task = task_row(name)
        await store.open_task(task, first_token(task, name))
    copy = (tmp_path / "copy.db").absolute()
    backup = sqlite3.connect(tmp_path / "store/doorward.db")
    backup.execute("VACUUM INTO ?", (str(copy),))
    feed = Feed(store, clock, issuer="i", jwks={}, tenants=frozenset(("acme",)))
    before = await feed.start()
    gateway = Gateway()
    await feed.subscribe(gateway)
    await feed.publish((await store.end_task(tasks[0], "failed", "failed", NOW)).revocation, feed.epoch)
    with sqlite3.connect(copy) as older:
        older.backup(backup)
    backup.close()
    again = (await store.end_task(tasks[1], "failed", "failed", NOW)).revocation
    assert again.seq == 1
    await feed.publish(again, before)
    assert ("revoked", 1, f"task:{tasks[1]}") in gateway.heard
    assert feed.epoch != before
    await store.close()


async def test_what_cannot_be_delivered_is_recorded_and_not_acknowledged(
    authority: Authority, log: Log, monkeypatch: pytest.MonkeyPatch
):
    """Another authority has stored something before it, and that cannot be read now: whoever asked has to ask again."""
    issued = await authority.exchange.open_task(identity(), ["invoices.read"])
    gateway = Gateway()
    await authority.feed.subscribe(gateway)

    async def unreadable() -> Beat:
        raise StoreUnavailableError("away")

    with monkeypatch.context() as away:
        away.setattr(authority.store, "beat", unreadable)
        monkeypatch.setattr(authority.feed, "_seq", -1)
        with pytest.raises(StoreUnavailableError):
            await authority.tasks.fail(issued.task, AGENT)
    assert gateway.of("revoked") == [("revoked", AHEAD, f"task:{issued.task}")]
    assert [record["kind"] for kind, record in log.records if kind == "revocation"] == ["task"]
    assert (await authority.tasks.fail(issued.task, AGENT)).state == "failed"
    assert gateway.of("revoked")[-1] == ("revoked", 1, f"task:{issued.task}")


async def test_a_gateway_that_remembers_more_begins_a_new_epoch(authority: Authority):
    """It has heard of an entry from an authority that is gone; one that has heard less changes nothing."""
    await authority.feed.remembered(authority.feed.epoch, 0)
    await authority.feed.remembered("of long ago", 7)
    before = authority.feed.epoch
    gateway = Gateway()
    await authority.feed.subscribe(gateway)
    assert gateway.of("beat")[-1][1] == before
    await authority.feed.remembered(before, 7)
    assert authority.feed.epoch != before
    await authority.feed.beat()
    assert gateway.of("beat")[-1][1] == authority.feed.epoch


@pytest.mark.parametrize(("ahead", "begins"), [(KEEP_SPENT, False), (KEEP_SPENT + 1, True)])
async def test_another_authority_whose_date_is_far_ahead_costs_an_epoch(
    authority: Authority, clock: StillClock, capsys: pytest.CaptureFixture[str], ahead: float, *, begins: bool
):
    """What it has forgotten in the store could be good by the date here; with less it has forgotten nothing of that."""
    gateway = Gateway()
    await authority.feed.subscribe(gateway)
    before = authority.feed.epoch
    await authority.store.purge(clock.now() + ahead, ["of the other"])
    await authority.endings.expire()
    assert gateway.of("beat")[-1][1] == authority.feed.epoch, "it is told at once"
    said = capsys.readouterr().out
    assert ("the store was swept by a later date" in said) is begins
    assert said.count("epoch_began") == begins, "once, with its reason"
    assert (authority.feed.epoch != before) is begins
    assert gateway.of("beat")[-1][1] == authority.feed.epoch


class Scripted:
    """A store of revocations alone, whose reads take a turn of the loop. Each is of use until the second of its number."""

    def __init__(self) -> None:
        self.kept: list[Revocation] = []
        self.forgotten = 0

    def store(self) -> None:
        number = len(self.kept) + 1
        self.kept.append(Revocation(number, NOW, "task", str(number), "failed", float(number)))

    def sweep(self) -> None:
        self.forgotten += (len(self.kept) - self.forgotten) // 2

    async def beat(self) -> Beat:
        await asyncio.sleep(0)
        return Beat("e", len(self.kept), KEEP_SPENT + self.forgotten + 1)

    async def begin_epoch(self, lost: str, seen: int) -> Beat:
        raise AssertionError(f"{lost} is not lost at {seen}")

    async def look_back(self, _now: float) -> Beat:
        return await self.beat()

    async def revocations(self, after: int) -> Sequence[Revocation]:
        await asyncio.sleep(0)
        return tuple(self.kept[max(after, self.forgotten) :][:2])


@given(st.lists(st.sampled_from(["store", "publish", "beat", "subscribe", "come back", "sweep", "turn"]), max_size=40))
@settings(deadline=None)
def test_any_interleaving_is_in_order(steps: list[str]):
    """Whatever is stored, forgotten, published late or never, and read in between, and whoever comes back from elsewhere.

    Every gateway hears what follows what it knew in order and once, up to each heartbeat; what it cannot hear any more lies
    before the horizon. Beside that it may be told ahead.
    """

    async def play() -> None:
        store = Scripted()
        kept: Store = store
        feed = Feed(kept, StillClock(), issuer="i", jwks={}, tenants=frozenset(("acme",)))
        await feed.start()
        gateways: list[tuple[int, Gateway]] = []
        under_way = []
        for step in steps:
            match step:
                case "store":
                    store.store()
                case "sweep":
                    store.sweep()
                case "publish" if store.kept:
                    under_way.append(asyncio.ensure_future(feed.publish(store.kept[-1], "e")))
                case "beat":
                    under_way.append(asyncio.ensure_future(feed.beat()))
                case "subscribe" | "come back":  # with all that another authority has told
                    after, gateway = 0 if step == "subscribe" else len(store.kept), Gateway()
                    gateways.append((after, gateway))
                    under_way.append(asyncio.ensure_future(feed.subscribe(gateway, "e", after)))
                case "turn":
                    await asyncio.sleep(0)
        await asyncio.gather(*under_way)
        await feed.beat()
        for after, gateway in gateways:
            check_that_none_is_missed(after, gateway)
            assert gateway.of("beat")[-1][2] == len(store.kept)

    asyncio.run(play())


def check_that_none_is_missed(after: int, gateway: Gateway) -> None:
    """What it knew, and what it heard in order, is all there is up to each heartbeat and from its horizon on."""
    known, horizons = list(range(1, after + 1)), iter(gateway.horizons)
    for event in gateway.heard:
        if event[0] == "revoked" and event[1] != AHEAD:
            assert event[1] > max(known, default=0)
            known.append(event[1])
        elif event[0] == "beat":
            horizon = next(horizons)
            assert [missed for missed in range(1, event[2] + 1) if missed not in known and missed >= horizon] == []
