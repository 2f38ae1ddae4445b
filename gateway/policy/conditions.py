"""Compiles what entries of policy demand, natively where it can be, else in CEL; knows no entry and decides nothing."""

import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any, Final, NamedTuple, Protocol, final

from gateway.expressions import BOOL, CLAIMS, STRING, TEXTS, Environment, Expression, ExpressionError
from gateway.policy.asked import VARIABLES, VOLATILE
from gateway.policy.comparisons import Comparisons

CONDITIONS_KEPT: Final = 4096
"""How many compiled conditions are kept by their text; another one is compiled again when it is needed."""
CAPTURES: Final = "path"
PARAMS: Final = "task.params"
SUBJECT_CLAIMS: Final = "subject.claims"
AGENT_CLAIMS: Final = "agent.claims"
CARRIED: Final = (AGENT_CLAIMS, SUBJECT_CLAIMS)
"""Of these a token carries only the members that policy names."""

_OF_REQUESTS: Final = Environment(VARIABLES)
_OF_STARTS: Final = Environment(
    {"agent.id": STRING, "agent.trust_domain": STRING, "subject.id": STRING, SUBJECT_CLAIMS: CLAIMS, PARAMS: TEXTS}
)
_ABSENT: Final = ("Key not found", "No such key", "no such key", "out of bounds", "out of range")
_SAMPLES: Final = ("1", "a", "spiffe://example.test/a", "2026-11-24T12:00:00Z", "5m", "true", "192.0.2.1")
_TOKENS: Final = re.compile(
    r"""//[^\n]*|[rR][bB]?(?:"[^"\n]*"|'[^'\n]*')|[bB]?(?:\"{3}.*?\"{3}|'{3}.*?'{3}|"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*')"""
    r"""|[A-Za-z_][A-Za-z0-9_]*|[^\s]""",
    re.DOTALL,
).finditer


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


class Member(NamedTuple):
    """A member of a variable that an expression names, such as `customer` of `path`. Line and column count from 1."""

    variable: str
    name: str
    line: int
    column: int


@final
class Condition:
    """A compiled `when`. It holds or not, or fails, which is never taken for a yes."""

    __slots__ = ("_comparisons", "_expression", "lasting", "reads", "text")

    def __init__(self, text: str, comparisons: Comparisons | None, expression: Expression | None) -> None:
        """What `text` means, as one of the two."""
        self.text: Final = text
        self._comparisons: Final = comparisons
        self._expression: Final = expression
        reads: set[str] = set()
        if comparisons is not None:
            reads |= {CAPTURES} if comparisons.captures else set()
            reads |= {PARAMS} if comparisons.params else set()
        elif expression is not None:
            reads |= expression.reads
        self.reads: Final = frozenset(reads)
        """The variables that its value can depend on."""
        self.lasting: Final = self.reads.isdisjoint(VOLATILE)
        """Whether it has one value whenever the same request comes with the same token."""

    def holds(self, facts: Readable) -> bool:
        """Whether it holds for these facts. Raises `ExpressionError` when that cannot be said."""
        if self._comparisons is not None:
            return self._comparisons.hold(facts.captures, facts.params)
        if self._expression is None:
            raise ExpressionError("there is no expression")
        return self._expression.evaluate(facts.values(self.reads)) is True


@lru_cache(CONDITIONS_KEPT)
def request_condition(text: str) -> Condition:
    """Compile a condition that is judged for each request. Raises `ExpressionError` with the place of the mistake."""
    condition = _compiled(text, _OF_REQUESTS, Comparisons.parse(text))
    _check_claims(condition)
    return condition


@lru_cache(CONDITIONS_KEPT)
def start_condition(text: str) -> Condition:
    """Compile a condition that is judged when a task is opened, where there is no request yet. Raises `ExpressionError`."""
    comparisons = Comparisons.parse(text)
    return _compiled(text, _OF_STARTS, None if comparisons is None or comparisons.captures else comparisons)


def claims_named(variable: str, text: str) -> frozenset[str]:
    """The claims of the agent or of the subject, as `variable` says, that a condition of requests reads."""
    return frozenset(member.name for member in members_named(text) if member.variable == variable)


def _check_claims(condition: Condition) -> None:
    """A token carries only the claims that policy reads, so a condition has to name each of them."""
    words = [token[0] for token in _TOKENS(condition.text)]
    for variable in condition.reads.intersection(CARRIED):
        whole = sum(words[at : at + 3] == _words(variable) for at in range(len(words)))
        if whole != sum(member.variable == variable for member in members_named(condition.text)):
            raise ExpressionError(f"name each claim that is read, as in {variable}.department", 1, 1)


def _words(variable: str) -> list[str]:
    whose, _, member = variable.partition(".")
    return [whose, ".", member]


def _compiled(text: str, environment: Environment, comparisons: Comparisons | None) -> Condition:
    if comparisons is not None:
        return Condition(text, comparisons, None)
    expression = environment.compile(text, BOOL)
    if not expression.reads:
        raise ExpressionError("the expression reads nothing, so it says the same of everything", 1, 1)
    _try(expression)
    return Condition(text, None, expression)


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


_OF_MEMBERS: Final = (PARAMS, *CARRIED)
_START_TEXTS: Final = frozenset(("agent.id", "agent.trust_domain", "subject.id"))


def members_named(text: str) -> Iterator[Member]:
    """The members that an expression names of `path`, `task.params` and claims, as in `path.x` and `path["x"]`."""
    tokens = [token for token in _TOKENS(text) if not token[0].startswith("//")]
    words = [token[0] for token in tokens]
    for at, word in enumerate(words):
        if at and words[at - 1] == ".":
            continue
        if word == CAPTURES:
            variable, follows = CAPTURES, at + 1
        else:
            variable, follows = "".join(words[at : at + 3]), at + 3
            if variable not in _OF_MEMBERS:
                continue
        name = _member(words[follows : follows + 3])
        if name is not None:
            start = tokens[follows + 1].start()
            line = text.count("\n", 0, start) + 1
            yield Member(variable, name, line, start - text.rfind("\n", 0, start))


def _member(words: list[str]) -> str | None:
    if words[:1] == ["."] and words[1:2] and words[2:] != ["("]:
        return words[1]
    if words[:1] == ["["] and words[2:] == ["]"] and words[1][:1] in ('"', "'"):
        return words[1].strip("\"'")
    return None
