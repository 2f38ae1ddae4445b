"""`doorward test`: tries scenarios on a policy, or decides anew what the audit log holds; changes nothing."""

import argparse
import json
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

from gateway.cli.audit import records_of, since
from gateway.cli.check import add_tenant, check_part
from gateway.cli.explain import logs_of_configuration
from gateway.clock import Clock
from gateway.errors import DoorwardError
from gateway.settings.compiled import Compiled
from gateway.settings.load import Loaded
from gateway.settings.past import Known, question_of, unrecorded
from gateway.settings.scenarios import load_scenarios
from gateway.settings.trial import decide_on_paper

SUMMARY = "run policy scenarios, or the past requests of the audit log, against a policy"

MOST_SHOWN: Final = 100
"""How many past requests that would be decided otherwise are shown one by one; all are counted."""


class _Otherwise(NamedTuple):
    request_id: str
    agent: str
    operation: str
    before: str
    after: str


def configure(parser: argparse.ArgumentParser) -> None:
    """Files of scenarios, or a replay."""
    parser.add_argument("files", nargs="*", type=Path, metavar="SCENARIOS", help="YAML files of scenarios")
    parser.add_argument("-c", "--config", type=Path, default=None, metavar="FILE", help="the policy that is tried")
    parser.add_argument("--replay", action="store_true", help="decide anew what the audit log of the configuration holds")
    parser.add_argument("--log", type=Path, action="append", default=[], metavar="LOG", help="a log to replay instead")
    parser.add_argument("--since", metavar="TIME", help="only what came from then on: 15m, 24h, 7d, or 2026-11-23T18:00:00Z")
    add_tenant(parser)


def run(arguments: argparse.Namespace) -> int:
    """1 if a scenario is not as expected; a replay returns 0 whatever it says."""
    if arguments.replay == bool(arguments.files):
        raise DoorwardError("name files of scenarios, or say --replay")
    return _replay(arguments) if arguments.replay else _scenarios(arguments)


def _scenarios(arguments: argparse.Namespace) -> int:
    now = Clock().now()
    policies: dict[Path, Compiled] = {}
    results: list[Mapping[str, object]] = []
    for file in arguments.files:
        scenarios = load_scenarios(file)
        policy = arguments.config or scenarios.policy or Path("doorward.yaml")
        if policy not in policies:
            policies[policy] = check_part(policy, arguments.tenant)[1]
        for place, rule in zip(scenarios.places, scenarios.rule.scenarios, strict=True):
            wrong = rule.disagreement(decide_on_paper(policies[policy], rule.question(now)))
            where = f"{place.file}:{place.line}"
            results.append({"scenario": rule.name, "place": where, "ok": not wrong, "got": wrong or None})
            if wrong and not arguments.json:
                print(f"{where}: {rule.name}: expected {rule.expect}{f' {rule.code}' if rule.code else ''}, but it is {wrong}")
    failed = sum(not result["ok"] for result in results)
    if arguments.json:
        print(json.dumps(results))
    else:
        print(f"{len(results) - failed} of {len(results)} scenarios are as expected")
    return 1 if failed else 0


def _replay(arguments: argparse.Namespace) -> int:
    loaded, compiled = check_part(arguments.config or Path("doorward.yaml"), arguments.tenant)
    counts: Counter[str] = Counter()
    shown: list[_Otherwise] = []
    begin = since(arguments.since) or ""
    for otherwise in _decided_anew(loaded, compiled, arguments.log, begin, counts):
        if len(shown) < MOST_SHOWN:
            shown.append(otherwise)
    if arguments.json:
        print(json.dumps({"policy": compiled.digest, **counts, "otherwise": [each._asdict() for each in shown]}))
        return 0
    for each in shown:
        print(f"{each.request_id}  {each.agent}  {each.operation}: {each.before} -> {each.after}")
    print(
        f"{counts['otherwise_count']} of {counts['requests']} past requests would be decided otherwise; of {counts['unsure']}"
        " a rule reads what no log holds, and they are not judged"
    )
    return 0


def _decided_anew(
    loaded: Loaded, compiled: Compiled, named: list[Path], begin: str, counts: Counter[str]
) -> Iterator[_Otherwise]:
    counts.update({"requests": 0, "otherwise_count": 0, "unsure": 0})
    for log in named or logs_of_configuration(loaded):
        known = Known({}, {})
        for record in records_of(log):
            known.note(record)
            if record.get("tenant") not in (None, compiled.tenant):
                continue
            if record.get("type") != "request" or record.get("decision") is None or str(record.get("time")) < begin:
                continue
            otherwise = _judge(record, known, compiled, counts)
            if otherwise is not None:
                counts["otherwise_count"] += 1
                yield otherwise


def _judge(record: Mapping[str, Any], known: Known, compiled: Compiled, counts: Counter[str]) -> _Otherwise | None:
    """What is otherwise; None if nothing is, or nobody can say. Only what policy decides is decided anew."""
    if record.get("code") not in _OF_POLICY:
        return None
    question = question_of(record, known, compiled)
    if question is None:
        return None
    counts["requests"] += 1
    verdict = decide_on_paper(compiled, question)
    if unrecorded(compiled, question, verdict):
        counts["unsure"] += 1
        return None
    before, after = (
        _outcome(record.get("decision") == "allow", str(record.get("code"))),
        _outcome(verdict.allowed, str(verdict.code)),
    )
    if before == after:
        return None
    operation = f"{record.get('method')} {record.get('path')} ({question.declared or 'undeclared'})"
    return _Otherwise(str(record.get("request_id")), question.agent, operation, before, after)


def _outcome(allowed: bool, code: str) -> str:  # noqa: FBT001 it is the value, not a switch
    return "allowed" if allowed else f"refused: {code}"


_OF_POLICY: Final = frozenset(
    (None, "intent_missing", "intent_not_granted", "intent_mismatch", "condition_failed", "denied", "upstream_unknown")
)
