"""What in a configuration is right and still worth a second look: overlaps, and what nothing reaches; decides nothing."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Final

from gateway.errors import Flaw
from gateway.intent.names import KINDS
from gateway.intent.rules import TYPES, OperationRule, Template
from gateway.model import AgentPattern
from gateway.policy.rules import DenialRule, GrantRule, matches
from gateway.settings.document import Document
from gateway.settings.load import Loaded

MOST_FINDINGS: Final = 100
"""How many findings of each kind are told."""
MOST_COMPARED: Final = 2000
"""With how many others an operation or a grant is compared, so that a large file is reviewed in seconds."""


def findings(loaded: Loaded) -> Iterator[Flaw]:
    """Each with its place, as mistakes have it; none keeps the configuration from being used."""
    for kind in (_overlaps(loaded), _unreached_grants(loaded), _ungranted_intents(loaded)):
        yield from islice(kind, MOST_FINDINGS)


def _overlaps(loaded: Loaded) -> Iterator[Flaw]:
    """Operations that two intents cover: a denial of either forbids them, and both leave their labels."""
    known: dict[tuple[str, str], list[tuple[str, OperationRule, Template]]] = {}
    for intent, rule in loaded.document.intents.items():
        for number, operation in enumerate(rule.operations):
            if operation.operation.partition(" ")[0] in KINDS:  # those of MCP are told apart by their names
                continue
            template = Template.parse(operation.operation)
            others = known.setdefault((rule.upstream, template.method), [])
            where = ("intents", intent, "operations", number)
            for other, earlier, before in others[:MOST_COMPARED]:
                if not _overlap(template, before) or _exclude(operation, earlier):
                    continue
                if other == intent and operation == earlier:
                    yield loaded.flaw(where, "this operation stands twice in its intent")
                elif other != intent:
                    told = (
                        f"{earlier.operation!r} of {other} covers some of the same requests, so a denial of one is one of both"
                    )
                    yield loaded.flaw(where, told)
                    break
            others.append((intent, operation, template))


def _overlap(one: Template, other: Template) -> bool:
    """Whether some path fits both."""
    fixed = [each.segments[:-1] if each.rest else each.segments for each in (one, other)]
    for at, (mine, its) in enumerate(zip(*fixed, strict=False)):
        if mine[0] is not None and its[0] is not None and mine[0] != its[0]:
            return False
        if not (_takes(one, at, its[0]) and _takes(other, at, mine[0])):
            return False
    if len(fixed[0]) == len(fixed[1]):
        return one.rest == other.rest
    return one.rest if len(fixed[0]) < len(fixed[1]) else other.rest


def _takes(template: Template, at: int, literal: str | None) -> bool:
    """Whether the segment can be this literal, if it is a capture."""
    if literal is None or template.segments[at][0] is not None:
        return True
    kind = next((name for place, name in template.types if place == at), None)
    return bool(literal) and (kind is None or TYPES[kind](literal) is not None)


def _exclude(one: OperationRule, other: OperationRule) -> bool:
    """Whether they demand different values of one name."""
    for mine, its in ((one.query, other.query), (one.body, other.body)):
        for name in mine.keys() & its.keys():
            if not any(each in _listed(its[name]) for each in _listed(mine[name])):
                return True
    return False


def _listed(values: object) -> Sequence[object]:
    return values if isinstance(values, list) else [values]


def _unreached_grants(loaded: Loaded) -> Iterator[Flaw]:
    """Grants of which an earlier one decides everything, or a denial forbids everything."""
    document = loaded.document
    free: list[GrantRule] = []
    forbidding = [denial for denial in document.denials if denial.when is None][:MOST_COMPARED]
    for number, grant in enumerate(document.grants):
        where = ("grants", number, "name")
        if taken := _taken(document, grant, forbidding):
            yield loaded.flaw(where, f"everything that this grant allows is forbidden, by {taken}")
        elif grant.start is None and (taken := _taken(document, grant, free)):
            yield loaded.flaw(where, f"this grant is never asked: {taken} before it decides all of its requests")
        if grant.start is None and grant.when is None and len(free) < MOST_COMPARED:
            free.append(grant)


def _taken(document: Document, grant: GrantRule, others: Iterable[GrantRule | DenialRule]) -> str:
    """The entries that together name every agent and intent of a grant; empty if one is left."""
    intents = [name for name in document.intents if any(matches(pattern, name) for pattern in grant.intents)]
    by: dict[str, None] = {}
    concerned = [other for other in others if any(_names(other, agent) for agent in grant.agents)]
    for agent in grant.agents if concerned else ():
        for intent in intents:
            first = next((other for other in concerned if _names(other, agent) and _gives(other, intent)), None)
            if first is None:
                return ""
            by[f"'{first.name}'"] = None
    return " and ".join(by)


def _names(entry: GrantRule | DenialRule, agent: str) -> bool:
    """Whether an entry concerns every agent that a pattern covers."""
    wanted = AgentPattern.parse(agent)
    if entry.agents is None:
        return True
    for pattern in map(AgentPattern.parse, entry.agents):
        if pattern.text == wanted.text or (pattern.below and wanted.text.startswith(pattern.text)):
            return True
    return False


def _gives(entry: GrantRule | DenialRule, intent: str) -> bool:
    return any(matches(pattern, intent) for pattern in entry.intents)


def _ungranted_intents(loaded: Loaded) -> Iterator[Flaw]:
    """Intents that nobody can hold."""
    patterns = {pattern for grant in loaded.document.grants for pattern in grant.intents}
    wide = [pattern for pattern in patterns if "*" in pattern]
    for intent in loaded.document.intents:
        if intent not in patterns and not any(matches(pattern, intent) for pattern in wide):
            yield loaded.flaw(("intents", intent), f"no grant lets anybody hold {intent}")
