"""What rules may read of one request, each fact worked out only when a rule reads it; knows no rule."""

from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final, NamedTuple, final

from gateway.clock import Clock
from gateway.errors import Refusal
from gateway.expressions import ANY, CLAIMS, DURATION, FLAGS, LISTS, MOMENT, NUMBER, STRING, TEXTS, WORDS, ExpressionError, Type
from gateway.http.content import Content
from gateway.http.framing import Delimiter
from gateway.http.head import RequestHead
from gateway.http.query import AmbiguousPairsError, read_pairs
from gateway.model import NO_LABELS, Coverage, Principal, Upstream, Use
from gateway.policy.members import AGENT_CLAIMS, CARRIED, HAD, SUBJECT_CLAIMS, THERE


class Learnt(NamedTuple):
    """What the authority has said of the task, beyond its token: its labels, and how many requests it has made before.

    `requests` is None where nobody has counted them.
    """

    labels: frozenset[str] = NO_LABELS
    requests: int | None = None

    def after(self, operations: int) -> "Learnt":
        """The same for one of several operations of a request, of which so many come before it."""
        return self if self.requests is None else self._replace(requests=self.requests + operations)


UNLEARNT: Final = Learnt()


@final
class Asked:
    """One request, as rules see it. Of its headers they see those that go on to the upstream."""

    __slots__ = ("clock", "coverage", "head", "lasting", "learnt", "principal", "source", "upstream", "use")

    def __init__(
        self, principal: Principal, use: Use, upstream: Upstream, head: RequestHead, source: str, clock: Clock,
        coverage: Coverage, learnt: Learnt = UNLEARNT,
    ) -> None:  # fmt: skip
        """`source` is the address that the request came from, `coverage` the intent that rules are asked about."""
        self.learnt: Final = learnt
        self.principal: Final = principal
        self.use: Final = use
        self.upstream: Final = upstream
        self.head: Final = head
        self.source: Final = source
        self.clock: Final = clock
        self.coverage: Final = coverage
        self.lasting = True
        """Whether all that rules have read so far is the same whenever these bytes come with this token."""

    @property
    def captures(self) -> Mapping[str, str]:
        """What the template of the intent has captured from the path."""
        return self.coverage.captures

    @property
    def params(self) -> Mapping[str, str]:
        """The params of the task."""
        return self.principal.params

    def values(self, names: Iterable[str]) -> dict[str, Any]:
        """The variables of these names. Raises `ExpressionError` for one that the request lacks, `Refusal` for a bad query."""
        return {name: _FACTS[name](self) for name in names}


def _trust_domain(asked: Asked) -> str:
    return asked.principal.agent.removeprefix("spiffe://").partition("/")[0]


def _age(asked: Asked) -> timedelta:
    return timedelta(seconds=max(0.0, asked.clock.now() - asked.principal.opened))


def _requests(asked: Asked) -> int:
    if asked.learnt.requests is None:
        raise ExpressionError("nobody has counted the requests of the task")
    return asked.learnt.requests


def _reason(asked: Asked) -> str:
    return "" if asked.use.declared is None else asked.use.declared.reason or ""


def _tool(asked: Asked) -> str:
    return "" if asked.use.declared is None else asked.use.declared.tool or ""


def _query(asked: Asked) -> dict[str, list[str]]:
    """Names and values, decoded once as forms are. What two parsers could read differently is refused."""
    try:
        return read_pairs(asked.head.target.query or "")
    except AmbiguousPairsError as error:
        raise Refusal("request_malformed", f"A rule reads the query, which {error}.") from None


def _content(asked: Asked) -> Content:
    """The body. Raises `ExpressionError` where nobody has looked at it."""
    content = asked.use.content
    if not isinstance(content, Content):
        raise ExpressionError("the body of this request was not looked at")
    return content


def _headers(asked: Asked) -> dict[str, list[str]]:
    lines = [*asked.head.forward]
    for name, fields in asked.head.watched.items():
        if name not in asked.upstream.emptied:
            lines += [field.line for field in fields]
    found: dict[str, list[str]] = {}
    for line in lines:
        name, _, value = line.decode("latin-1").partition(":")
        found.setdefault(name.lower().replace("_", "-"), []).append(value.strip(" \t"))
    return found


