"""Checks that conditions name only captures that their operations have; knows nothing of what is captured."""

from collections.abc import Iterator, Mapping

from gateway.errors import Flaw
from gateway.intent.rules import Template
from gateway.policy.members import CAPTURES, members_named
from gateway.policy.rules import DenialRule, GrantRule, matches
from gateway.settings.load import Loaded
from gateway.settings.sentences import unknown


def capture_flaws(loaded: Loaded) -> Iterator[Flaw]:
    """One for each capture that no operation of an entry's intents has: its condition could only fail."""
    captures: dict[str, frozenset[str]] = {}
    sections: Mapping[str, tuple[GrantRule | DenialRule, ...]] = {
        "grants": loaded.document.grants,
        "denials": loaded.document.denials,
    }
    for section, entries in sections.items():
        for number, entry in enumerate(entries):
            if entry.when is None:
                continue
            captures = captures or _captures(loaded)
            known = frozenset[str]().union(
                *(found for intent, found in captures.items() if any(matches(pattern, intent) for pattern in entry.intents))
            )
            for member in members_named(entry.when):
                if member.variable == CAPTURES and member.name not in known:
                    told = unknown("capture", member.name, known)
                    where = f"(line {member.line}, column {member.column} of the expression)"
                    yield loaded.flaw((section, number, "when"), f"{told} {where}")


def _captures(loaded: Loaded) -> dict[str, frozenset[str]]:
    """The captures that the operations of each intent have."""
    return {
        name: frozenset(
            capture for operation in rule.templates for _, capture in Template.parse(operation).segments if capture is not None
        )
        for name, rule in loaded.document.intents.items()
    }
