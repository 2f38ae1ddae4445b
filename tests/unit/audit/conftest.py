"""Gives tests of the audit real ledgers on real files, and plain values to record."""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import orjson
import pytest

from gateway.audit import segments
from gateway.audit.checkpoint import load_or_create
from gateway.audit.ledger import Ledger
from gateway.audit.sinks.file import Config, FileSink
from gateway.clock import Clock
from gateway.model import Coverage, DeclaredIntent, Operation, Origin, Permit, Principal, Upstream, Use

UPSTREAM = Upstream(
    tenant="acme",
    name="billing",
    origin=Origin("https", "api.example", 443),
    prefix="/billing",
    base_path="",
    protocol="http",
    credential="billing-key",
)
PRINCIPAL = Principal(
    agent="spiffe://acme.example/ns/agents/sa/reconciler",
    subject="spiffe://acme.example/ns/agents/sa/orchestrator",
    tenant="acme",
    task="task-1",
    token="jti-1",
    intents=frozenset({"invoices.read"}),
    expires=4e9,
    epoch="1",
    marks=frozenset(),
    issuer="http://authority.test",
)
CREDENTIAL = SimpleNamespace(name="billing-key", version="v7")


def head(path="/billing/v1/customers/42/invoices", method="GET", query=("limit",), trace=None):
    """A parsed head as the records see it."""
    return SimpleNamespace(method=method, path=path, query_names=query, trace_id=trace)


def use(path="/v1/customers/42/invoices", reason="close March", tool=None, captures=None):
    """A request seen as use of one intent."""
    coverage = Coverage("invoices.read", {"customer": "42"} if captures is None else captures, ("invoice", "customer"))
    return Use(DeclaredIntent("invoices.read", reason, tool), Operation("GET", path, ()), (coverage,))


def permit(used=None, **changes):
    """A permit as only a decision makes it."""
    used = used or use()
    facts = {
        "principal": PRINCIPAL,
        "use": used,
        "upstream": UPSTREAM,
        "intent": used.observed[0],
        "grant": "reconciler reads",
        "policy": "a1b2c3",
    }
    return Permit._issue(**{**facts, **changes})


def decide(record, used=None, request=None):
    """Take a record to its decision, as handle_request does."""
    record.reserve()
    record.head = request or head()
    record.upstream, record.principal = UPSTREAM, PRINCIPAL
    record.use = used or use()
    record.decided(permit(record.use))
    record.credential = CREDENTIAL
    return record


def records(path: Path):
    """All records of the log, from its full files and the growing one."""
    return [orjson.loads(located.line) for located in segments.all_lines(path)]


@pytest.fixture
def parts():
    """The values and functions above, for tests."""
    return SimpleNamespace(
        upstream=UPSTREAM,
        principal=PRINCIPAL,
        credential=CREDENTIAL,
        head=head,
        use=use,
        permit=permit,
        decide=decide,
        records=records,
    )


@pytest.fixture
def log(tmp_path) -> Path:
    """Where the log of the test grows."""
    return tmp_path / "audit.jsonl"


@pytest.fixture
def new_ledger(log) -> Callable[..., Ledger]:
    """Makes ledgers of that log; all share its key."""

    def make(clock=None, *, every=3600.0, copies=(), rotate="100MiB", keep=30, rotate_bytes=None, **sink):
        clock = clock or Clock()
        signer = load_or_create(log.with_name("audit.key"), "acme/audit")
        config = Config(path=str(log), rotate=rotate, keep=keep)
        if rotate_bytes is not None:
            config = config.model_copy(update={"rotate": rotate_bytes})
        return Ledger(clock, signer, FileSink(config, clock, log, key=signer.verifier, **sink), copies, every=every)

    return make
