"""Tests of the members of records: their largest size, and that the reference documentation lists them."""

import re
from pathlib import Path
from types import SimpleNamespace

import orjson
import pytest

from gateway.audit.chain import Chain
from gateway.audit.flood import BURST
from gateway.audit.journal import LARGEST
from gateway.audit.ledger import NOTED
from gateway.audit.members import CLOSING, CLOSING_REST, OPENING, Exchange, Members
from gateway.errors import Refusal
from gateway.model import Coverage, DeclaredIntent, Operation, Outcome, Principal, Upstream, Use

REFERENCE = Path(__file__).parents[3] / "docs" / "reference" / "audit-records.md"


def largest(letter, parts):
    """An exchange and a permit of which every string is far too long."""
    long = letter * 5000
    principal = Principal(agent=long, subject=long, tenant=long, task=long, token=long, intents=frozenset(), expires=0,
                          epoch="", marks=frozenset(), issuer=long)  # fmt: skip
    upstream = Upstream(tenant=long, name=long, origin=parts.upstream.origin, prefix="", base_path="", protocol="http",
                        credential=long)  # fmt: skip
    coverage = Coverage(long, {f"{number}{long}": long for number in range(99)}, (long,) * 99)
    use = Use(DeclaredIntent(long, long, long), Operation(long, long, ()), (coverage,) * 99)
    exchange = Exchange("0" * 32, "0" * 32, long, parts.head(long, long, (long,) * 99), upstream, principal, use)
    return exchange, parts.permit(use, principal=principal, upstream=upstream, grant=long, policy=long)


@pytest.mark.parametrize("letter", ["a", '"', "\\", "é", "😀", "\n", "\ud800"])
def test_no_record_is_larger_than_what_is_reserved(letter, parts):
    """With every string too long, in the costliest characters, each record fits its reservation and is valid JSON."""
    members, chain = Members(), Chain(10**18, "f" * 64)
    exchange, permit = largest(letter, parts)
    answer = members.answer(exchange)
    outcome = Outcome(letter * 500, 599, letter * 500, 2**63, 2**63, 1e9, letter * 500)
    credential = SimpleNamespace(name=letter * 500, version=letter * 500)
    allowed = chain.line("2026-11-23T18:00:00.123456Z", members.allowed(exchange, permit))
    denied = chain.line("2026-11-23T18:00:00.123456Z", members.unpermitted(exchange, Refusal("intent_not_granted")))
    closed = chain.line("2026-11-23T18:00:00.123456Z", members.closed(answer, outcome, credential, 1e9))
    for line, reserved in ((allowed, OPENING), (denied, OPENING), (closed, min(CLOSING, len(answer.encode()) + CLOSING_REST))):
        orjson.loads(line)
        assert len(line) + 1 <= reserved <= LARGEST


def test_allowed_and_denied_records_have_the_same_members(parts):
    """A reader finds every member in every request record, in one order; what is absent is null."""
    members = Members()
    exchange = Exchange("r", "t", "127.0.0.1", parts.head(), parts.upstream, parts.principal, parts.use())
    nothing = Exchange("r", "t", "127.0.0.1", None, None, None, None)
    lines = [
        Chain().line("t", text)
        for text in (
            members.allowed(exchange, parts.permit()),
            members.unpermitted(exchange, Refusal("denied")),
            members.unpermitted(nothing, Refusal("request_malformed")),
        )
    ]
    assert len({tuple(orjson.loads(line)) for line in lines}) == 1


