"""Tests of the ledger and its records, on real files."""

import asyncio
import contextlib
import errno
import itertools
import os

import orjson
import pytest

from gateway.audit.chain import FIRST, digest
from gateway.audit.checkpoint import Checkpoint, VerifierKey
from gateway.audit.journal import LARGEST
from gateway.audit.verify import Follower
from gateway.clock import Clock
from gateway.errors import DoorwardError, Interrupted, Refusal
from gateway.model import Outcome


def followed(log, **options):
    """The log as verification sees it."""
    follower = Follower(**options)
    for number, line in enumerate(log.read_bytes().splitlines(), 1):
        follower.feed(line, f"{log}:{number}")
    follower.finish()
    return follower


class Disk:
    """A disk that can be full."""

    def __init__(self):
        self.full = False
        self.room = None

    def write(self, descriptor, lines):
        """Write all, a part, or nothing."""
        if self.full and self.room:
            lines, self.room = lines[: self.room], 0
        elif self.full:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return os.write(descriptor, lines)


async def until(condition):
    """Wait a moment for the writer."""
    for _ in range(300):
        if condition():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("it did not happen")


async def test_two_records_of_an_allowed_request(new_ledger, log, parts):
    """The request record holds all facts of the decision, the response record how it ended, and both are chained."""
    ledger = new_ledger()
    await ledger.start({"version": "1"})
    record = parts.decide(ledger.open("127.0.0.1"))
    record.close(Outcome("complete", 200, None, 10, 2000, 0.0025))
    await ledger.stop()
    start, request, response, stop, checkpoint = parts.records(log)
    assert (start["seq"], start["prev"], start["type"]) == (1, FIRST, "start")
    assert request == {
        "v": 1, "seq": 2, "time": request["time"], "type": "request", "request_id": record.request_id,
        "trace_id": record.request_id, "tenant": "acme", "agent": "spiffe://acme.example/ns/agents/sa/reconciler",
        "subject": "spiffe://acme.example/ns/agents/sa/orchestrator", "issuer": "http://authority.test",
        "task": "task-1", "token": "jti-1",
        "intent": {"declared": "invoices.read", "observed": ["invoices.read"], "reason": "close March", "tool": None},
        "upstream": "billing", "method": "GET", "path": "/v1/customers/42/invoices", "query": ["limit"],
        "params": {"customer": "42"}, "touches": ["invoice", "customer"], "decision": "allow", "code": None,
        "grant": "reconciler reads", "policy": "a1b2c3", "enforced": True, "credential": "billing-key",
        "source": "127.0.0.1", "prev": digest(log.read_bytes().splitlines()[0]),
    }  # fmt: skip
    assert response == {
        "v": 1, "seq": 3, "time": response["time"], "type": "response", "request_id": record.request_id,
        "trace_id": record.request_id, "tenant": "acme", "agent": "spiffe://acme.example/ns/agents/sa/reconciler",
        "task": "task-1", "upstream": "billing", "status": 200, "code": None, "ending": "complete", "received": 10,
        "sent": 2000, "attempts": 1, "scrubbed": 0, "duration_us": response["duration_us"], "upstream_us": 2500,
        "credential": {"name": "billing-key", "version": "v7"}, "error": None,
        "prev": digest(log.read_bytes().splitlines()[1]),
    }  # fmt: skip
    assert stop["type"] == "stop"
    assert (checkpoint["type"], checkpoint["size"]) == ("checkpoint", 4)
    assert not followed(log).findings


async def test_a_refusal_keeps_what_was_known(new_ledger, log, parts):
    """A refused request leaves a denied request record with the facts so far, and a response record with its code."""
    ledger = new_ledger()
    await ledger.start()
    record = ledger.open("127.0.0.1")
    record.reserve()
    record.head, record.upstream = parts.head(), parts.upstream
    record.refused(Refusal("token_missing"))
    record.close(Outcome("refused", 401))
    await ledger.stop()
    _, request, response, *_ = parts.records(log)
    assert (request["decision"], request["code"], request["tenant"]) == ("deny", "token_missing", "acme")
    assert (request["method"], request["path"], request["agent"]) == ("GET", "/billing/v1/customers/42/invoices", None)
    assert (response["status"], response["code"], response["tenant"]) == (401, "token_missing", "acme")


