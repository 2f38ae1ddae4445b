"""What the Redis store promises beyond the contract: nothing lost, or everything refused; and two authorities on one server."""

import asyncio
import json
import logging
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from fakes.authority import AGENT, NOW, StillClock, first_token, task_row
from fakes.redis_server import RedisProcess, need_redis

from gateway.errors import DoorwardError
from gateway.model import AGENT as AN_AGENT
from gateway.model import FOREVER
from gateway.stores import redis_server
from gateway.stores.backends import redis
from gateway.stores.store import BarredError, IssuedToken, Store, StoreUnavailableError, TaskEndedError


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisProcess]:
    """A server of this test alone."""
    need_redis()
    process = RedisProcess(tmp_path / "redis").start()
    yield process
    process.kill()


def store_on(server: RedisProcess, folder: Path | None = None, **config: str) -> Store:
    """A closed store. With a folder it remembers the store of before."""
    members = {"url": server.url, "folder": None if folder is None else str(folder), **config}
    return redis.build(redis.Config.model_validate(members), resolve=Path, clock=StillClock())


async def ended_task(store: Store, name: str) -> int:
    """Opens and ends a task; returns the number of its revocation."""
    task = task_row(name)
    await store.open_task(task, first_token(task, f"token of {name}"))
    revocation = (await store.end_task(name, "revoked", "operator", NOW)).revocation
    assert revocation is not None
    return revocation.seq


async def test_everything_acknowledged_survives_kill_9(server: RedisProcess):
    """A server that is killed while many write has kept each revocation whose method had returned, in the same epoch."""
    store = store_on(server)
    await store.open()
    before = await store.beat()
    kept: list[str] = []

    async def write(first: int) -> None:
        for number in range(first, 100_000, 10):
            await ended_task(store, f"{number:032x}")
            kept.append(f"{number:032x}")

    writers = [asyncio.ensure_future(write(first)) for first in range(10)]
    while len(kept) < 200:
        await asyncio.sleep(0.005)
    server.kill()
    results = await asyncio.gather(*writers, return_exceptions=True)
    assert {type(result) for result in results} == {StoreUnavailableError}
    with pytest.raises(StoreUnavailableError):
        await store.beat()
    server.start()
    after = await store.beat()
    assert after.epoch == before.epoch
    known, seen = set(), 0
    while page := await store.revocations(seen):
        known |= {entry.id for entry in page}
        seen = page[-1].seq
    assert known >= set(kept)
    await store.close()


async def test_an_emptied_server_begins_a_new_epoch(server: RedisProcess):
    """It is told by the next transaction, whichever that is."""
    store = store_on(server)
    await store.open()
    await ended_task(store, "1" * 32)
    before = await store.beat()
    server.ask("FLUSHALL")
    assert await store.task("1" * 32) is None
    after = await store.beat()
    assert (after.seq, after.epoch == before.epoch) == (0, False)
    await store.close()


@pytest.mark.parametrize("remembers", ["the running authority", "a restarted one"])
@pytest.mark.parametrize("ahead", [False, True], ids=["behind", "overtaken"])
async def test_a_server_that_was_set_back_begins_a_new_epoch(
    server: RedisProcess, tmp_path: Path, remembers: str, *, ahead: bool
):
    """Even if others have written so much since then that the numbers of before are reached again."""
    store, other = store_on(server, tmp_path / "authority"), store_on(server)
    await store.open()
    await ended_task(store, "1" * 32)
    before = await store.beat()
    server.keep(tmp_path / "kept")
    await ended_task(store, "2" * 32)
    await store.beat()
    if remembers == "a restarted one":
        await store.close()
    server.set_back(tmp_path / "kept")
    await other.open()
    if ahead:
        for number in range(3, 9):
            await ended_task(other, f"{number}" * 32)
    if remembers == "a restarted one":
        store = store_on(server, tmp_path / "authority")
        await store.open()
    after = await store.beat()
    assert after.epoch != before.epoch
    assert (await other.beat()).epoch == after.epoch == (await store.beat()).epoch
    assert next(entry.id for entry in await store.revocations(0)) == "1" * 32
    await store.close()
    await other.close()


async def test_a_restarted_authority_knows_its_store(server: RedisProcess, tmp_path: Path):
    """Nothing is lost, so nothing begins anew; what it remembers cannot be read: it does not start."""
    epochs = set()
    for _ in range(3):
        store = store_on(server, tmp_path / "authority")
        await store.open()
        epochs.add((await store.beat()).epoch)
        await store.close()
    assert len(epochs) == 1
    (tmp_path / "authority/redis.json").write_text("{")
    store = store_on(server, tmp_path / "authority")
    with pytest.raises(DoorwardError, match=r"redis\.json"):
        await store.open()
    await store.close()


