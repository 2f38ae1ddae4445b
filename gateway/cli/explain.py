"""`doorward explain`: decides one request step by step, offline or as the audit log has it; asks no running gateway."""

import argparse
import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from gateway.audit.rules import worker_log
from gateway.cli.audit import records_of
from gateway.cli.check import add_tenant, check_part
from gateway.clock import Clock
from gateway.errors import DoorwardError
from gateway.explain import Story, explain
from gateway.settings.compiled import Compiled
from gateway.settings.load import Loaded
from gateway.settings.past import Known, question_of, unrecorded
from gateway.settings.trial import Question

SUMMARY = "decide one request, step by step"


def configure(parser: argparse.ArgumentParser) -> None:
    """The request, or the id of one in the log."""
    parser.add_argument("method", nargs="?", metavar="METHOD", help="GET, POST, ... or WEBSOCKET")
    parser.add_argument("target", nargs="?", metavar="PATH", help="as an agent sends it: /billing/v1/invoices?limit=5")
    parser.add_argument("-c", "--config", type=Path, default=Path("doorward.yaml"), metavar="FILE", help="the configuration")
    parser.add_argument("--agent", metavar="SPIFFE-ID", help="who calls; the agent of the first grant when left out")
    parser.add_argument("--intent", metavar="NAME", help="what Agent-Intent says; left out, nothing is declared")
    parser.add_argument("--holds", action="append", metavar="NAME", help="an intent of the token; may be repeated")
    parser.add_argument("--starter", metavar="SPIFFE-ID", help="who opened the task; the agent itself when left out")
    parser.add_argument("--param", action="append", default=[], metavar="NAME=VALUE", help="a param of the task")
    parser.add_argument("--claims", type=json.loads, metavar="JSON", help="the claims of who opened the task")
    parser.add_argument("--label", action="append", default=[], metavar="NAME", help="a label of the task")
    parser.add_argument("--requests", type=int, default=0, metavar="NUMBER", help="how many requests the task has made before")
    parser.add_argument("--header", action="append", default=[], metavar="NAME=VALUE", help="a header field of the request")
    parser.add_argument("--body", metavar="TEXT", help="the body; JSON unless a header says otherwise")
    parser.add_argument("--source", default="127.0.0.1", metavar="ADDRESS", help="where the request comes from")
    parser.add_argument("--at", metavar="TIME", help="when it comes: 2026-11-24T12:00:00Z")
    parser.add_argument("--record", metavar="REQUEST-ID", help="explain this request of the audit log instead")
    parser.add_argument("--log", type=Path, metavar="LOG", help="the log that holds it, if not that of the configuration")
    add_tenant(parser)


def run(arguments: argparse.Namespace) -> int:
    """Tell the story; 0 if the request is allowed, 1 if it is not."""
    loaded, compiled = check_part(arguments.config, arguments.tenant)
    notes: Sequence[str] = ()
    if arguments.record is not None:
        question, notes = _recorded(arguments, loaded, compiled)
    else:
        question = _asked(arguments, loaded)
    story = explain(loaded, compiled, question)
    if arguments.json:
        print(json.dumps(_as_json(story, notes)))
    else:
        print("\n".join((*_as_text(story), *(f"note: {note}" for note in notes))))
    return 0 if story.verdict.allowed else 1


def _asked(arguments: argparse.Namespace, loaded: Loaded) -> Question:
    if arguments.method is None or arguments.target is None:
        raise DoorwardError("say which request: doorward explain GET /billing/v1/invoices --intent invoices.read")
    agent = arguments.agent or loaded.document.grants[0].agents[0]
    if agent.endswith("/*"):
        raise DoorwardError(f"the grants are for {agent}; say for which agent with --agent")
    headers = dict(_pair(text) for text in arguments.header)
    if arguments.body is not None and not any(name.lower() == "content-type" for name in headers):
        headers["Content-Type"] = "application/json"
    return Question(
        agent=agent,
        method=arguments.method,
        target=arguments.target,
        at=_time(arguments.at),
        declared=arguments.intent,
        intents=None if arguments.holds is None else tuple(arguments.holds),
        starter=arguments.starter,
        params=dict(_pair(text) for text in arguments.param),
        claims=arguments.claims,
        labels=tuple(arguments.label),
        requests=arguments.requests,
        headers=headers,
        body=(arguments.body or "").encode(),
        source=arguments.source,
    )


def _recorded(arguments: argparse.Namespace, loaded: Loaded, compiled: Compiled) -> tuple[Question, Sequence[str]]:
    logs = [arguments.log] if arguments.log is not None else logs_of_configuration(loaded)
    known = Known({}, {})
    wanted: Mapping[str, Any] | None = None
    for log in logs:
        for record in records_of(log):
            known.note(record)
            if record.get("tenant") not in (None, compiled.tenant):
                continue
            if record.get("type") == "request" and record.get("request_id") == arguments.record:
                wanted = record
    if wanted is None:
        raise DoorwardError(f"the log holds no request {arguments.record}")
    question = question_of(wanted, known, compiled)
    if question is None:
        raise DoorwardError(
            f"the record of {arguments.record} tells too little: code {wanted.get('code')}, nobody was known yet"
        )
    notes = [f"recorded at {wanted.get('time')} as {wanted.get('decision')} {wanted.get('code') or ''}".rstrip()]
    if wanted.get("policy") not in (None, compiled.digest):
        notes.append(f"it was decided under policy {wanted.get('policy')}, and this is {compiled.digest}")
    story = explain(loaded, compiled, question)
    if missing := unrecorded(compiled, question, story.verdict):
        notes.append(f"the log does not hold {', '.join(sorted(missing))}, which a rule reads here: it may have said otherwise")
    return question, notes


def logs_of_configuration(loaded: Loaded) -> list[Path]:
    """The logs of the authority and of each worker there ever was."""
    own = loaded.resolve(loaded.document.audit.log.path)
    workers = worker_log(own, "*")
    return [own, *sorted(workers.parent.glob(workers.name))]


def _as_text(story: Story) -> Iterator[str]:
    width = max(len(line.step) for line in story.lines)
    for line in story.lines:
        yield f"{line.step:<{width}}  {line.text}"
    yield ""
    yield f"{'ALLOWED' if story.verdict.allowed else 'REFUSED'}{f' by {story.entry}' if story.entry else ''}"
    yield from (f"to be allowed: {each}" for each in story.differ)


def _as_json(story: Story, notes: Sequence[str]) -> Mapping[str, object]:
    permit = story.verdict.permit
    return {
        "decision": "allow" if story.verdict.allowed else "deny",
        "code": story.verdict.code,
        "detail": story.verdict.detail,
        "grant": None if permit is None or not permit.grant else permit.grant,
        "forwarded": permit is not None,
        "entry": story.entry,
        "steps": [line._asdict() for line in story.lines],
        "differ": story.differ,
        "notes": notes,
    }


def _pair(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals:
        raise DoorwardError(f"{text}: expected NAME=VALUE")
    return name, value


def _time(text: str | None) -> float:
    if text is None:
        return Clock().now()
    try:
        return datetime.fromisoformat(text).timestamp()
    except ValueError:
        raise DoorwardError(f"--at {text}: expected a time such as 2026-11-24T12:00:00Z") from None
