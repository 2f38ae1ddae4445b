"""The AuthZEN Authorization API 1.0 on the authority: others ask the policy that the gateway goes by; knows no gateway.

    {"subject": {"type": "agent", "id": "spiffe://…", "properties": {"params": {"customer": "42"}, "starter": "spiffe://…"}},
     "action": {"name": "GET", "properties": {"intent": "invoices.read"}},
     "resource": {"type": "http", "id": "/billing/v1/customers/42/invoices?limit=5", "properties": {"json": {…}}},
     "context": {"time": "2026-11-24T12:00:00Z", "source": "192.0.2.7"}}

A refusal is an answer like any other: 200 with `decision` false, and in its context the code that an agent would get.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, Final, Literal, final

import orjson
from aiohttp import web
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from gateway.clock import Clock
from gateway.endpoints.answers import AnswerError, answer
from gateway.endpoints.callers import Callers
from gateway.endpoints.forms import invalid
from gateway.errors import Refusal
from gateway.http.content import Content
from gateway.identity.provider import Identity
from gateway.model import AgentPattern
from gateway.settings.compiled import Compiled
from gateway.settings.trial import Question, Verdict, decide_on_paper

EVALUATION: Final = "/access/v1/evaluation"
EVALUATIONS: Final = "/access/v1/evaluations"
DESCRIBED: Final = "/.well-known/authzen-configuration"
MOST_EVALUATIONS: Final = 100
"""How many questions one request may hold."""

_LINE: Final = r"^[^\x00-\x1f\x7f]*$"
_Text = Annotated[str, StringConstraints(max_length=8192, pattern=_LINE)]


class _Part(BaseModel):
    """What is unknown is ignored, as the API wants it."""

    model_config = ConfigDict(extra="ignore", frozen=True)


class _SubjectProperties(_Part):
    params: dict[str, str] = Field(default_factory=dict)
    starter: _Text | None = None
    labels: tuple[_Text, ...] = ()
    requests: Annotated[int, Field(ge=0)] = 0
    intents: tuple[_Text, ...] | None = None
    claims: dict[str, Any] | None = None


class _Subject(_Part):
    type: Literal["agent"]
    id: _Text
    properties: _SubjectProperties = _SubjectProperties()


class _ActionProperties(_Part):
    intent: _Text | None = None
    reason: _Text | None = None


class _Action(_Part):
    name: Annotated[str, StringConstraints(pattern=r"^[A-Z][A-Z-]{0,19}$")]
    properties: _ActionProperties = _ActionProperties()


class _ResourceProperties(_Part):
    headers: dict[Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9-]{1,64}$")], _Text] = Field(default_factory=dict)
    json_: Any = Field(default=None, alias="json")


class _Resource(_Part):
    type: Literal["http"]
    id: Annotated[str, StringConstraints(max_length=8192, pattern=r"^/[!-~]*$")]
    properties: _ResourceProperties = _ResourceProperties()


class _Context(_Part):
    time: AwareDatetime | None = None
    source: _Text = ""


class _Evaluation(_Part):
    subject: _Subject
    action: _Action
    resource: _Resource
    context: _Context = _Context()


@final
class EvaluationEndpoint:
    """Where the policy is asked. An agent may ask about itself, those whom the configuration names about everybody."""

    def __init__(
        self, *, callers: Callers, askers: Sequence[str], compiled: Callable[[str], Compiled], issuer: str, clock: Clock
    ) -> None:
        """`askers` are patterns of SPIFFE IDs, `compiled` gives what is in force in a tenant."""
        self._callers: Final = callers
        self._askers: Final = tuple(map(AgentPattern.parse, askers))
        self._compiled: Final = compiled
        self._issuer: Final = issuer
        self._clock: Final = clock

    def routes(self) -> list[web.RouteDef]:
        """Where it answers."""
        return [web.post(EVALUATION, self.one), web.post(EVALUATIONS, self.several), web.get(DESCRIBED, self.described)]

    async def one(self, request: web.Request) -> web.StreamResponse:
        """Answer one question. Raises what `answer_errors` turns into an answer."""
        asker = await self._callers.asker(request)
        return _answered(request, self._decided(asker, await _document(request)))

    async def several(self, request: web.Request) -> web.StreamResponse:
        """Answer several; what stands beside them holds for each that does not say otherwise."""
        asker = await self._callers.asker(request)
        document = await _document(request)
        asked = document.get("evaluations")
        if asked in (None, []):
            return _answered(request, self._decided(asker, document))
        if not isinstance(asked, list) or len(asked) > MOST_EVALUATIONS or not all(isinstance(each, dict) for each in asked):
            raise invalid(f"The member evaluations is a list of at most {MOST_EVALUATIONS} objects.")
        stops = _stops(document.get("options"))
        given: dict[str, Any] = {
            name: document[name] for name in ("subject", "action", "resource", "context") if name in document
        }
        decisions: list[Mapping[str, object]] = []
        for each in asked:
            decisions.append(self._decided(asker, {**given, **each}))
            if decisions[-1]["decision"] is stops:
                break
        return _answered(request, {"evaluations": decisions})

    async def described(self, _request: web.Request) -> web.StreamResponse:
        """Say where everything is."""
        url = self._issuer
        return answer({
            "policy_decision_point": url,
            "access_evaluation_endpoint": url + EVALUATION,
            "access_evaluations_endpoint": url + EVALUATIONS,
        })  # fmt: skip

    def _decided(self, asker: Identity, document: Mapping[str, Any]) -> Mapping[str, object]:
        try:
            asked = _Evaluation.model_validate(document)
        except ValidationError as error:
            where = ".".join(str(step) for step in error.errors(include_url=False, include_input=False)[0]["loc"])
            raise invalid(f"The member {where} is missing or not what it should be.") from None
        if asker.agent != asked.subject.id and not any(pattern.covers(asker.agent) for pattern in self._askers):
            raise AnswerError(403, "access_denied", "An agent asks about itself; authority.askers may ask about others.")
        compiled = self._compiled(asker.tenant)
        return _told(decide_on_paper(compiled, self._question(asked)), compiled.digest)

    def _question(self, asked: _Evaluation) -> Question:
        about, resource = asked.subject.properties, asked.resource.properties
        body = b"" if resource.json_ is None else orjson.dumps(resource.json_)
        return Question(
            agent=asked.subject.id,
            method=asked.action.name,
            target=asked.resource.id,
            at=self._clock.now() if asked.context.time is None else asked.context.time.timestamp(),
            declared=asked.action.properties.intent,
            reason=asked.action.properties.reason,
            intents=about.intents,
            starter=about.starter,
            params=about.params,
            claims=about.claims,
            labels=about.labels,
            requests=about.requests,
            headers=({"Content-Type": "application/json"} if body else {}) | resource.headers,
            body=body,
            source=asked.context.source,
        )


def _told(verdict: Verdict, policy: str) -> Mapping[str, object]:
    if verdict.allowed and verdict.permit is not None:
        return {"decision": True, "context": {"grant": verdict.permit.grant, "policy": policy}}
    return {"decision": False, "context": {"code": verdict.code, "detail": verdict.detail, "policy": policy}}


async def _document(request: web.Request) -> dict[str, Any]:
    """The object that was sent: I-JSON, no member twice."""
    kind = request.headers.get("Content-Type", "").encode("ascii", "replace")
    try:
        document = Content(await request.read(), kind, coded="Content-Encoding" in request.headers).json
    except Refusal:
        document = None
    if not isinstance(document, dict) or not document:
        raise invalid("Send one JSON object as application/json, with no member twice.")
    return document


def _stops(options: object) -> bool | None:
    """After which decision nothing more is asked."""
    semantic = options.get("evaluations_semantic", "execute_all") if isinstance(options, dict) else "execute_all"
    known = {"execute_all": None, "deny_on_first_deny": False, "permit_on_first_permit": True}
    if semantic not in known:
        raise invalid(f"The option evaluations_semantic is one of {', '.join(known)}.")
    return known[semantic]


def _answered(request: web.Request, members: Mapping[str, object]) -> web.StreamResponse:
    named = request.headers.get("X-Request-ID", "")
    return answer(members, headers={"X-Request-ID": named} if named.isascii() and named.isprintable() and named else {})
