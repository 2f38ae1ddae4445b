"""Makes ready how requests are read and what of policy is only observed; knows nothing of connections and secrets."""

from collections.abc import Mapping

from gateway.intent.index import OperationIndex
from gateway.intent.read_intent import Readable
from gateway.intent.readers import READERS
from gateway.intent.rules import IntentRule
from gateway.policy.asked import OF_BODY, OF_LABELS
from gateway.policy.conditions import request_condition
from gateway.policy.observe import Observing
from gateway.policy.rules import DenialRule, GrantRule, matches
from gateway.settings.document import Document


def readable(document: Document) -> Mapping[str, Readable]:
    """For each upstream its reader, and the index of its intents in file order."""
    own: dict[str, dict[str, IntentRule]] = {name: {} for name in document.upstreams}
    for intent, rule in document.intents.items():
        own[rule.upstream][intent] = rule
    kinds = {name: READERS[rule.protocol] for name, rule in document.upstreams.items()}
    body, labels = _reading(document, OF_BODY), _reading(document, OF_LABELS)
    return {name: Readable(kind.build(kind.config()), OperationIndex(own[name], body, labels)) for name, kind in kinds.items()}


def observing(document: Document) -> Observing | None:
    """What is only observed."""
    upstreams = frozenset(name for name, rule in document.upstreams.items() if rule.mode == "observe")
    grants = frozenset(rule.name for rule in document.grants if rule.mode == "observe")
    everything = document.gateway.mode == "observe"
    if not (everything or upstreams or grants):
        return None
    intents: dict[str, set[str]] = {}
    for intent, rule in document.intents.items():
        intents.setdefault(rule.upstream, set()).add(intent)
    known = {name: frozenset(found) for name, found in intents.items()}
    return Observing(everything=everything, upstreams=upstreams, grants=grants, intents=known)


def _reading(document: Document, variables: frozenset[str]) -> frozenset[str]:
    """The intents of which the condition of some grant or denial reads one of these variables."""
    found: set[str] = set()
    entries: list[GrantRule | DenialRule] = [*document.grants, *document.denials]
    for entry in entries:
        if entry.when is not None and not request_condition(entry.when).reads.isdisjoint(variables):
            found |= {name for name in document.intents if any(matches(pattern, name) for pattern in entry.intents)}
    return frozenset(found)
