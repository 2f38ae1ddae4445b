"""Grants and denials made ready to be asked: who concerns whom is found once for each agent; knows nothing of requests."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

from cachetools import LRUCache

from gateway.model import AgentPattern
from gateway.policy.rules import DenialRule, GrantRule, matches

R = TypeVar("R")

AGENTS_KEPT: Final = 4096
"""How many agents' views are kept; an agent's view is made anew when it was dropped."""


@dataclass(frozen=True, slots=True)
class Grant:
    """A grant, as far as it concerns one intent. `ttl` is in seconds."""

    name: str
    implied: bool
    ttl: float | None


@dataclass(frozen=True, slots=True)
class AgentView:
    """What the policy says about one agent: for each intent the first grant in file order, and the first denial."""

    grants: Mapping[str, Grant]
    denials: Mapping[str, str]


class Policy:
    """All grants and denials of one snapshot. Immutable but for the cache of views, which holds nothing but its own outcome."""

    def __init__(self, grants: Sequence[GrantRule], denials: Sequence[DenialRule], intents: Iterable[str], digest: str) -> None:
        """`intents` are the names of all intents, against which patterns are matched; `digest` names this policy in records."""
        self.digest: Final = digest
        self._intents: Final = tuple(intents)
        self._grants: Final = _ByAgent((rule, rule.agents) for rule in grants)
        self._denials: Final = _ByAgent((rule, rule.agents) for rule in denials)
        self._views: Final[LRUCache[str, AgentView]] = LRUCache(AGENTS_KEPT)

    def view(self, agent: str) -> AgentView:
        """What concerns this agent. The cost does not grow with the entries that concern others."""
        view = self._views.get(agent)
        if view is None:
            view = self._views[agent] = self._make_view(agent)
        return view

    def first_grant(self, agent: str, intent: str) -> Grant | None:
        """The grant that decides, if there is one."""
        return self.view(agent).grants.get(intent)

    def first_denial(self, agent: str, intents: Iterable[str]) -> str | None:
        """The name of a denial that forbids one of the intents, if there is one."""
        denials = self.view(agent).denials
        return next((denials[intent] for intent in intents if intent in denials), None)

    def _make_view(self, agent: str) -> AgentView:
        grants: dict[str, Grant] = {}
        for rule in self._grants.concerning(agent):
            grant = Grant(rule.name, rule.declare == "implied", rule.ttl)
            for intent in self._named_by(rule.intents):
                grants.setdefault(intent, grant)
        denials: dict[str, str] = {}
        for denial in self._denials.concerning(agent):
            for intent in self._named_by(denial.intents):
                denials.setdefault(intent, denial.name)
        return AgentView(grants, denials)

    def _named_by(self, patterns: Sequence[str]) -> Iterable[str]:
        for pattern in patterns:
            if "*" in pattern:
                yield from (intent for intent in self._intents if matches(pattern, intent))
            else:
                yield pattern


class _ByAgent(Generic[R]):
    """Rules found by agent: one look-up for the exact id and one for each path boundary in it."""

    def __init__(self, rules: Iterable[tuple[R, Sequence[str] | None]]) -> None:
        self._everybody: list[tuple[int, R]] = []
        self._exact: dict[str, list[tuple[int, R]]] = {}
        self._below: dict[str, list[tuple[int, R]]] = {}
        for order, (rule, agents) in enumerate(rules):
            if agents is None:
                self._everybody.append((order, rule))
            for pattern in map(AgentPattern.parse, agents or ()):
                table = self._below if pattern.below else self._exact
                table.setdefault(pattern.text, []).append((order, rule))

    def concerning(self, agent: str) -> list[R]:
        """The rules that concern this agent, in file order, each once."""
        found = dict(self._everybody)
        found.update(self._exact.get(agent, ()))
        slash = agent.find("/", len("spiffe://"))
        while slash > 0:
            found.update(self._below.get(agent[: slash + 1], ()))
            slash = agent.find("/", slash + 1)
        return [found[order] for order in sorted(found)]
