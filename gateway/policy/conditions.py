"""Compiles what entries of policy demand, natively where it can be, else in CEL; knows no entry and decides nothing."""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any, Final, Protocol, final

from gateway.errors import Refusal
from gateway.expressions import BOOL, CLAIMS, STRING, TEXTS, Environment, Expression, ExpressionError
from gateway.http.query import spelled_otherwise
from gateway.policy.asked import UNDERSTOOD, VARIABLES, VOLATILE
from gateway.policy.comparisons import Comparisons
from gateway.policy.members import (
    AGENT_CLAIMS,
    CAPTURES,
    CARRIED,
    FORM,
    PARAMS,
    QUERY,
    SUBJECT_CLAIMS,
    PairsRead,
    claims_apart,
    members_named,
    pairs_read,
)

CONDITIONS_KEPT: Final = 4096
"""How many compiled conditions are kept by their text; another one is compiled again when it is needed."""

_OF_REQUESTS: Final = Environment(VARIABLES)
_OF_CARRIED: Final = Environment(UNDERSTOOD)
_OF_STARTS: Final = Environment(
    {"agent.id": STRING, "agent.trust_domain": STRING, "subject.id": STRING, SUBJECT_CLAIMS: CLAIMS, PARAMS: TEXTS}
)
_PAIRS: Final = {QUERY: "query", FORM: "body"}
_START_TEXTS: Final = frozenset(("agent.id", "agent.trust_domain", "subject.id"))
_ABSENT: Final = ("Key not found", "No such key", "no such key", "out of bounds", "out of range")
_SAMPLES: Final = ("1", "a", "spiffe://example.test/a", "2026-11-24T12:00:00Z", "5m", "true", "192.0.2.1")


class Readable(Protocol):
    """What gives a condition the facts that it reads."""

    @property
    def captures(self) -> Mapping[str, str]:
        """What was captured from the path."""
        ...

    @property
    def params(self) -> Mapping[str, str]:
        """The params of the task."""
        ...

    def values(self, names: Iterable[str]) -> dict[str, Any]:
        """The variables of these names. Raises `ExpressionError`."""
        ...


@final
class Condition:
    """A compiled `when`. It holds or not, or fails, which is never taken for a yes."""

    __slots__ = ("_comparisons", "_expression", "_pairs", "lasting", "reads", "text")

    def __init__(
        self, text: str, comparisons: Comparisons | None, expression: Expression | None, judged: Expression | None = None
    ) -> None:
        """What `text` means, as one of the two; `judged` is the expression as it is evaluated, where it asks for claims."""
        self.text: Final = text
        self._comparisons: Final = comparisons
        self._expression: Final = judged or expression
        reads: set[str] = set()
        if comparisons is not None:
            reads |= {CAPTURES} if comparisons.captures else set()
            reads |= {PARAMS} if comparisons.params else set()
        elif expression is not None:
            reads |= expression.reads
        self.reads: Final = frozenset(reads)
        """The variables that its value can depend on."""
        self._pairs: Final = {variable: pairs_read(variable, text) for variable in _PAIRS if variable in self.reads}
        self.lasting: Final = self.reads.isdisjoint(VOLATILE)
        """Whether it has one value whenever the same request comes with the same token."""

    def holds(self, facts: Readable) -> bool:
        """Whether it holds for these facts. Raises `ExpressionError` when that cannot be said, or `Refusal`."""
        if self._comparisons is not None:
            return self._comparisons.hold(facts.captures, facts.params)
        if self._expression is None:
            raise ExpressionError("there is no expression")
        values = facts.values(self._expression.reads)
        for variable, read in self._pairs.items():
            _require_one_spelling(variable, values[variable], read)
        return self._expression.evaluate(values) is True


def _require_one_spelling(variable: str, pairs: Mapping[str, list[str]], read: PairsRead) -> None:
    """Refuse pairs in which some server would take another name for one that is read."""
    if spelled_otherwise(pairs, (*read.names, *pairs) if read.others else read.names):
        told = f"A rule reads the {_PAIRS[variable]}, which holds another spelling of a name that counts."
        raise Refusal("request_malformed", told)


@lru_cache(CONDITIONS_KEPT)
def request_condition(text: str) -> Condition:
    """Compile a condition that is judged for each request. Raises `ExpressionError` with the place of the mistake."""
    return _compiled(text, _OF_REQUESTS, Comparisons.parse(text))


@lru_cache(CONDITIONS_KEPT)
def start_condition(text: str) -> Condition:
    """Compile a condition that is judged when a task is opened, where there is no request yet. Raises `ExpressionError`."""
    comparisons = Comparisons.parse(text)
    return _compiled(text, _OF_STARTS, None if comparisons is None or comparisons.captures else comparisons)


def _compiled(text: str, environment: Environment, comparisons: Comparisons | None) -> Condition:
    if comparisons is not None:
        return Condition(text, comparisons, None)
    expression = environment.compile(text, BOOL)
    if not expression.reads:
        raise ExpressionError("the expression reads nothing, so it says the same of everything", 1, 1)
    _try(expression)
    return Condition(text, None, expression, _judged(expression) if environment is _OF_REQUESTS else None)


def _judged(expression: Expression) -> Expression | None:
    """What an expression is evaluated as if it asks for claims: a token carries only those that policy names, one by one."""
    carried = sorted(expression.reads.intersection(CARRIED))
    if not carried:
        return None
    try:
        return _OF_CARRIED.compile(claims_apart(expression.text), BOOL)
    except ExpressionError:
        named = " or ".join(f"{variable}.department" for variable in carried)
        raise ExpressionError(f"name each claim that is read, as in {named}", 1, 1) from None


def _try(expression: Expression) -> None:
    """Evaluate it once on samples. What fails for every text that a member could hold is a mistake of its own."""
    failure: ExpressionError | None = None
    for sample in _SAMPLES:
        try:
            expression.evaluate(_sample_values(expression, sample))
        except ExpressionError as error:
            failure = error
            if error.message.startswith(_ABSENT):
                return
        else:
            return
    if failure is not None:
        raise ExpressionError(failure.message, 1, 1)


def _sample_values(expression: Expression, sample: str) -> dict[str, Any]:
    samples: dict[str, Any] = {name: sample for name in expression.reads if name in VARIABLES or name in _START_TEXTS}
    samples |= {
        CAPTURES: {}, PARAMS: {}, SUBJECT_CLAIMS: {}, AGENT_CLAIMS: {}, "request.query": {}, "request.headers": {},
        "request.size": 1, "request.json": {}, "request.form": {}, "task.labels": [], "tool.arguments": {},
        "task.age": timedelta(seconds=1), "task.requests": 1, "now": datetime(2026, 11, 24, 12, tzinfo=UTC),
    }  # fmt: skip
    for member in members_named(expression.text):
        if member.variable in (CAPTURES, PARAMS):
            samples[member.variable][member.name] = sample
    return {name: samples[name] for name in expression.reads}
