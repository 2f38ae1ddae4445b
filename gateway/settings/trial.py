"""Decides one request on paper, by the very steps of the gateway on bytes of its own; knows no socket and no token."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple, cast, final

from gateway.clock import Clock
from gateway.errors import Refusal
from gateway.http.admit import admit
from gateway.http.deadlines import Sweep
from gateway.http.downstream import Downstream
from gateway.http.head import RequestHead
from gateway.http.house import House
from gateway.http.own_answer import OwnAnswer
from gateway.intent.read_intent import Intents, Readable, read_intent
from gateway.known_claims import known_of
from gateway.model import Binding, Current, Permit, Principal, Upstream, Use
from gateway.policy.asked import Learnt
from gateway.policy.decide import decide
from gateway.policy.issue import NotGrantedError, may_hold
from gateway.policy.start import Opening
from gateway.settings.compiled import Compiled

_TASK: Final = "on-paper"
_KEY: Final = bytes(32)
_HANDSHAKE: Final = (
    ("Connection", "Upgrade"),
    ("Upgrade", "websocket"),
    ("Sec-WebSocket-Version", "13"),
    ("Sec-WebSocket-Key", "AAAAAAAAAAAAAAAAAAAAAA=="),
)
_WEBSOCKET: Final = "WEBSOCKET"


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """A request as somebody describes it. `target` begins with the upstream's prefix; `at` is in Unix seconds.

    `intents` are those of the token, all that policy lets such a task hold when None; `declared` is None for a request
    without Agent-Intent. `opened` is when the task was; `starter` is the agent when None. `claims` are those of whoever opened
    the task, and so of its subject. Without them those were there that a start wants, and none that a request is asked about.
    `requests` are those that the task has made before.
    """

    agent: str
    method: str
    target: str
    at: float
    declared: str | None = None
    reason: str | None = None
    intents: tuple[str, ...] | None = None
    starter: str | None = None
    subject: str | None = None
    params: Mapping[str, str] = field(default_factory=dict)
    claims: Mapping[str, Any] | None = None
    agent_claims: Mapping[str, Any] = field(default_factory=dict)
    labels: tuple[str, ...] = ()
    requests: int = 0
    opened: float | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    source: str = "127.0.0.1"
    tenant: str | None = None


class Verdict(NamedTuple):
    """What the gateway would say, with everything that it had found by then.

    `code` is that of the refusal and `detail` what the caller would read; both stand for a permit that is only observed too.
    `held` are the intents of the token that was assumed.
    """

    held: tuple[str, ...]
    principal: Principal
    upstream: Upstream | None
    head: RequestHead | None
    use: Use | None
    permit: Permit | None
    code: str | None
    detail: str

    @property
    def allowed(self) -> bool:
        """Whether policy says yes."""
        return self.permit is not None and self.permit.enforced


@final
class PaperClock(Clock):
    """Stands where it is set."""

    def __init__(self, at: float) -> None:
        super().__init__()
        self._set: Final = at

    def now(self) -> float:
        """The time of the question."""
        return self._set


class _Nowhere(asyncio.Transport):
    """The other side of a connection that is none: what is sent to it is lost."""

    def __init__(self) -> None:
        super().__init__()
        self._closed = False

    def is_closing(self) -> bool:
        """Whether the request has been answered."""
        return self._closed

    def close(self) -> None:
        """Take nothing more."""
        self._closed = True

    def abort(self) -> None:
        """Take nothing more."""
        self._closed = True

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """Nothing ever waits here."""

    def write(self, data: Any) -> None:
        """Lose it."""

    def pause_reading(self) -> None:
        """Everything is here already."""

    def resume_reading(self) -> None:
        """Everything is here already."""


def opening_of(question: Question) -> Opening:
    """How the task of a question was opened."""
    return Opening(question.agent, question.starter or question.agent, question.params, question.claims, None)


def learnt_of(question: Question) -> Learnt:
    """What the authority would say of the task of a question."""
    return Learnt(frozenset(question.labels), question.requests)


def holdable(compiled: Compiled, question: Question) -> tuple[str, ...]:
    """The intents that policy lets the task of a question hold, or which of those it names."""
    opening = opening_of(question)
    wanted = compiled.policy.view(question.agent).grants if question.intents is None else question.intents
    found = []
    for intent in wanted:
        try:
            may_hold(compiled.policy, opening, (intent,))
        except NotGrantedError:
            continue
        found.append(intent)
    return tuple(found)


def decide_on_paper(compiled: Compiled, question: Question) -> Verdict:
    """What the gateway would say to a question under this configuration."""
    held = holdable(compiled, question)
    starter = question.starter or question.agent
    principal = Principal(
        agent=question.agent,
        subject=question.subject or starter,
        tenant=question.tenant or compiled.tenant,
        task=_TASK,
        token=_TASK,
        intents=frozenset(held),
        expires=question.at + 1.0,
        epoch="",
        marks=frozenset(),
        params=question.params,
        starter=None if starter == question.agent else starter,
        opened=question.at if question.opened is None else question.opened,
        met=None if question.claims is None else frozenset(may_hold(compiled.policy, opening_of(question), held).met),
        claims=known_of(question.agent_claims, compiled.policy.claims),
        subject_claims=known_of(question.claims or {}, compiled.policy.subject_claims),
        binding=Binding(jkt=_TASK),  # whoever holds the key, if a grant wants one to be held
    )
    found: dict[str, Any] = {}
    clock = PaperClock(question.at)

    async def life(caller: Downstream) -> None:
        try:
            head = found["head"] = admit(caller, compiled.admission)
            caller.expect(head)
            upstream = found["upstream"] = compiled.routes.match(head)
            caller.bearer = principal
            use = found["use"] = await read_intent(head, upstream, caller, _ready(compiled.intents, upstream))
            found["permit"] = decide(
                compiled.policy, cast("Current", principal), use, upstream, head, question.source, clock,
                learnt_of(question),
            )  # fmt: skip
        except OwnAnswer:
            found["refusal"] = Refusal("upstream_unknown", "The gateway answers this itself, to anybody.")
        except Refusal as refusal:
            found["refusal"] = refusal
        finally:
            caller.abort()

    connection = Downstream(House(life, compiled.admission.limits, Sweep()))
    connection.connection_made(_Nowhere())
    connection.data_received(written(question, compiled.intents.header))
    permit: Permit | None = found.get("permit")
    refusal = found.get("refusal") or Refusal("request_malformed", "The request is not whole.")
    code, detail = (refusal.code, refusal.detail) if permit is None else (permit.code, "")
    return Verdict(held, principal, found.get("upstream"), found.get("head"), found.get("use"), permit, code, detail)


def _ready(intents: Intents, upstream: Upstream) -> Intents:
    """How the requests of one upstream are read; on paper nothing is sealed that anybody could open."""
    reader, operations = intents.by_upstream[upstream.name]
    return intents._replace(by_upstream={upstream.name: Readable(reader.ready(_KEY, intents.inspect), operations)})


def written(question: Question, intent_header: str) -> bytes:
    """The bytes of a request that asks this."""
    method = "GET" if question.method == _WEBSOCKET else question.method
    lines = [f"{method} {question.target} HTTP/1.1", "Host: on.paper"]
    if question.method == _WEBSOCKET:
        lines += [f"{name}: {value}" for name, value in _HANDSHAKE]
    if question.declared is not None:
        reason = "" if question.reason is None else f';reason="{_quoted(question.reason)}"'
        lines.append(f"{intent_header}: {question.declared}{reason}")
    lines += [f"{name}: {value}" for name, value in question.headers.items()]
    if question.body:
        lines.append(f"Content-Length: {len(question.body)}")
    return "\r\n".join([*lines, "", ""]).encode("utf-8") + question.body


def _quoted(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"')