async def test_a_refusal_names_the_intents_that_were_observed(new_ledger, log, parts):
    """When the operation had been read, the denied record says what it was."""
    ledger = new_ledger()
    await ledger.start()
    record = ledger.open("127.0.0.1")
    record.reserve()
    record.head, record.upstream, record.principal, record.use = parts.head(), parts.upstream, parts.principal, parts.use()
    record.refused(Refusal("denied"))
    record.close(Outcome("refused", 403))
    await ledger.stop()
    request = parts.records(log)[1]
    assert request["intent"]["observed"] == ["invoices.read"]
    assert (request["path"], request["task"], request["credential"]) == ("/v1/customers/42/invoices", "task-1", None)


async def test_a_refusal_after_the_decision_writes_no_second_request(new_ledger, log, parts):
    """A credential that cannot be had is told by the response record."""
    ledger = new_ledger()
    await ledger.start()
    record = parts.decide(ledger.open("127.0.0.1"))
    record.credential = None
    record.refused(Refusal("credential_unavailable"))
    record.close(Outcome("refused", 503))
    await ledger.stop()
    assert [each["type"] for each in parts.records(log)] == ["start", "request", "response", "stop", "checkpoint"]
    assert parts.records(log)[2]["code"] == "credential_unavailable"
    assert parts.records(log)[2]["credential"] is None


async def test_what_cannot_be_parsed_leaves_one_record(new_ledger, log, parts):
    """Without a parsed head there is one denied request record and no response record."""
    ledger = new_ledger()
    await ledger.start()
    record = ledger.open("127.0.0.1")
    record.reserve()
    record.refused(Refusal("request_malformed"))
    record.close(Outcome("refused", 400))
    await ledger.stop()
    written = parts.records(log)
    assert [each["type"] for each in written] == ["start", "request", "stop", "checkpoint"]
    assert (written[1]["method"], written[1]["code"]) == (None, "request_malformed")
    assert not followed(log).opened


async def test_an_interruption_before_the_decision_leaves_both_records(new_ledger, log, parts):
    """A caller that leaves while its body is read is recorded without a decision, and closed."""
    ledger = new_ledger()
    await ledger.start()
    record = ledger.open("127.0.0.1")
    record.reserve()
    record.head = parts.head()
    record.close(Outcome("client_gone"))
    record.close(Outcome("complete", 200))
    await ledger.stop()
    _, request, response, *rest = parts.records(log)
    assert (request["decision"], request["code"], request["enforced"]) == (None, None, None)
    assert (response["ending"], response["status"]) == ("client_gone", None)
    assert [each["type"] for each in rest] == ["stop", "checkpoint"]


async def test_the_callers_trace_is_taken_only_if_it_is_one(new_ledger, parts):
    """A trace id of 32 digits is kept; anything else is replaced by one of our own."""
    ledger = new_ledger()
    for trace, kept in (("0af7651916cd43dd8448eb211c80319c", True), ('"}' * 16, False), ("", False), (None, False)):
        record = ledger.open("127.0.0.1")
        record.head = parts.head(trace=trace)
        assert record.trace_id == (trace if kept else record.request_id)
        assert len(record.span_id) == 16


async def test_a_decision_needs_a_reservation(new_ledger, parts):
    """Without reserved room nothing is allowed: the step fails and the request with it."""
    ledger = new_ledger()
    await ledger.start()
    record = ledger.open("127.0.0.1")
    record.head = parts.head()
    with pytest.raises(RuntimeError):
        record.decided(parts.permit())
    await ledger.stop()


async def test_who_waits_for_others_keeps_nobody_from_room(new_ledger, parts):
    """A thousand requests that wait for a lease leave the log to everybody else, and are recorded when they go on."""
    ledger, answer = new_ledger(), asyncio.Event()
    await ledger.start()
    waiting, records = [], []

    async def serve(record):
        record.reserve()
        record.head = parts.head()
        await record.waiting_for(answer.wait())
        record.decided(parts.permit())
        record.close(Outcome())

    for _ in range(1000):
        records.append(ledger.open("127.0.0.1"))
        waiting.append(asyncio.ensure_future(serve(records[-1])))
    await asyncio.sleep(0)
    parts.decide(ledger.open("127.0.0.1")).close(Outcome())
    answer.set()
    await asyncio.gather(*waiting)
    await ledger.stop()
    assert ledger.open_exchanges == 0