async def test_epochs_are_named_as_everywhere(server: RedisProcess, tmp_path: Path):
    """After one of an earlier build, too; after the last number nothing is done any more, however often it is tried."""
    (tmp_path / "authority").mkdir()
    for known, begun in (("9abcdef0" * 4, "9abcdef1"), ("epoch of before", "00000001"), ("f" * 32, ""), ("f" * 32, "")):
        server.ask("FLUSHALL")
        (tmp_path / "authority/redis.json").write_text(json.dumps({"name": "n", "epoch": known, "count": 7}))
        store = store_on(server, tmp_path / "authority")
        if begun:
            await store.open()
            assert (await store.beat()).epoch.startswith(begun)
        else:
            with pytest.raises(DoorwardError, match="refused"):
                await store.open()
            assert server.ask("EXISTS", f"{redis.PREFIX}store") == ":0"
        await store.close()


async def test_a_full_memory_takes_nothing_and_loses_nothing(server: RedisProcess):
    """No half transaction, and forgetting goes on, which is remembered; when there is room again, all works."""
    store = store_on(server)
    await store.open()
    task, ended = task_row(), task_row("2" * 32)
    for each in (task, ended):
        await store.open_task(each, first_token(each, each.id))
    await store.end_task(ended.id, "failed", "failed", NOW)
    server.ask("CONFIG", "SET", "maxmemory", "1")
    for refused in (store.beat(), store.end_task(task.id, "failed", "failed", NOW), store.once("a", NOW + 9, NOW)):
        with pytest.raises(StoreUnavailableError, match="memory of the server is full"):
            await refused
    with pytest.raises(StoreUnavailableError):
        await store.purge(NOW + 10**6, ["acme"])
    server.ask("CONFIG", "SET", "maxmemory", "0")
    found = await store.task(task.id)
    assert found == task
    assert await store.revocations(0) == ()
    assert (await store.beat()).swept == NOW + 10**6
    assert (await store.end_task(task.id, "failed", "failed", NOW)).first
    await store.close()


@pytest.mark.parametrize(
    ("setting", "value"), [("appendonly", "no"), ("appendfsync", "everysec"), ("maxmemory-policy", "allkeys-lru")]
)
async def test_a_server_that_could_forget_is_refused(tmp_path: Path, setting: str, value: str):
    """The sentence names the setting, what it is and what it has to be."""
    need_redis()
    server = RedisProcess(tmp_path / "redis", **{setting: value}).start()
    store = store_on(server)
    try:
        with pytest.raises(DoorwardError, match=f"{setting} is {value} and has to be"):
            await store.open()
    finally:
        await store.close()
        server.kill()


