"""Scenario files: requests beside the decision that a policy is expected to come to; knows neither commands nor tests.

policy: doorward.yaml
scenarios:
  - name: the reconciler reads invoices of its own customer
    agent: spiffe://acme.example/ns/agents/sa/reconciler
    request: GET /billing/v1/customers/42/invoices
    declare: invoices.read
    params: {customer: "42"}
    expect: allow
"""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Final, Literal, NamedTuple, Self

import orjson
from pydantic import AwareDatetime, Field, ValidationError, model_validator

from gateway.errors import PROBLEMS, ConfigurationError, Flaw
from gateway.kind import Config, Count
from gateway.policy.rules import AgentText
from gateway.settings.nodes import Node
from gateway.settings.trial import Question, Verdict
from gateway.settings.yaml_file import parse_yaml, read_text

MOST_SCENARIOS: Final = 10_000
"""How many scenarios one file may hold."""


class ScenarioRule(Config):
    """One request, and what policy has to say to it."""

    name: Annotated[str, Field(min_length=1, max_length=200)]
    """What it shows."""
    request: Annotated[str, Field(pattern=r"^[A-Z-]{1,20} /")]
    """Method and target as an agent sends them, with the prefix of the upstream: `GET /billing/v1/invoices?limit=5`."""
    agent: AgentText
    """Who calls."""
    declare: str | None = None
    """What Agent-Intent says; there is no such header when it is left out."""
    reason: str | None = None
    """The reason that it declares."""
    intents: tuple[str, ...] | None = None
    """The intents of the token; all that policy lets the task hold when left out. What policy does not give is not held."""
    starter: AgentText | None = None
    """Who opened the task; the agent itself when left out."""
    tenant: str | None = None
    """The tenant of the token; that of the configuration when left out."""
    params: dict[str, str] = Field(default_factory=dict)
    """The params of the task."""
    claims: dict[str, Any] = Field(default_factory=dict)
    """The claims of who opened the task."""
    agent_claims: dict[str, Any] = Field(default_factory=dict)
    """The claims of the agent itself."""
    labels: tuple[str, ...] = ()
    """The labels of the task."""
    requests: Annotated[Count, Field(ge=0)] = 0
    """How many requests the task has made before."""
    headers: dict[str, str] = Field(default_factory=dict)
    """Header fields of the request."""
    json_: Any = Field(default=None, alias="json")
    """The body, as JSON."""
    body: str | None = None
    """The body as it is, instead."""
    source: str = "127.0.0.1"
    """The address that it comes from."""
    at: AwareDatetime | None = None
    """When it comes; now when left out."""
    opened: AwareDatetime | None = None
    """When the task was opened; with the request when left out."""
    expect: Literal["allow", "deny"]
    """What policy has to say. What is only observed is denied."""
    code: str | None = None
    """With which code it is refused."""
    grant: str | None = None
    """Which grant allows it."""
    says: str | None = None
    """What the detail of the refusal holds: the name of a denial, for example."""
    forwarded: bool | None = None
    """Whether it goes on all the same, for observe mode."""

    @model_validator(mode="after")
    def _check_expectation(self) -> Self:
        if self.code is not None and (self.expect == "allow" or self.code not in PROBLEMS):
            raise ValueError("`code` is one of the codes of refusals, and stands beside `expect: deny`")
        if self.json_ is not None and self.body is not None:
            raise ValueError("expected one of `json` and `body`")
        return self

    def question(self, now: float) -> Question:
        """The request, for which `now` is Unix time."""
        method, _, target = self.request.partition(" ")
        at = now if self.at is None else self.at.timestamp()
        body = (self.body or "").encode() if self.json_ is None else orjson.dumps(self.json_)
        return Question(
            agent=self.agent,
            method=method,
            target=target,
            at=at,
            declared=self.declare,
            reason=self.reason,
            intents=self.intents,
            starter=self.starter,
            tenant=self.tenant,
            params=self.params,
            claims=self.claims,
            agent_claims=self.agent_claims,
            labels=self.labels,
            requests=self.requests,
            opened=None if self.opened is None else self.opened.timestamp(),
            headers=({} if self.json_ is None else {"Content-Type": "application/json"}) | self.headers,
            body=body,
            source=self.source,
        )

    def disagreement(self, verdict: Verdict) -> str:
        """What is not as expected, as a clause; empty if all is."""
        told = f"refused: {verdict.code} ({verdict.detail})"
        if verdict.allowed:
            told = f"allowed by '{verdict.permit.grant if verdict.permit else ''}'"
        if verdict.allowed != (self.expect == "allow"):
            return told
        if self.code not in (None, verdict.code) or (self.says is not None and self.says not in verdict.detail):
            return told
        if self.grant is not None and (verdict.permit is None or verdict.permit.grant != self.grant):
            return told
        if self.forwarded is not None and self.forwarded != (verdict.permit is not None):
            return f"{told}, and {'forwarded' if verdict.permit else 'not forwarded'}"
        return ""


class ScenariosRule(Config):
    """A file of scenarios."""

    policy: str | None = None
    """The configuration that they are about, relative to this file; the one that the command names when left out."""
    scenarios: Annotated[list[ScenarioRule], Field(min_length=1, max_length=MOST_SCENARIOS)]
    """What is tried, in this order."""


class Scenarios(NamedTuple):
    """A file of scenarios that is right in itself; `places` says where each of them begins."""

    rule: ScenariosRule
    file: Path
    places: Sequence[Flaw]

    @property
    def policy(self) -> Path | None:
        """The configuration that it names."""
        return None if self.rule.policy is None else self.file.parent / self.rule.policy


def load_scenarios(file: Path, environment: Mapping[str, str] | None = None) -> Scenarios:
    """Read and check a file of scenarios. Raises `ConfigurationError` with every flaw, `DoorwardError` if it cannot be read."""
    root, flaws = parse_yaml(read_text(file), str(file), os.environ if environment is None else environment)
    try:
        rule = ScenariosRule.model_validate(root.value)
    except ValidationError as error:
        found = [_flaw(root, one["loc"], one["msg"]) for one in error.errors(include_url=False, include_input=False)]
        raise ConfigurationError([*flaws, *found]) from None
    if flaws:
        raise ConfigurationError(flaws)
    return Scenarios(rule, file, [_flaw(root, ("scenarios", number), "") for number in range(len(rule.scenarios))])


def _flaw(root: Node, where: Sequence[str | int], message: str) -> Flaw:
    line, column = root.nearest(where).of_value
    return Flaw(str(root.file), line, column, message.removeprefix("Value error, "))