def test_pieces_are_kept_for_exactly_what_they_were_made_of(parts):
    """Another principal or another decision never gets the pieces of an earlier one."""
    members = Members()
    exchange = Exchange("r", "t", "127.0.0.1", parts.head(), parts.upstream, parts.principal, parts.use())

    def recorded(permit):
        return orjson.loads(Chain().line("t", members.allowed(exchange, permit)))

    first = recorded(parts.permit())
    for change in ({"grant": "other"}, {"policy": "other"}):
        assert recorded(parts.permit(**change)) == {**first, **change}
    observed = {"decision": "deny", "code": "denied", "enforced": False}
    assert recorded(parts.permit(code="denied")) == {**first, **observed}
    coverage = Coverage("invoices.read", {"customer": "43"}, ())
    other = recorded(parts.permit(intent=coverage))
    assert (other["params"], other["touches"]) == ({"customer": "43"}, [])
    burnt = Use(parts.use().declared, parts.use().operation, (Coverage("invoices.burn", {}, ()),))
    other = recorded(parts.permit(burnt, code="denied", intent=parts.use().observed[0]))
    assert other["intent"]["observed"] == ["invoices.burn"], "what was declared stays, what it really is differs"
    for number in range(5000):
        principal = Principal(agent=f"spiffe://a/{number}", subject="s", tenant="t", task="t", token="j", intents=frozenset(),
                              expires=0, epoch="", marks=frozenset())  # fmt: skip
        assert recorded(parts.permit(principal=principal))["agent"] == principal.agent
    assert len(members._known) <= 4096


def documented():
    """The tables of the reference: record type to the names in its first column."""
    found = {}
    for section in re.split(r"^## ", REFERENCE.read_text(), flags=re.MULTILINE)[1:]:
        title = section.partition("\n")[0].strip("` ")
        found[title] = re.findall(r"^\| `([a-z_]+)` \|", section, flags=re.MULTILINE)
    return found


def test_the_reference_lists_the_members_of_records(parts):
    """docs/reference/audit-records.md has exactly the members of request and response records, in their order."""
    members = Members()
    exchange = Exchange("r", "t", "127.0.0.1", parts.head(), parts.upstream, parts.principal, parts.use())
    request = orjson.loads(Chain().line("t", members.allowed(exchange, parts.permit())))
    response = orjson.loads(Chain().line("t", members.closed(members.answer(exchange), Outcome(), parts.credential, 1)))
    tables = documented()
    every = tables["Every record"]
    assert [*every[:-1], *tables["request"], every[-1]] == list(request)
    assert [*every[:-1], *tables["response"], every[-1]] == list(response)


async def test_the_reference_lists_the_ledgers_own_records(new_ledger, log, parts):
    """The members of start, stop, checkpoint, refusals and gap records are those that the ledger writes."""
    ledger = new_ledger()
    await ledger.start()
    record = ledger.open("127.0.0.1")
    record.refused(Refusal("audit_unavailable"))
    for _ in range(int(BURST) + 2):
        flooding = ledger.open("192.0.2.1")
        flooding.reserve()
        flooding.head = parts.head()
        flooding.refused(Refusal("token_missing"))
        flooding.close(Outcome())
    await ledger.stop()
    tables = documented()
    for written in parts.records(log):
        if written["type"] in ("request", "response"):
            continue
        own = [name for name in written if name not in tables["Every record"]]
        assert own == tables[written["type"]], written
    kinds = {each["type"] for each in parts.records(log)}
    assert kinds == {"start", "gap", "stop", "checkpoint", "refusals", "request", "response"}


def test_the_reference_names_every_type_of_record():
    """Each type that can be noted is in the list of types."""
    listed = set(re.findall(r"^\| `([a-z]+)` \|", REFERENCE.read_text().partition("## Every record")[0], flags=re.MULTILINE))
    assert listed == NOTED | {"request", "response", "refusals", "gap", "checkpoint"}


@pytest.mark.parametrize(
    "path",
    [
        "/items/42",
        "/items/" + "4" * 185,
        "/items/" + "4" * 186,
        "/items/eyJhbGciOi.J9",
        "/items/dwt_1",
        "/it'ems/$&!",
    ],
    ids=["short", "longest", "longer", "a JWT", "a task token", "signs"],
)
def test_a_plain_path_is_recorded_as_any_other(path, parts):
    """What is known to need no escape is recorded in fewer steps, and the record is the same: no token, the same JSON."""
    coverage = Coverage("items.read", {"id": path.rpartition("/")[2], "all": path[1:]}, ())

    def recorded(*, plain):
        use = Use(None, Operation("GET", path, tuple(path[1:].split("/")), plain=plain), (coverage,))
        exchange = Exchange("r", "t", "127.0.0.1", parts.head(), parts.upstream, parts.principal, use)
        return Members().allowed(exchange, parts.permit(use, intent=coverage))

    assert recorded(plain=True) == recorded(plain=False)
