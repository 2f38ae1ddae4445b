"""`doorward explain` and `doorward test`: the story of one decision, scenarios, and past requests decided anew."""

import json
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from gateway.cli.main import main

SCENARIOS = Path(__file__).parents[2] / "scenarios"
Captured = pytest.CaptureFixture[str]
RECONCILER = "spiffe://acme.example/ns/agents/sa/reconciler"
ORCHESTRATOR = "spiffe://acme.example/ns/agents/sa/orchestrator"


@pytest.fixture(autouse=True)
def _dates(monkeypatch: pytest.MonkeyPatch) -> None:
    now = datetime.now(UTC)
    monkeypatch.setenv("TODAY", f"{now:%Y-%m-%d}")
    monkeypatch.setenv("EXPIRES", f"{now + timedelta(days=90):%Y-%m-%d}")


def explained(capsys: Captured, *words: str) -> dict:
    status = main(["explain", "-c", str(SCENARIOS / "acme.yaml"), "--json", *words])
    told = json.loads(capsys.readouterr().out)
    assert status == (0 if told["decision"] == "allow" else 1)
    return told


def line_of(text: str) -> str:
    lines = (SCENARIOS / "acme.yaml").read_text().split("\n")
    return f"acme.yaml:{next(number for number, line in enumerate(lines, 1) if text in line)}"


OPENED = ["--agent", RECONCILER, "--starter", ORCHESTRATOR, "--param", "customer=42", "--claims", '{"customers": ["42"]}']


def test_the_entry_that_decided_is_named_with_its_place(capsys: Captured) -> None:
    """Of a grant that allows, of one whose condition failed, and of a denial."""
    told = explained(capsys, "GET", "/billing/v1/customers/42/invoices", "--intent", "invoices.read", *OPENED)
    assert told["entry"].endswith(line_of("- name: reconciler reads the invoices"))
    assert told["differ"] == []
    told = explained(capsys, "GET", "/billing/v1/customers/43/invoices", "--intent", "invoices.read", *OPENED)
    assert (told["code"], told["entry"].rpartition("/")[2]) == ("condition_failed", line_of("- name: reconciler reads the inv"))
    assert told["differ"][0].startswith("path.customer == task.params.customer would have to be true")
    night = ["--agent", "spiffe://acme.example/ns/clerks/sa/a", "--at", "2026-11-24T03:00:00+00:00"]
    told = explained(capsys, "POST", "/billing/v1/invoices", "--intent", "invoices.write", *night)
    assert (told["code"], told["entry"].rpartition("/")[2]) == ("denied", line_of("- name: nothing is written at night"))


@pytest.mark.parametrize(
    ("words", "code", "differ"),
    [
        (["GET", "/nowhere", "--agent", RECONCILER], "upstream_unknown", "one of /billing, /team/tracker, /trial, /desk"),
        (["GET", "/billing/v1/invoices", "--agent", RECONCILER, "--intent", "invoices.read"], "intent_not_granted",
         f"opened by {ORCHESTRATOR}"),
        (["POST", "/billing/v1/invoices", *OPENED, "--at", "2026-11-24T12:00:00Z", "--intent", "invoices.read"],
         "intent_mismatch",
         "the token would have to carry invoices.write"),
        (["GET", "/billing/v1/customers/42/invoices", *OPENED], "intent_missing",
         "Agent-Intent would have to be invoices.read"),
        (["GET", "/billing/%2e%2e/x", "--agent", RECONCILER], "request_malformed", "escapes a character that needs no escape"),
        (["GET", "/billing/v1/invoices", "--agent", RECONCILER, "--intent", "no.such"], "intent_not_granted",
         "there is no intent no.such"),
    ],
)  # fmt: skip
def test_it_says_what_would_have_had_to_differ(capsys: Captured, words: list[str], code: str, differ: str) -> None:
    """In the words of the policy, for each way to be refused."""
    told = explained(capsys, *words)
    assert told["code"] == code
    assert any(differ in each for each in told["differ"]), told["differ"]


def test_the_steps_are_told_for_people(capsys: Captured) -> None:
    """One line each, in the order of the gateway."""
    assert main(["explain", "-c", str(SCENARIOS / "acme.yaml"), "GET", "/billing/v1/invoices", *OPENED]) == 1
    told = capsys.readouterr().out
    steps = ["admit", "route", "authenticate", "read the intent", "decide", "REFUSED", "to be allowed"]
    places = [told.index(step) for step in steps]
    assert places == sorted(places)


