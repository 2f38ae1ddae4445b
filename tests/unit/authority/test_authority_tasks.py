"""Completing, failing, revoking, looking at tasks and tokens: who may, and what follows from it."""

import asyncio
from pathlib import Path

import jwt
import pytest
from fakes.authority import AGENT, NOW, OTHER, Gateway, Grants, Log, StillClock, build_authority, identity

from gateway.authority import recording
from gateway.authority.authority import Authority
from gateway.authority.refused import RefusedError
from gateway.errors import Refusal
from gateway.stores.store import StoreUnavailableError, TaskEndedError, TaskFilter, TaskUnknownError


@pytest.mark.parametrize("state", ["completed", "failed"])
async def test_an_agent_ends_its_task(authority: Authority, log: Log, state: str):
    """The token is dead, the gateways are told, and task and revocation are recorded with who did it."""
    gateway = Gateway()
    await authority.feed.subscribe(gateway)
    issued = await authority.exchange.open_task(identity(), ["invoices.read"])
    end = authority.tasks.complete if state == "completed" else authority.tasks.fail
    task = await end(issued.task, AGENT)
    assert (task.state, task.cause, task.ended) == (state, state, NOW)
    assert await authority.tasks.live_token(issued.token) is None
    assert gateway.of("revoked") == [("revoked", 1, f"task:{issued.task}")]
    assert log.of("task")[-1]["event"] == state
    (revocation,) = log.of("revocation")
    assert (revocation["kind"], revocation["id"], revocation["cause"], revocation["by"]) == ("task", issued.task, state, AGENT)


async def test_ending_again_has_no_effect(authority: Authority, log: Log):
    """The same end once more is fine; another one is told how the task has ended."""
    issued = await authority.exchange.open_task(identity(), ["invoices.read"])
    first = await authority.tasks.complete(issued.task, AGENT)
    assert await authority.tasks.complete(issued.task, AGENT) == first
    with pytest.raises(TaskEndedError, match="completed"):
        await authority.tasks.fail(issued.task, AGENT)
    assert (await authority.tasks.revoke(issued.task, "alice")).state == "completed"
    assert len(log.of("revocation")) == 1


async def test_many_ends_at_once_are_one(authority: Authority, log: Log):
    """Concurrent ends agree on one, which is recorded once."""
    issued = await authority.exchange.open_task(identity(), ["invoices.read"])
    ends = [authority.tasks.fail(issued.task, AGENT) for _ in range(20)]
    assert len(set(await asyncio.gather(*ends))) == 1
    assert len(log.of("revocation")) == 1


async def test_a_stranger_cannot_end_a_task(authority: Authority):
    """To others the task looks like one that does not exist."""
    issued = await authority.exchange.open_task(identity(), ["invoices.read"])
    for task, agent in ((issued.task, OTHER), ("f" * 32, AGENT)):
        with pytest.raises(TaskUnknownError):
            await authority.tasks.complete(task, agent)
    assert (await authority.tasks.show(issued.task)).state == "open"


async def test_a_task_past_its_life_cannot_be_completed(authority: Authority, clock: StillClock, log: Log):
    """It has expired, and the record says so."""
    await authority.endings.expire()
    issued = await authority.exchange.open_task(identity(), ["invoices.read"])
    clock.seconds += 8 * 3600
    with pytest.raises(TaskEndedError, match="expired"):
        await authority.tasks.complete(issued.task, AGENT)
    assert log.of("task")[-1]["event"] == "expired"
    assert [record["cause"] for record in log.of("revocation")] == ["completed"]


async def test_what_expires_by_itself_is_revoked_and_recorded_once(authority: Authority, clock: StillClock, log: Log):
    """By the gateways' clocks its last token may be good; one whose tokens are long over needs no revocation."""
    issued, silent = [await authority.exchange.open_task(identity(), ["invoices.read"]) for _ in range(2)]
    clock.seconds += 8 * 3600 - 1
    await authority.exchange.renew(identity(), issued.task, ["invoices.read"])
    clock.seconds += 1
    await authority.endings.expire()
    assert (await authority.tasks.revoke(issued.task, "alice")).state == "expired"
    (record,) = log.of("revocation")
    assert (record["task"], record["by"], record["cause"]) == (issued.task, "doorward", "expired")
    assert sorted(str(record["task"]) for record in log.of("task") if record["event"] == "expired") == sorted(
        (issued.task, silent.task)
    )