def _size(asked: Asked) -> int:
    framing = asked.head.framing
    if framing.by == Delimiter.CHUNKS:
        raise ExpressionError("the size of the request is not known before its end")
    return framing.length


def _now(asked: Asked) -> datetime:
    return datetime.fromtimestamp(asked.clock.now(), UTC)


def _arguments(asked: Asked) -> Mapping[str, Any]:
    message = asked.use.operation.message
    if message is None or not message.tool:
        raise ExpressionError("the request calls no tool")
    return message.arguments


_Fact = Callable[[Asked], object]

# Expressions read dictionaries, and no view of one that nobody may change.
_KNOWN: Final[Mapping[str, tuple[Type, _Fact]]] = {
    "agent.id": (STRING, lambda asked: asked.principal.agent),
    "agent.trust_domain": (STRING, _trust_domain),
    THERE[AGENT_CLAIMS]: (CLAIMS, lambda asked: dict(asked.principal.claims.there)),
    HAD[AGENT_CLAIMS]: (FLAGS, lambda asked: asked.principal.claims.had),
    "subject.id": (STRING, lambda asked: asked.principal.subject),
    THERE[SUBJECT_CLAIMS]: (CLAIMS, lambda asked: dict(asked.principal.subject_claims.there)),
    HAD[SUBJECT_CLAIMS]: (FLAGS, lambda asked: asked.principal.subject_claims.had),
    "task.id": (STRING, lambda asked: asked.principal.task),
    "task.params": (TEXTS, lambda asked: dict(asked.principal.params)),
    "task.age": (DURATION, _age),
    "task.labels": (WORDS, lambda asked: sorted(asked.learnt.labels)),
    "task.requests": (NUMBER, _requests),
    "intent.name": (STRING, lambda asked: asked.coverage.intent),
    "intent.reason": (STRING, _reason),
    "intent.tool": (STRING, _tool),
    "tool.name": (STRING, lambda asked: "" if asked.use.operation.message is None else asked.use.operation.message.tool),
    "tool.arguments": (CLAIMS, _arguments),
    "path": (TEXTS, lambda asked: asked.captures),
    "request.method": (STRING, lambda asked: asked.use.operation.method),
    "request.path": (STRING, lambda asked: asked.use.operation.path),
    "request.query": (LISTS, _query),
    "request.headers": (LISTS, _headers),
    "request.size": (NUMBER, _size),
    "request.source": (STRING, lambda asked: asked.source),
    "request.json": (ANY, lambda asked: _content(asked).json),
    "request.form": (LISTS, lambda asked: _content(asked).form),
    "now": (MOMENT, _now),
}
UNDERSTOOD: Final[Mapping[str, Type]] = {name: type_ for name, (type_, _) in _KNOWN.items()}
"""What a condition reads once each claim that it asks for is asked for by its name, with its types."""
_ASKED_BY_NAME: Final = frozenset(THERE.values()) | frozenset(HAD.values())
VARIABLES: Final[Mapping[str, Type]] = {
    name: type_ for name, type_ in UNDERSTOOD.items() if name not in _ASKED_BY_NAME
} | dict.fromkeys(CARRIED, CLAIMS)
"""What a condition may read."""
OF_BODY: Final = frozenset(("request.json", "request.form"))
"""What is read of the body, so that it has to be here before the decision."""
OF_LABELS: Final = frozenset(("task.labels",))
"""What is known of the task beyond its token, so that it has to be learnt before the decision."""
OF_COUNTS: Final = frozenset(("task.requests",))
"""What is counted, before the decision, for all requests of the agents whom a rule that reads it concerns."""
OF_TOOLS: Final = frozenset(("tool.name", "tool.arguments"))
"""What is read of the message that calls a tool; readers of MCP have it at hand."""
VOLATILE: Final = frozenset(("task.age", "request.size", "request.source", "now")) | OF_BODY | OF_LABELS | OF_COUNTS | OF_TOOLS
"""What may differ when the same bytes come again with the same token."""

_FACTS: Final[Mapping[str, _Fact]] = {name: fact for name, (_, fact) in _KNOWN.items()}
