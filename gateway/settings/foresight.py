"""What a change of configuration would decide otherwise, found by asking both of them; knows no running gateway."""

from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple, cast

from gateway.clock import Clock
from gateway.errors import Refusal
from gateway.http.head import RequestHead
from gateway.http.target import Target
from gateway.intent.rules import Template
from gateway.model import Current, DeclaredIntent, Operation, Principal, Use
from gateway.policy.compile import Denial, Grant
from gateway.policy.decide import decide
from gateway.settings.compiled import Compiled
from gateway.settings.document import Document

_ANY: Final = "any.other"
"""Stands for what a pattern or a capture leaves open."""


class Otherwise(NamedTuple):
    """One operation that an agent declares one intent for. `before` and `after` say how it is decided."""

    agent: str
    intent: str
    operation: str
    before: str
    after: str


class Side(NamedTuple):
    """One of the two configurations."""

    document: Document
    compiled: Compiled


def decided_otherwise(before: Side, after: Side) -> Iterator[Otherwise]:
    """Every decision that is not the same, for each agent that either names, in the order of agents and intents.

    A pattern of agents stands for those that no other entry names. What a condition says of values that nobody has yet is not
    foreseen; conditions that apply are shown with the decision, so that another condition is another decision.
    """
    for shown, agent in _agents(before.document, after.document):
        views = [side.compiled.policy.view(agent).grants for side in (before, after)]
        for intent in dict.fromkeys((*views[0], *views[1])):
            for operation in _operations(intent, before.document, after.document):
                old, new = (_outcome(side, agent, intent, operation) for side in (before, after))
                if old != new:
                    yield Otherwise(shown, intent, operation, old, new)


def _agents(*documents: Document) -> list[tuple[str, str]]:
    """How each agent or pattern is written, with an agent that it covers."""
    written: dict[str, None] = {}
    for document in documents:
        for grant in document.grants:
            written |= dict.fromkeys(grant.agents)
        for denial in document.denials:
            written |= dict.fromkeys(denial.agents or ())
    return [(text, text.removesuffix("*") + _ANY if text.endswith("/*") else text) for text in sorted(written)]


def _operations(intent: str, *documents: Document) -> Iterable[str]:
    rules = [document.intents[intent] for document in documents if intent in document.intents]
    return dict.fromkeys(operation for rule in rules for operation in rule.templates)


def _outcome(side: Side, agent: str, intent: str, operation: str) -> str:
    rule = side.document.intents.get(intent)
    if rule is None or intent not in side.compiled.policy.view(agent).grants:
        return "not granted"
    upstream = side.compiled.upstreams[rule.upstream]
    template = Template.parse(operation)
    segments = tuple(_ANY if literal is None else literal for literal, _ in template.segments)
    observed = side.compiled.intents.by_upstream[upstream.name].operations.covering(template.method, segments)
    principal = Principal(
        agent=agent, subject=agent, tenant=upstream.tenant, task="", token="", intents=frozenset((intent,)), expires=0.0,
        epoch="", marks=frozenset(),
    )  # fmt: skip
    path = "/" + "/".join(segments)
    use = Use(DeclaredIntent(intent), Operation(template.method, path, segments), observed)
    head = RequestHead(b"", template.method, Target(path, None, segments, plain=False))
    try:
        permit = decide(side.compiled.policy, cast("Current", principal), use, upstream, head, "", Clock())
    except Refusal as refusal:
        decided = f"refused: {refusal.code}"
    else:
        decided = f"allowed by '{permit.grant}'"
    view = side.compiled.policy.view(agent)
    asked: list[Grant | Denial] = [*view.grants[intent]]
    asked += [denial for each in observed for denial in view.denials.get(each.intent, ())]
    conditions = [f"'{entry.name}' when {entry.condition.text}" for entry in asked if entry.condition is not None]
    return " ".join((decided + "; " * bool(conditions) + "; ".join(conditions)).split())
