"""Grants and denials made ready to be asked: who concerns whom is found once for each agent; knows nothing of requests."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Final, Generic, TypeVar

from cachetools import LRUCache

from gateway.model import AgentPattern
from gateway.policy.asked import OF_COUNTS
from gateway.policy.conditions import Condition, request_condition
from gateway.policy.limited import GrantLimits
from gateway.policy.members import AGENT_CLAIMS, SUBJECT_CLAIMS, claims_named
from gateway.policy.rules import DenialRule, GrantRule, matches
from gateway.policy.start import Opening, Start

R = TypeVar("R")

ASKED_FOR: Final = frozenset(("intent_not_granted", "intent_mismatch", "condition_failed", "denied"))
"""The codes of refusals of what was asked for, and not of how, or of how much."""
AGENTS_KEPT: Final = 4096
"""How many agents' views are kept; an agent's view is made anew when it was dropped."""


@dataclass(frozen=True, slots=True)
class Grant:
    """A grant, ready to be asked. `ttl` is in seconds.

    With `proof` it is for bound tokens alone.
    Without a `start` it is for tasks that the agent opened itself, without params; without a `condition` for every request.
    """

    name: str
    implied: bool
    ttl: float | None
    limits: GrantLimits | None = None
    start: Start | None = None
    condition: Condition | None = None
    proof: bool = False

    @property
    def free(self) -> bool:
        """Whether it is for every request of a task that the agent opened itself, without params."""
        return self.start is None and self.condition is None

    def is_for(self, opening: Opening) -> bool:
        """Whether it is for the requests of a task that was opened like this."""
        return opening.plain if self.start is None else self.start.allows(opening)


@dataclass(frozen=True, slots=True)
class Denial:
    """A denial, ready to be asked; without a `condition` it is for every request."""

    name: str
    condition: Condition | None = None


@dataclass(frozen=True, slots=True)
class AgentView:
    """What the policy says about one agent: for each intent the grants and the denials that can matter, in file order.

    `free` holds the grant that decides every request of a task which the agent opened itself without params, where one does.
    `counts` says that one of them asks how many requests the task has made.
    """

    free: Mapping[str, Grant]
    grants: Mapping[str, Sequence[Grant]]
    denials: Mapping[str, Sequence[Denial]]
    counts: bool


class Policy:
    """All grants and denials of one snapshot. Immutable but for the cache of views, which holds nothing but its own outcome."""

    def __init__(
        self, grants: Sequence[GrantRule], denials: Sequence[DenialRule], intents: Iterable[str], digest: str,
        observing: object = None, *, drift: bool = False,
    ) -> None:  # fmt: skip
        """`intents` are the names of all intents, against which patterns are matched; `digest` names this policy in records.

        `observing` says what of it is only observed, None if nothing is; with `drift` somebody counts refusals.
        """
        self.drifting: Final = ASKED_FOR if drift else frozenset[str]()
        """The codes of refusals that are counted."""
        self.digest: Final = digest
        texts = [*(rule.when for rule in grants), *(rule.when for rule in denials)]
        conditions = [text for text in texts if text is not None]
        self.claims: Final = frozenset[str]().union(*(claims_named(AGENT_CLAIMS, text) for text in conditions))
        """The claims of agents that conditions read, and tokens therefore carry."""
        self.subject_claims: Final = frozenset[str]().union(*(claims_named(SUBJECT_CLAIMS, text) for text in conditions))
        """The claims of subjects that conditions of requests read, and tasks therefore keep."""
        self.counting: Final = any(not OF_COUNTS.isdisjoint(request_condition(text).reads) for text in conditions)
        """Whether a condition asks how many requests a task has made, whomever it concerns."""
        self.observing: Final = observing
        self._intents: Final = tuple(intents)
        self._grants: Final = _ByAgent(((_grant(rule), rule.intents), rule.agents) for rule in grants)
        self._denials: Final = _ByAgent(((_denial(rule), rule.intents), rule.agents) for rule in denials)
        self._views: Final[LRUCache[str, AgentView]] = LRUCache(AGENTS_KEPT)

    def view(self, agent: str) -> AgentView:
        """What concerns this agent. The cost does not grow with the entries that concern others."""
        view = self._views.get(agent)
        if view is None:
            view = self._views[agent] = self._make_view(agent)
        return view

    def _make_view(self, agent: str) -> AgentView:
        grants: dict[str, list[Grant]] = {}
        settled: set[str] = set()
        for grant, patterns in self._grants.concerning(agent):
            for intent in self._named_by(patterns):
                if grant.start is None and intent in settled:
                    continue
                grants.setdefault(intent, []).append(grant)
                if grant.free:
                    settled.add(intent)
        denials: dict[str, list[Denial]] = {}
        for denial, patterns in self._denials.concerning(agent):
            for intent in self._named_by(patterns):
                known = denials.setdefault(intent, [])
                if not known or known[-1].condition is not None:
                    known.append(denial)
        free = {intent: found[0] for intent, found in grants.items() if found[0].free}
        entries: Iterable[Grant | Denial] = chain(*grants.values(), *denials.values())
        counts = self.counting and any(
            entry.condition is not None and not OF_COUNTS.isdisjoint(entry.condition.reads) for entry in entries
        )
        return AgentView(free, grants, denials, counts)

    def _named_by(self, patterns: Sequence[str]) -> Iterable[str]:
        for pattern in patterns:
            if "*" in pattern:
                yield from (intent for intent in self._intents if matches(pattern, intent))
            else:
                yield pattern


def _grant(rule: GrantRule) -> Grant:
    return Grant(
        rule.name,
        rule.declare == "implied",
        rule.ttl,
        limits=None if rule.limits is None else GrantLimits(rule.name, rule.limits),
        start=None if rule.start is None else Start(rule.start),
        condition=None if rule.when is None else request_condition(rule.when),
        proof=rule.proof == "required",
    )


def _denial(rule: DenialRule) -> Denial:
    return Denial(rule.name, None if rule.when is None else request_condition(rule.when))


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