async def test_a_token_of_another_epoch_gives_nothing(authority: Authority):
    """Neither a child task nor the answer that it is active: no gateway takes it either."""
    issued = await authority.exchange.open_task(identity(), ["invoices.read"])
    assert await authority.tasks.live_token(issued.token) is not None
    beat = await authority.store.beat()
    await authority.store.begin_epoch(beat.epoch, beat.seq + 1)
    await authority.feed.beat()
    assert await authority.tasks.live_token(issued.token) is None


async def test_an_operator_revokes(authority: Authority, log: Log):
    """Any task of the tenant ends as revoked, and the record names the operator."""
    issued = await authority.exchange.open_task(identity(), ["invoices.read"])
    task = await authority.tasks.revoke(issued.task, "alice")
    assert (task.state, task.cause) == ("revoked", "operator")
    assert log.of("revocation")[0]["by"] == "user:alice"
    with pytest.raises(TaskUnknownError):
        await authority.tasks.revoke("f" * 32, "alice")


async def test_a_full_log_never_blocks_a_revocation(authority: Authority, log: Log):
    """The end is in force at once, and its records are written in order as soon as the log takes them."""
    gateway = Gateway()
    await authority.feed.subscribe(gateway)
    issued = await authority.exchange.open_task(identity(), ["invoices.read"])
    log.full = True
    await authority.tasks.revoke(issued.task, "alice")
    assert gateway.of("revoked")
    assert await authority.tasks.live_token(issued.token) is None
    assert not log.of("revocation")
    log.full = False
    await authority.exchange.open_task(identity(), ["invoices.read"])
    assert [kind for kind, _ in log.records] == ["task", "token", "task", "revocation", "task", "token"]


async def test_an_ending_that_is_not_stored_is_no_ending(authority: Authority, tmp_path: Path, log: Log):
    """Without the store nothing is acknowledged, published or recorded."""
    gateway = Gateway()
    await authority.feed.subscribe(gateway)
    issued = await authority.exchange.open_task(identity(), ["invoices.read"])
    (tmp_path / "store/doorward.db").rename(tmp_path / "away")
    with pytest.raises(StoreUnavailableError):
        await authority.tasks.revoke(issued.task, "alice")
    assert not gateway.of("revoked")
    assert not log.of("revocation")


async def test_one_token_is_given_back(authority: Authority, log: Log):
    """Its sibling lives on; giving it back again is no error and no second record."""
    gateway = Gateway()
    await authority.feed.subscribe(gateway)
    first = await authority.exchange.open_task(identity(), ["invoices.read"])
    second = await authority.exchange.renew(identity(), first.task, [])
    await authority.tasks.revoke_token(first.token, AGENT)
    await authority.tasks.revoke_token(first.token, AGENT)
    assert await authority.tasks.live_token(first.token) is None
    assert await authority.tasks.live_token(second.token) is not None
    assert [mark[:6] for _, _, mark in gateway.of("revoked")] == ["token:"]
    assert log.of("revocation")[0]["cause"] == "returned"
    assert first.token not in str(log.records)


async def test_giving_back_what_is_not_ours_is_no_error(authority: Authority):
    """RFC 7009 §2.2: unknown and foreign tokens are as good as revoked."""
    issued = await authority.exchange.open_task(identity(), ["invoices.read"])
    forged = "dwt_" + jwt.encode({"jti": "x"}, "k" * 32, "HS256")
    tampered = issued.token[:-10] + ("A" * 10 if issued.token[-10:] != "A" * 10 else "B" * 10)
    for token in ("", "x", "dwt_", "dwt_é", forged, tampered, issued.token.removeprefix("dwt_")):
        await authority.tasks.revoke_token(token, OTHER)
    assert await authority.tasks.live_token(issued.token) is not None


