"""Makes a question of what the audit log says of a past request; knows no files, and what the log does not hold."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, Final, NamedTuple

from gateway.policy.compile import Denial, Grant
from gateway.settings.compiled import Compiled
from gateway.settings.trial import Question, Verdict

MOST_TASKS: Final = 1_000_000
"""How many tasks and tokens are remembered while a log is read."""
_UNRECORDED: Final = frozenset(
    ("request.query", "request.headers", "request.size", "request.json", "request.form", "task.labels", "task.requests",
     "agent.claims", "subject.claims", "tool.arguments")
)  # fmt: skip


class Known(NamedTuple):
    """What the log has said of tasks and tokens so far."""

    tasks: dict[str, Mapping[str, Any]]
    tokens: dict[str, Mapping[str, Any]]

    def note(self, record: Mapping[str, Any]) -> None:
        """Remember what a record says of a task or a token."""
        if record.get("type") == "task" and record.get("event") == "opened" and len(self.tasks) < MOST_TASKS:
            self.tasks[str(record.get("task"))] = record
        elif record.get("type") == "token" and len(self.tokens) < MOST_TASKS:
            self.tokens[str(record.get("token"))] = record


def question_of(record: Mapping[str, Any], known: Known, compiled: Compiled) -> Question | None:
    """The question that a request record tells of; None if it tells too little: nobody was known, or no upstream found."""
    upstream = compiled.upstreams.get(str(record.get("upstream")))
    method, path, agent = record.get("method"), record.get("path"), record.get("agent")
    if upstream is None or not isinstance(method, str) or not isinstance(path, str) or not isinstance(agent, str):
        return None
    intent: Mapping[str, Any] = record.get("intent") or {}
    task = known.tasks.get(str(record.get("task")), {})
    token = known.tokens.get(str(record.get("token")), task)
    names = record.get("query") or ()
    query = "&".join(name if "=" in name else f"{name}=" for name in names if name)
    at = _seconds(record.get("time"))
    intents = token.get("intents")
    return Question(
        agent=agent,
        method=method,
        target=f"{upstream.prefix}{path}{'?' * bool(query)}{query}",
        at=at,
        declared=intent.get("declared"),
        reason=intent.get("reason"),
        intents=None if intents is None else tuple(intents),
        starter=task.get("starter"),
        subject=record.get("subject"),
        tenant=record.get("tenant"),
        params={name: str(value) for name, value in (task.get("params") or {}).items()},
        opened=_seconds(task.get("time")) if "time" in task else at,
        source=str(record.get("source") or ""),
    )


def unrecorded(compiled: Compiled, question: Question, verdict: Verdict) -> frozenset[str]:
    """What the entries that have matched read and no log holds: then the verdict may be another than the gateway's."""
    view = compiled.policy.view(question.agent)
    observed = () if verdict.use is None else verdict.use.observed
    entries: list[Iterable[Grant | Denial]] = [view.denials.get(each.intent, ()) for each in observed]
    entries += [view.grants.get(each.intent, ()) for each in observed if question.declared in (None, each.intent)]
    read = [entry.condition.reads for entries_ in entries for entry in entries_ if entry.condition is not None]
    found = frozenset[str]().union(*read) & _UNRECORDED
    return found | ({"body"} if verdict.use is not None and verdict.use.content is not None else frozenset())


def _seconds(text: object) -> float:
    return datetime.fromisoformat(str(text)).timestamp()
