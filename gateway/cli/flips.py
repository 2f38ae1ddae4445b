"""`doorward flips`: what was forwarded in observe mode and would be refused if it were enforced; reads the log alone."""

import argparse
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from gateway.cli.audit import add_log, logs_of, records_of, since

SUMMARY = "what enforcement would change: the requests that were only observed"

MOST_GROUPS: Final = 1000
"""How many kinds of request are told apart; what comes later is counted together."""


@dataclass
class _Kind:
    """Requests that would be refused alike."""

    count: int = 0
    first: str = ""
    last: str = ""
    such_as: str = ""
    operation: str = ""


_Key = tuple[str, str, str, str, str]


def configure(parser: argparse.ArgumentParser) -> None:
    """The log, and since when."""
    add_log(parser)
    parser.add_argument("--since", metavar="TIME", help="only from then on: 15m, 24h, 7d, or 2026-11-23T18:00:00Z")


def run(arguments: argparse.Namespace) -> int:
    """Print one line for each kind of request that would be refused; 0 whatever it says."""
    begin = since(arguments.since)
    records = (record for log in logs_of(arguments) for record in records_of(log.path))
    seen, kinds = _counted(records, begin or "")
    if arguments.json:
        print(json.dumps({"requests": seen, "flips": [_as_json(key, kind) for key, kind in kinds.items()]}))
        return 0
    total = sum(kind.count for kind in kinds.values())
    print(f"{total} of {seen} requests that were forwarded would be refused")
    for key, kind in sorted(kinds.items(), key=lambda item: -item[1].count):
        code, agent, intent, upstream, method = key
        print(
            f"{kind.count:>7}  {code:<18}  {agent}  {intent}  {method} on {upstream}, such as {kind.operation} ({kind.such_as})"
        )
    return 0


def _counted(records: Iterable[Mapping[str, Any]], begin: str) -> tuple[int, Mapping[_Key, _Kind]]:
    """How many requests were forwarded, and those among them that policy had refused."""
    seen = 0
    kinds: dict[_Key, _Kind] = {}
    for record in records:
        if record.get("type") != "request" or str(record.get("time")) < begin:
            continue
        observed = record.get("enforced") is False
        if record.get("decision") != "allow" and not observed:
            continue
        seen += 1
        if observed:
            _count(kinds, record)
    return seen, kinds


def _count(kinds: dict[_Key, _Kind], record: Mapping[str, Any]) -> None:
    declared = (record.get("intent") or {}).get("declared")
    key = (str(record.get("code")), str(record.get("agent")), declared or "(undeclared)", str(record.get("upstream")),
           str(record.get("method")))  # fmt: skip
    if key not in kinds and len(kinds) >= MOST_GROUPS:
        key = ("others", "others", "others", "others", "others")
    kind = kinds.setdefault(key, _Kind())
    time = str(record.get("time"))
    kind.count += 1
    kind.first = min(kind.first or time, time)
    kind.last = max(kind.last, time)
    kind.such_as = str(record.get("request_id"))
    kind.operation = f"{record.get('method')} {record.get('path')}"


def _as_json(key: _Key, kind: _Kind) -> Mapping[str, object]:
    code, agent, intent, upstream, method = key
    return {
        "code": code, "agent": agent, "intent": intent, "upstream": upstream, "method": method, "count": kind.count,
        "first": kind.first, "last": kind.last, "request_id": kind.such_as,
    }  # fmt: skip
