"""Who may open a task under a grant, and with which params; knows nothing of requests and of how tasks are opened."""

from collections.abc import Iterable, Mapping
from hashlib import sha256
from types import MappingProxyType
from typing import Any, Final, NamedTuple, final

from gateway.expressions import ExpressionError
from gateway.model import AgentPattern
from gateway.policy.conditions import start_condition
from gateway.policy.members import SUBJECT_CLAIMS
from gateway.policy.rules import StartRule

NO_PARAMS: Final[Mapping[str, str]] = MappingProxyType({})
"""What a task has that was opened without any."""
_MARK_DIGITS: Final = 16


class Opening(NamedTuple):
    """How a task was opened: for which agent, by whom, with which params.

    `claims` are those of the identity that opened it; None when they are not at hand any more. Then `met` are the marks of the
    conditions that held of them; None where that is only supposed, and every one of them is taken to have held.
    """

    agent: str
    starter: str
    params: Mapping[str, str] = NO_PARAMS
    claims: Mapping[str, Any] | None = None
    met: frozenset[str] | None = frozenset()

    @property
    def plain(self) -> bool:
        """Whether the agent itself opened it, without params."""
        return self.starter == self.agent and not self.params


@final
class _Facts:
    """What the condition of a start reads."""

    __slots__ = ("_opening",)

    captures: Final[Mapping[str, str]] = NO_PARAMS

    def __init__(self, opening: Opening) -> None:
        self._opening: Final = opening

    @property
    def params(self) -> Mapping[str, str]:
        return self._opening.params

    def values(self, names: Iterable[str]) -> dict[str, Any]:
        opening = self._opening
        known = {
            "agent.id": opening.agent,
            "agent.trust_domain": opening.agent.removeprefix("spiffe://").partition("/")[0],
            "subject.id": opening.starter,
            SUBJECT_CLAIMS: dict(opening.claims or {}),
            "task.params": dict(opening.params),
        }
        return {name: known[name] for name in names}


@final
class Start:
    """The compiled `start` of a grant.

    `mark` names a condition that reads claims, which are at hand only when a task is opened: that it held then is remembered
    by this name. Another text has another name, and of that nothing is known.
    """

    __slots__ = ("_by", "_condition", "mark")

    def __init__(self, rule: StartRule) -> None:
        """`rule` is checked already."""
        self._by: Final = tuple(map(AgentPattern.parse, rule.by))
        self._condition: Final = None if rule.when is None else start_condition(rule.when)
        reads_claims = self._condition is not None and SUBJECT_CLAIMS in self._condition.reads
        self.mark: Final = sha256((rule.when or "").encode()).hexdigest()[:_MARK_DIGITS] if reads_claims else None

    def allows(self, opening: Opening) -> bool:
        """Whether a task may be opened like this; of claims that are not at hand any more, what was found when they were.

        A condition that fails is not met.
        """
        if not any(pattern.covers(opening.starter) for pattern in self._by):
            return False
        if self._condition is None:
            return True
        if self.mark is not None and opening.claims is None:
            return opening.met is None or self.mark in opening.met
        try:
            return self._condition.holds(_Facts(opening))
        except ExpressionError:
            return False
