"""Grants and denials as operators write them, each checked alone; knows nothing of requests."""

import re
from collections.abc import Callable
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, AwareDatetime, Field, model_validator
from pydantic_core import PydanticCustomError

from gateway.errors import PROBLEMS
from gateway.expressions import ExpressionError
from gateway.kind import Config, Count, Duration, Rate, Share, Size
from gateway.model import AgentPattern
from gateway.policy.conditions import Condition, request_condition, start_condition
from gateway.policy.members import PARAMS
from gateway.task_limits import MOST, MOST_CONCURRENT

_INTENT_PATTERN = re.compile(r"\*|(?:\*\.)?[a-z0-9][a-z0-9._-]*(?:\.\*)?").fullmatch


def _check_agent(text: str) -> str:
    AgentPattern.parse(text)
    return text


def _check_intent(text: str) -> str:
    if _INTENT_PATTERN(text) is None:
        raise ValueError("an intent is named exactly, or by a pattern such as *, invoices.* or *.write")
    return text


def _check_condition(text: str) -> str:
    _compiled(request_condition, text)
    return text


def _check_start(text: str) -> str:
    _compiled(start_condition, text)
    return text


def _compiled(compile_condition: Callable[[str], Condition], text: str) -> None:
    try:
        compile_condition(text)
    except ExpressionError as error:
        raise PydanticCustomError(
            "expression",
            "{problem} (line {line}, column {column} of the expression)",
            {"problem": error.message, "line": error.line, "column": error.column},
        ) from None


AgentText = Annotated[str, AfterValidator(_check_agent)]
IntentText = Annotated[str, AfterValidator(_check_intent)]
ConditionText = Annotated[str, AfterValidator(_check_condition)]
Mode = Literal["enforce", "observe"]


class GrantLimitsRule(Config):
    """How much may be used under a grant, in all gateways together. A limit that is left out does not limit."""

    requests: Annotated[Count, Field(ge=1, le=MOST)] | None = None
    """How many requests."""
    rate: Rate | None = None
    """How many requests in a time, such as `20/s`: in any stretch of t seconds no more than 20 t, and a burst of 20 besides."""
    bytes: Annotated[Size, Field(ge=1, le=MOST)] | None = None
    """How many bytes of request and response bodies together. A body that would pass it is cut."""
    concurrent: Annotated[Count, Field(ge=1, le=MOST_CONCURRENT)] | None = None
    """How many requests at once."""
    per: Literal["task", "agent", "tenant"] = "task"
    """Whose use counts together: that of each task, of all tasks of an agent, or of all agents of the tenant."""
    within: Duration = Field(default=24 * 3600.0, ge=60.0)
    """After how long `requests` and `bytes` of an agent or a tenant begin anew; those of a task never do."""

    @model_validator(mode="after")
    def _check_any(self) -> Self:
        if self.requests is None and self.rate is None and self.bytes is None and self.concurrent is None:
            raise ValueError("expected at least one of requests, rate, bytes and concurrent")
        return self


class StartRule(Config):
    """Who opens the tasks that a grant is for, and with which params."""

    by: Annotated[list[AgentText], Field(min_length=1)]
    """SPIFFE IDs of those who may open one, exact or with a trailing `/*` on a path boundary."""
    when: Annotated[str, AfterValidator(_check_start)] | None = None
    """A CEL expression that must be true of `agent` (for whom the task is opened), `subject` (who opens it) and `task.params`.
    Without one the params may be any."""


class ExampleRule(Config):
    """A request, and whether policy allows it; a wrong example is a mistake of the configuration."""

    allow: Annotated[str, Field(min_length=1)] | None = None
    """Method and path, as operations are written: `GET /v1/customers/42/invoices?limit=5`."""
    deny: Annotated[str, Field(min_length=1)] | None = None
    """The same of one that is refused."""
    code: str | None = None
    """With which code it is refused; any when left out."""
    intent: str | None = None
    """The declared intent; when left out, the one of the grant that covers the operation."""
    agent: AgentText | None = None
    """Who calls; when left out, the first of `agents`."""
    params: dict[str, str] = Field(default_factory=dict)
    """The params of the task."""
    labels: tuple[str, ...] = ()
    """The labels of the task."""
    requests: Annotated[Count, Field(ge=0)] = 0
    """How many requests the task has made before."""
    claims: dict[str, Any] = Field(default_factory=dict)
    """The claims of who opened the task."""
    agent_claims: dict[str, Any] = Field(default_factory=dict)
    """The claims of the agent itself."""
    headers: dict[str, str] = Field(default_factory=dict)
    """Header fields of the request."""
    json_: Any = Field(default=None, alias="json")
    """The body of the request, as JSON."""
    at: AwareDatetime | None = None
    """When it comes; 2026-11-24T12:00:00Z, a Tuesday, when left out: whether a configuration is right depends on no clock."""

    @model_validator(mode="after")
    def _check_one(self) -> Self:
        if (self.allow is None) == (self.deny is None):
            raise ValueError("expected one of `allow` and `deny`, with a method and a path")
        if self.code is not None and (self.deny is None or self.code not in PROBLEMS):
            raise ValueError("`code` is one of the codes of refusals, and stands beside `deny`")
        return self