@pytest.mark.parametrize("end", [None, Refusal("limit_exceeded"), Interrupted("client_gone")])
async def test_who_finds_no_room_after_a_wait_does_not_go_on(new_ledger, parts, log, end):
    """It is missed once, however its wait ended, and said so as soon as there is room again."""
    ledger = new_ledger()
    await ledger.start()
    others = [ledger.open("127.0.0.1")]

    async def answer():
        with contextlib.suppress(Refusal):
            while True:
                others.append(ledger.open("127.0.0.1"))
                others[-1].reserve()
        if end is not None:
            raise end

    record = ledger.open("127.0.0.1")
    record.reserve()
    record.head = parts.head()
    with pytest.raises(Refusal if end is None else type(end)) as caught:
        await record.waiting_for(answer())
    if isinstance(caught.value, Refusal):
        assert caught.value.code == ("audit_unavailable" if end is None else end.code)
        record.refused(caught.value)
    record.close(Outcome())
    for each in others:
        each.close(Outcome())
    await until(lambda: any(each["type"] == "gap" for each in parts.records(log)))
    await ledger.stop()
    (gap,) = [each for each in parts.records(log) if each["type"] == "gap"]
    assert gap["unrecorded"] == 1


async def test_a_ledger_that_was_not_started_refuses(new_ledger):
    """Before the start and after the stop no request is served."""
    ledger = new_ledger()
    with pytest.raises(Refusal) as refused:
        ledger.open("127.0.0.1").reserve()
    assert refused.value.code == "audit_unavailable"
    assert not ledger.available
    await ledger.start()
    assert ledger.available
    await ledger.stop()
    assert not ledger.available
    with pytest.raises(Refusal):
        ledger.note("task", {})


async def test_a_close_after_the_stop_is_harmless(new_ledger, parts, log):
    """An exchange that outlives the ledger is closed as unknown by the next start."""
    ledger = new_ledger()
    await ledger.start()
    record = parts.decide(ledger.open("127.0.0.1"))
    await ledger.stop()
    record.close(Outcome("complete", 200))
    again = new_ledger()
    await again.start()
    await again.stop()
    endings = [each["ending"] for each in parts.records(log) if each["type"] == "response"]
    assert endings == ["unknown"]
    assert not followed(log).findings
    assert not followed(log).unclosed.count


async def test_notes_are_cleaned_and_bounded(new_ledger, log, parts):
    """Other parts' records hold cleaned JSON values; what is no JSON or too large is refused."""
    ledger = new_ledger()
    await ledger.start()
    ledger.note("revocation", {"mark": "token:x", "cause": "eyJhbGciOiJFUzI1NiJ9.e30.x", "many": {"b", "a"}, "at": 1.5})
    with pytest.raises(ValueError, match="no type of record"):
        ledger.note("request", {})
    with pytest.raises(ValueError, match="itself writes"):
        ledger.note("task", {"seq": 1})
    with pytest.raises(ValueError, match="holds no"):
        ledger.note("task", {"secret": b"x"})
    with pytest.raises(ValueError, match="deep"):
        ledger.note("task", {"a": {"a": {"a": {"a": {"a": {"a": {"a": 1}}}}}}})
    with pytest.raises(Refusal):
        ledger.note("config", {str(number): "x" * 1000 for number in range(100)})
    await ledger.stop()
    note = parts.records(log)[1]
    assert (note["type"], note["cause"], note["many"], note["at"]) == ("revocation", "[token]", ["a", "b"], 1.5)
    assert not followed(log).findings


async def test_lines_reach_the_file_soon(new_ledger, log, parts):
    """The writer needs no stop to bring lines into the file."""
    ledger = new_ledger()
    await ledger.start()
    parts.decide(ledger.open("127.0.0.1"))
    await until(lambda: log.read_bytes().count(b"\n") == 2)
    await ledger.stop()