async def test_the_password_is_used_and_never_shown(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    """Neither in an error, nor in a repr, nor in a log; a wrong one is said to be wrong."""
    need_redis()
    caplog.set_level(logging.DEBUG)
    server = RedisProcess(tmp_path / "redis", requirepass="correct-horse").start()
    (tmp_path / "right").write_text("correct-horse\n")
    (tmp_path / "wrong").write_text("battery-staple\n")
    try:
        store = store_on(server, password_file=str(tmp_path / "right"))
        await store.open()
        shown = [repr(store), repr(vars(store)), repr(vars(store._server))]
        await store.close()
        for name in ("wrong", None):
            store = store_on(server, **({} if name is None else {"password_file": str(tmp_path / name)}))
            with pytest.raises(DoorwardError) as error:
                await store.open()
            shown.append(str(error.value))
            await store.close()
        assert "does not take the user name or the password" in shown[-1]
        with pytest.raises(DoorwardError, match="cannot be read"):
            store_on(server, password_file=str(tmp_path / "none"))
        config = redis.Config(url="rediss://user:correct-horse@redis.example/0")
        text = "".join([*shown, repr(config), str(config), caplog.text])
        assert "correct-horse" not in text
        assert "battery-staple" not in text
    finally:
        server.kill()


@pytest.mark.parametrize(
    "url",
    [
        "redis://redis.example:6379/0", "http://127.0.0.1", "rediss://", "rediss://host/x", "rediss://host:x/0",
        "rediss://host/0?ssl_cert_reqs=none", "unix:", "rediss://[::1/0",
    ],
)  # fmt: skip
def test_addresses_that_are_refused(url: str):
    """Without TLS only on this host, and nothing that the library would understand beside the address."""
    with pytest.raises(ValueError, match="expected"):
        redis.Config(url=url)


async def test_another_authority_is_heard_of_at_once(server: RedisProcess):
    """A write of another authority wakes, an own one does not, and the news survive a restart of the server."""
    one, other = store_on(server), store_on(server)
    await one.open()
    await other.open()
    await asyncio.wait_for(one.changed(), 5)  # it listens
    await asyncio.wait_for(other.changed(), 5)
    woken = asyncio.ensure_future(other.changed())
    started = time.monotonic()
    await ended_task(one, "1" * 32)
    await asyncio.wait_for(woken, 5)
    assert time.monotonic() - started < 2
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(one.changed(), 0.05)
    server.kill()
    server.start()
    await asyncio.wait_for(other.changed(), 10)
    woken = asyncio.ensure_future(other.changed())
    await one.stop(AN_AGENT, "another", "acme", "operator", FOREVER, NOW)
    await asyncio.wait_for(woken, 5)
    await one.close()
    await other.close()


async def test_two_authorities_race_and_nothing_slips_through(server: RedisProcess):
    """Renewals of both race with an end by one: each is refused or covered, and what is drawn by both is exact."""
    one, other = store_on(server), store_on(server)
    await one.open()
    await other.open()
    for round_ in range(5):
        task = task_row(f"{round_:032x}")
        await one.open_task(task, first_token(task, f"first of {round_}"))

        async def renew(store: Store, number: int, task: str = task.id) -> float:
            try:
                await store.issue(IssuedToken(f"{task} {number}", task, NOW + 300 + number), NOW)
            except (TaskEndedError, BarredError):
                return 0.0
            return NOW + 300 + number

        racers = [asyncio.ensure_future(renew((one, other)[number % 2], number)) for number in range(40)]
        await asyncio.sleep(0.002 * round_)
        ends = [asyncio.ensure_future(store.end_task(task.id, "revoked", "operator", NOW)) for store in (one, other)]
        racers += [asyncio.ensure_future(renew((one, other)[number % 2], number)) for number in range(40, 80)]
        issued = await asyncio.gather(*racers)
        ending, again = await asyncio.gather(*ends)
        assert ending.revocation is not None
        assert ending.revocation == again.revocation
        assert ending.revocation.until == max(NOW + 300, *issued)
        assert sorted((ending.first, again.first)) == [False, True]
    drawn = await asyncio.gather(*((one, other)[n % 2].draw("task:1", 7, 1000, NOW + 60, NOW) for n in range(300)))
    assert sum(drawn) == 1000
    assert sum(await asyncio.gather(*((one, other)[n % 2].once("jti", NOW + 60, NOW) for n in range(40)))) == 1
    await one.close()
    await other.close()


async def test_a_replica_has_it_before_it_is_acknowledged(
    server: RedisProcess, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """A replica that does not answer any more makes a revocation fail, though it may have been stored."""
    replica = RedisProcess(tmp_path / "replica").start()
    replica.ask("REPLICAOF", "127.0.0.1", str(server.port))
    store = store_on(server)
    await store.open()
    deadline = time.monotonic() + 30
    while server.ask("WAIT", "1", "100") != ":1":
        assert time.monotonic() < deadline
        server.ask("SET", "moved", "on")
    await ended_task(store, "1" * 32)
    assert replica.ask("ZCARD", f"{redis.PREFIX}feed") == ":1"
    monkeypatch.setattr(redis_server, "REPLICA", 50)
    replica.stop()
    with pytest.raises(StoreUnavailableError, match="no replica"):
        await store.stop(AN_AGENT, AGENT, "acme", "operator", FOREVER, NOW)
    replica.go_on()
    replica.kill()
    await store.close()


def _frozen(server: RedisProcess) -> None:
    server.stop()


def _killed(server: RedisProcess) -> None:
    server.kill()


@pytest.mark.parametrize("harm", [_frozen, _killed])
async def test_every_wait_is_bounded(
    server: RedisProcess, monkeypatch: pytest.MonkeyPatch, harm: Callable[[RedisProcess], None]
):
    """A server that is frozen or gone makes each method fail in time, and more are not taken than may wait."""
    monkeypatch.setattr(redis_server, "PATIENCE", 0.2)
    monkeypatch.setattr(redis_server, "WAITING", 20)
    store = store_on(server)
    await store.open()
    harm(server)
    asked = [store.draw("a", 1, 10, NOW + 9, NOW) for _ in range(30)]
    found = await asyncio.wait_for(asyncio.gather(*asked, store.beat(), return_exceptions=True), 10)
    assert {type(one) for one in found} == {StoreUnavailableError}
    assert sum("too many" in str(one) for one in found) == 10
    server.go_on()
    await store.close()
    with pytest.raises(StoreUnavailableError):
        await store.beat()


async def test_a_database_of_another_version_is_refused(server: RedisProcess):
    """It is not touched, and the sentence says so."""
    server.ask("HSET", f"{redis.PREFIX}store", "version", "9")
    store = store_on(server)
    with pytest.raises(DoorwardError, match="VERSION"):
        await store.open()
    await store.close()


async def test_only_so_much_is_forgotten_at_once(server: RedisProcess, monkeypatch: pytest.MonkeyPatch):
    """Nobody waits long behind a purge; it says that there is more to do, and leaves nothing behind in the end."""
    monkeypatch.setattr(redis, "_FORGOTTEN_AT_ONCE", 4)
    store = store_on(server)
    await store.open()
    for number in range(10):
        await ended_task(store, f"{number:032x}")
    await store.stop(AN_AGENT, AGENT, "acme", "operator", FOREVER, NOW)
    await store.restore(AN_AGENT, AGENT, "acme", NOW)
    while (await store.purge(NOW + 10**6, ["acme"])).more:
        pass
    assert server.ask("DBSIZE") == ":2"  # the epoch with its number, and what each authority remembers
    await store.close()