def test_scenarios_that_are_not_as_expected_are_told_with_their_place(tmp_path: Path, capsys: Captured) -> None:
    """And the command fails then."""
    files = [str(file) for file in sorted(SCENARIOS.glob("*.yaml")) if file.name != "acme.yaml"]
    assert main(["test", *files]) == 0
    found = re.match(r"(\d+) of (\d+) scenarios", capsys.readouterr().out)
    assert found is not None
    assert int(found[1]) == int(found[2]) > 80
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text(
        f"scenarios:\n- name: wrong\n  agent: {RECONCILER}\n  declare: invoices.read\n"
        "  request: GET /billing/v1/invoices\n  expect: allow\n"
    )
    assert main(["test", "-c", str(SCENARIOS / "acme.yaml"), str(wrong)]) == 1
    told = capsys.readouterr().out
    assert told.startswith(f"{wrong}:2: wrong: expected allow, but it is refused: intent_not_granted")


def test_a_mistake_in_a_scenario_has_a_place(tmp_path: Path, capsys: Captured) -> None:
    """File, line and column, as of any other file."""
    file = tmp_path / "s.yaml"
    file.write_text(f"scenarios:\n- name: x\n  agent: {RECONCILER}\n  request: nonsense\n  expect: allow\n")
    assert main(["test", str(file)]) == 1
    assert capsys.readouterr().err.startswith(f"{file}:4:12: ")


RECORDS = [
    {"type": "task", "event": "opened", "task": "t1", "starter": ORCHESTRATOR, "params": {"customer": "42"},
     "intents": ["invoices.read"], "time": "2026-11-24T11:00:00.000000Z"},
    {"type": "request", "request_id": "r1", "time": "2026-11-24T12:00:00.000000Z", "tenant": "acme", "agent": RECONCILER,
     "subject": ORCHESTRATOR, "task": "t1", "token": "j1", "upstream": "billing", "method": "GET", "query": ["limit"],
     "intent": {"declared": "invoices.read", "reason": None}, "path": "/v1/customers/42/invoices",
     "decision": "allow", "code": None,
     "source": "127.0.0.1"},
    {"type": "request", "request_id": "r2", "time": "2026-11-24T12:00:01.000000Z", "tenant": "acme", "agent": RECONCILER,
     "subject": ORCHESTRATOR, "task": "t1", "token": "j1", "upstream": "billing", "method": "GET", "query": [],
     "intent": {"declared": "invoices.read", "reason": None}, "path": "/v1/customers/43/invoices",
     "decision": "allow", "code": None,
     "source": "127.0.0.1"},
    {"type": "request", "request_id": "r3", "time": "2026-11-24T12:00:02.000000Z", "tenant": "acme",
     "agent": "spiffe://acme.example/ns/payers/sa/small", "subject": "s", "task": "t2", "token": "j2", "upstream": "billing",
     "method": "POST", "query": [], "intent": {"declared": "invoices.pay", "reason": None}, "path": "/v1/payments",
     "decision": "allow", "code": None, "source": "127.0.0.1"},
    {"type": "request", "request_id": "r4", "time": "2026-11-24T12:00:03.000000Z", "method": None, "path": None, "agent": None,
     "upstream": None, "decision": "deny", "code": "request_malformed"},
]  # fmt: skip


@pytest.fixture
def log(tmp_path: Path) -> str:
    file = tmp_path / "audit.jsonl"
    file.write_text("".join(json.dumps(record) + "\n" for record in RECORDS))
    return str(file)


def test_a_recorded_request_is_explained(log: str, capsys: Captured) -> None:
    """With the params and the starter of its task; what the log does not hold is said."""
    told = explained(capsys, "--record", "r1", "--log", log)
    assert told["decision"] == "allow"
    told = explained(capsys, "--record", "r2", "--log", log)
    assert (told["code"], told["notes"]) == ("condition_failed", ["recorded at 2026-11-24T12:00:01.000000Z as allow"])
    told = explained(capsys, "--record", "r3", "--log", log)
    assert "the log does not hold body," in told["notes"][1]
    assert main(["explain", "-c", str(SCENARIOS / "acme.yaml"), "--record", "r9", "--log", log]) == 1
    assert main(["explain", "-c", str(SCENARIOS / "acme.yaml"), "--record", "r4", "--log", log]) == 1


def test_past_requests_are_decided_anew(log: str, capsys: Captured) -> None:
    """What would be otherwise is listed, and what no log can tell is counted apart."""
    assert main(["test", "-c", str(SCENARIOS / "acme.yaml"), "--replay", "--log", log, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["requests"], told["otherwise_count"], told["unsure"]) == (3, 1, 1)
    (otherwise,) = told["otherwise"]
    assert (otherwise["request_id"], otherwise["before"], otherwise["after"]) == ("r2", "allowed", "refused: condition_failed")


def test_the_command_wants_scenarios_or_a_replay() -> None:
    """Not both, and not nothing."""
    assert main(["test"]) == 1
    assert main(["test", "--replay", "x.yaml"]) == 1