async def test_checkpoints_are_signed_regularly_and_only_for_something_new(new_ledger, log, parts):
    """Each interval with new records seals the chain; the newest note stands beside the log."""
    ledger = new_ledger(every=0.1)
    await ledger.start()
    parts.decide(ledger.open("127.0.0.1"))
    beside = log.with_name("audit.jsonl.checkpoint")
    await until(beside.exists)
    await asyncio.sleep(0.5)
    sealed = [each for each in parts.records(log) if each["type"] == "checkpoint"]
    assert len(sealed) == 1
    assert sealed[0]["oldest_open"] == 2
    assert beside.read_text() == sealed[0]["note"]
    key = VerifierKey.read(log.with_name("audit.key.pub").read_text())
    key.verify(sealed[0]["note"])
    assert Checkpoint.read(sealed[0]["note"], "").size == 2
    await ledger.stop()
    follower = followed(log, key=key)
    assert (follower.signed, follower.findings) == (2, [])


async def test_a_full_disk_refuses_and_loses_nothing(new_ledger, log, parts):
    """While the log cannot be written requests are refused; exchanges under way are still recorded, and the gap is counted."""
    disk = Disk()
    ledger = new_ledger(write=disk.write)
    await ledger.start()
    under_way = parts.decide(ledger.open("127.0.0.1"))
    await until(lambda: log.read_bytes().count(b"\n") == 2)
    disk.full, disk.room = True, 100  # the next write ends in the middle of a line
    closing = parts.decide(ledger.open("127.0.0.1"))
    await until(lambda: not ledger.available)
    for _ in range(3):
        refused = ledger.open("127.0.0.1")
        with pytest.raises(Refusal) as refusal:
            refused.reserve()
        refused.head = parts.head()
        refused.refused(refusal.value)
        refused.close(Outcome("refused", 503))
    under_way.close(Outcome("complete", 200))
    closing.close(Outcome("complete", 200))
    assert not log.read_bytes().endswith(b"\n")
    disk.full = False
    await until(lambda: ledger.available)
    parts.decide(ledger.open("127.0.0.1")).close(Outcome("complete", 200))
    await until(lambda: b'"type":"gap"' in log.read_bytes())
    await ledger.stop()
    written = parts.records(log)
    (gap,) = [each for each in written if each["type"] == "gap"]
    assert gap["unrecorded"] == 3
    follower = followed(log)
    assert not follower.findings
    assert not follower.opened
    assert sum(each["type"] == "request" for each in written) == 3


async def test_a_stop_on_a_full_disk_leaves_the_lines_to_the_next_start(new_ledger, log, parts):
    """What could not be written stays in the journal, and the next start writes it."""
    disk = Disk()
    ledger = new_ledger(write=disk.write)
    await ledger.start()
    disk.full = True
    parts.decide(ledger.open("127.0.0.1")).close(Outcome("complete", 200))
    await ledger.stop()
    before = log.read_bytes()
    again = new_ledger()
    await again.start()
    await again.stop()
    assert log.read_bytes().startswith(before)
    written = parts.records(log)
    assert [each["type"] for each in written][:4] == ["start", "request", "response", "stop"]
    assert not followed(log).findings


async def test_a_start_on_a_full_disk_serves_nothing(new_ledger, parts, log):
    """With a disk that is full from the beginning the ledger is soon unavailable, and its start is in the journal."""
    disk = Disk()
    disk.full = True
    ledger = new_ledger(write=disk.write)
    await ledger.start()
    await until(lambda: not ledger.available)
    await ledger.stop()
    assert parts.records(log) == []


async def test_reservations_bound_the_requests_under_way(new_ledger, parts):
    """With the journal full of promises requests are refused, and every exchange under way can still be closed."""
    ledger = new_ledger(half=4 * LARGEST)
    await ledger.start()
    under_way = []
    with contextlib.suppress(Refusal):
        while len(under_way) < 10_000:
            under_way.append(parts.decide(ledger.open("127.0.0.1")))
    assert 20 < len(under_way) < 10_000
    for record in under_way:
        record.close(Outcome("complete", 200))
    await asyncio.sleep(0.1)
    ledger.open("127.0.0.1").reserve()
    assert ledger._log._journal.reserved > 0
    await ledger.stop()


async def test_two_ledgers_cannot_share_a_log(new_ledger):
    """The second process to open a log is told so and writes nothing."""
    first, second = new_ledger(), new_ledger()
    await first.start()
    with pytest.raises(DoorwardError, match="another process"):
        await second.start()
    await first.stop()
    await second.stop()