async def test_what_looks_expired_is_revoked_all_the_same(authority: Authority, clock: StillClock):
    """The clock here may be ahead of those of gateways: they hear of it, and once only."""
    issued = await authority.exchange.open_task(identity(), ["invoices.read"])
    gateway = Gateway()
    await authority.feed.subscribe(gateway)
    clock.seconds += 300
    for _ in range(2):
        await authority.tasks.revoke_token(issued.token, AGENT)
    assert [mark[:6] for _, _, mark in gateway.of("revoked")] == ["token:"]
    assert gateway.of("renewed") == [], "what a later token keeps open goes on"
    clock.seconds -= 300
    assert await authority.tasks.live_token(issued.token) is None


async def test_a_strangers_token_cannot_be_given_back(authority: Authority):
    """RFC 7009 §2.1: a token that was issued to another client is refused."""
    issued = await authority.exchange.open_task(identity(), ["invoices.read"])
    with pytest.raises(RefusedError, match="unauthorized_client"):
        await authority.tasks.revoke_token(issued.token, OTHER)
    assert await authority.tasks.live_token(issued.token) is not None


async def test_introspection_is_for_those_concerned(authority: Authority, clock: StillClock):
    """The agent reads its token's claims while it lives; others, and later everybody, read nothing."""
    issued = await authority.exchange.open_task(identity(), ["invoices.read"])
    claims = await authority.tasks.introspect(issued.token, AGENT)
    assert claims is not None
    assert (claims["sub"], claims["txn"], claims["scope"], claims["exp"]) == (AGENT, issued.task, "invoices.read", NOW + 300)
    assert await authority.tasks.introspect(issued.token, OTHER) is None
    assert await authority.tasks.introspect("dwt_x", AGENT) is None
    clock.seconds += 300
    assert await authority.tasks.introspect(issued.token, AGENT) is None


async def test_a_page_shows_one_tenant(authority: Authority):
    """A filter cannot leave the tenant."""
    await authority.exchange.open_task(identity(), ["invoices.read"])
    assert len(await authority.tasks.page(TaskFilter(tenant="other"))) == 1


async def test_the_sweep_expires_tasks(authority: Authority, clock: StillClock, log: Log):
    """A task that nobody ends expires and is recorded, also when the log comes back only later."""
    issued = await authority.exchange.open_task(identity(), ["invoices.read"])
    clock.seconds += 8 * 3600
    log.full = True
    await authority.endings.expire()
    assert (await authority.tasks.show(issued.task)).state == "expired"
    log.full = False
    await authority.endings.expire()
    assert [members["event"] for members in log.of("task")] == ["opened", "expired"]


async def test_records_that_wait_are_bounded(authority: Authority, log: Log, monkeypatch: pytest.MonkeyPatch, capfd):
    """Beyond the bound the oldest record goes to the operational log, and tasks end all the same."""
    monkeypatch.setattr(recording, "WAITING", 3)
    tasks = [(await authority.exchange.open_task(identity(), ["invoices.read"])).task for _ in range(2)]
    log.full = True
    for task in tasks:
        await authority.tasks.revoke(task, "alice")
    assert (await authority.tasks.show(tasks[1])).state == "revoked"
    written = "".join(capfd.readouterr())
    assert "record_lost" in written
    assert tasks[0] in written
    assert authority.troubles() == ["3 records wait for the audit log"]
    log.full = False
    await authority.exchange.open_task(identity(), ["invoices.read"])
    assert authority.troubles() == []


async def test_while_records_wait_nothing_is_even_stored(authority: Authority, log: Log):
    """Retries against a log that is full do not fill the store with tasks that were never given."""
    log.full = True
    for _ in range(5):
        with pytest.raises(Refusal):
            await authority.exchange.open_task(identity(), ["invoices.read"])
    assert len(await authority.tasks.page(TaskFilter())) == 1


async def test_what_waits_is_recorded_at_the_stop(tmp_path: Path, clock: StillClock, log: Log, grants: Grants):
    """A log that is back when the authority stops gets what it has missed."""
    authority = await build_authority(tmp_path / "other", clock, log, grants)
    issued = await authority.exchange.open_task(identity(), ["invoices.read"])
    log.full = True
    await authority.tasks.fail(issued.task, AGENT)
    log.full = False
    await authority.stop()
    assert log.of("revocation")