class GrantRule(Config):
    """Lets agents hold intents."""

    name: Annotated[str, Field(min_length=1, max_length=200)]
    """What it is for; stands in every record that it decides."""
    agents: Annotated[list[AgentText], Field(min_length=1)]
    """SPIFFE IDs, exact or with a trailing `/*` on a path boundary."""
    intents: Annotated[list[IntentText], Field(min_length=1)]
    """Intents by name, or by a pattern such as `invoices.*`."""
    start: StartRule | None = None
    """Who opens the task, and with which params. Left out, it is for tasks that the agent opens itself, without params."""
    when: ConditionText | None = None
    """A CEL expression that must be true of the request, such as `path.customer == task.params.customer`. When several grants
    let the agent hold the intent, the first one whose expression is true decides; one that fails refuses."""
    declare: Literal["required", "implied"] = "required"
    """`implied` lets a client leave out Agent-Intent; the operation must then fit exactly one intent of the token."""
    proof: Literal["optional", "required"] = "optional"
    """`required` gives these intents only in tokens that are bound to a key or a certificate of their holder."""
    ttl: Duration | None = None
    """How long a task token with these intents lives; never longer than `authority.tokens.max_ttl`."""
    limits: GrantLimitsRule | None = None
    """How much may be used under it; unlimited when left out."""
    mode: Mode = "enforce"
    """`observe` forwards what this grant would refuse for its condition or its declaration, and records the refusal."""
    examples: Annotated[tuple[ExampleRule, ...], Field(max_length=100)] = ()
    """Requests that policy has to allow or deny. They are run whenever the configuration is loaded."""

    @model_validator(mode="after")
    def _check_params_are_set(self) -> Self:
        if self.when is not None and self.start is None and PARAMS in request_condition(self.when).reads:
            raise ValueError("`when` reads task.params, so say in `start` who opens the task and with which params")
        return self


class DenialRule(Config):
    """Forbids intents. A denial beats every grant."""

    name: Annotated[str, Field(min_length=1, max_length=200)]
    """Why it is there; stands in every record that it decides."""
    agents: Annotated[list[AgentText], Field(min_length=1)] | None = None
    """Whom it concerns; everybody when left out."""
    intents: Annotated[list[IntentText], Field(min_length=1)]
    """Intents by name, or by a pattern such as `*.write`."""
    when: ConditionText | None = None
    """A CEL expression; the denial applies where it is true of any intent that covers the operation, and where it fails."""


class DriftRule(Config):
    """When a task that asks for what it may not have is ended, and its agent barred."""

    refusals: Annotated[Count, Field(ge=1, le=1000)] = 5
    """So many refusals of what was asked for: `intent_not_granted`, `intent_mismatch`, `condition_failed` and `denied`, in all
    gateways of the authority together. What is only observed counts nothing."""
    within: Annotated[Duration, Field(ge=1.0, le=24 * 3600.0)] = 60.0
    """In such a time."""
    bar: Annotated[Duration, Field(ge=1.0)] = 900.0
    """How long the agent gets no task and no token after that; its other tasks end too. An operator may restore it before."""


class PolicyDriftRule(Config):
    """What happens to live tasks when policy changes: those that it would not give any more are revoked."""

    at_most: Share = 0.25
    """A change that would revoke a greater share of all live tasks is refused unless an operator confirms it."""


def matches(pattern: str, intent: str) -> bool:
    """Whether an intent is named by a pattern: exactly, by `*`, by `prefix.*` or by `*.suffix`."""
    if pattern == "*":
        return True
    begin, end = pattern.startswith("*."), pattern.endswith(".*")
    core = pattern[2 if begin else 0 : -2 if end else None]
    if begin and end:
        return f".{core}." in intent
    if begin:
        return intent.endswith("." + core)
    return intent.startswith(core + ".") if end else intent == core