async def test_rotation_keeps_one_chain(new_ledger, log, parts):
    """Full files are named by their first record, the oldest go, and the chain runs through those that stay."""
    ledger = new_ledger(rotate_bytes=4000, keep=3)
    await ledger.start()
    for _ in range(30):
        parts.decide(ledger.open("127.0.0.1")).close(Outcome("complete", 200))
        assert await ledger._log.flush()
    await ledger.stop()
    full = sorted(file for file in log.parent.iterdir() if file.name.startswith("audit.jsonl.0"))
    assert len(full) == 3
    written = parts.records(log)
    assert written[0]["seq"] > 1
    assert [int(file.name.rpartition(".")[2]) for file in full] == [
        orjson.loads(file.read_bytes().splitlines()[0])["seq"] for file in full
    ]
    assert [each["seq"] for each in written] == list(range(written[0]["seq"], written[-1]["seq"] + 1))
    for each, following in itertools.pairwise(written):
        assert following["prev"] == digest(orjson.dumps(each))
    again = new_ledger()
    await again.start()
    await again.stop()


async def test_an_exchange_older_than_the_last_file_is_closed_after_a_restart(new_ledger, log, parts):
    """The start reads back as far as the oldest exchange that can be open."""
    ledger = new_ledger(rotate_bytes=4000)
    await ledger.start()
    parts.decide(ledger.open("127.0.0.1"))
    for _ in range(30):
        parts.decide(ledger.open("127.0.0.1")).close(Outcome("complete", 200))
        assert await ledger._log.flush()
    await ledger.stop()
    again = new_ledger()
    await again.start()
    await again.stop()
    assert [each["ending"] for each in parts.records(log) if each.get("ending") == "unknown"] == ["unknown"]


async def test_every_file_of_the_log_is_private(new_ledger, log, parts):
    """Only the owner reads the log, its journal, its checkpoint and its key."""
    ledger = new_ledger(rotate_bytes=1000)
    await ledger.start()
    for _ in range(3):
        parts.decide(ledger.open("127.0.0.1")).close(Outcome("complete", 200))
        await ledger._log.flush()
    await ledger.stop()
    modes = {file.name: file.stat().st_mode & 0o777 for file in log.parent.iterdir() if file.suffix != ".pub"}
    assert len(modes) > 4
    assert set(modes.values()) == {0o600}


async def test_no_string_of_a_caller_carries_a_token(new_ledger, log, parts):
    """A canary in every string that a caller writes reaches no file of the log."""
    canary = "dwt_eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJjYW5hcnkifQ.c2lnbmF0dXJl"
    ledger = new_ledger()
    await ledger.start()
    used = parts.use(path=f"/v1/{canary}", reason=canary, tool=canary, captures={"customer": canary})
    decided = parts.decide(ledger.open(canary), used, parts.head(f"/{canary}", method=canary, query=(canary, "a")))
    decided.close(Outcome(canary, 200, None, 0, 0, None, canary))
    denied = ledger.open("127.0.0.1")
    denied.reserve()
    denied.head = parts.head(f"/{canary}", method=canary, query=(canary,), trace=canary)
    denied.use = used
    denied.refused(Refusal("intent_not_granted", canary))
    denied.close(Outcome("refused", 403))
    ledger.note("task", {"title": canary, canary: [canary]})
    await ledger.stop()
    for file in log.parent.iterdir():
        for part in ("dwt_ey", "eyJ", "c2lnbmF0dXJl"):
            assert part.encode() not in file.read_bytes(), (file, part)
    assert "dwt_" not in repr(decided) + repr(ledger)


async def test_the_clock_in_a_record_never_steps_back(new_ledger, log, parts):
    """Times of successive records are in order, whatever the machine's clock does."""

    class Jumping(Clock):
        def __init__(self):
            super().__init__()
            self.at = 2e9

        def now(self):
            self.at -= 100
            self._latest = max(self._latest, self.at)
            return self._latest

    ledger = new_ledger(Jumping())
    await ledger.start()
    await ledger.stop()
    times = [each["time"] for each in parts.records(log)]
    assert times == sorted(times)
