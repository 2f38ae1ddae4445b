"""Grants and denials as operators write them, each checked alone; knows nothing of requests."""

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from gateway.kind import Config, Duration
from gateway.model import AgentPattern

_INTENT_PATTERN = re.compile(r"\*|(?:\*\.)?[a-z0-9][a-z0-9._-]*(?:\.\*)?").fullmatch


def _check_agent(text: str) -> str:
    AgentPattern.parse(text)
    return text


def _check_intent(text: str) -> str:
    if _INTENT_PATTERN(text) is None:
        raise ValueError("an intent is named exactly, or by a pattern such as *, invoices.* or *.write")
    return text


AgentText = Annotated[str, AfterValidator(_check_agent)]
IntentText = Annotated[str, AfterValidator(_check_intent)]


class GrantRule(Config):
    """Lets agents hold intents."""

    name: Annotated[str, Field(min_length=1, max_length=200)]
    """What it is for; stands in every record that it decides."""
    agents: Annotated[list[AgentText], Field(min_length=1)]
    """SPIFFE IDs, exact or with a trailing `/*` on a path boundary."""
    intents: Annotated[list[IntentText], Field(min_length=1)]
    """Intents by name, or by a pattern such as `invoices.*`."""
    declare: Literal["required", "implied"] = "required"
    """`implied` lets a client leave out Agent-Intent; the operation must then fit exactly one intent of the token."""
    ttl: Duration | None = None
    """How long a task token with these intents lives; never longer than `authority.tokens.max_ttl`."""


class DenialRule(Config):
    """Forbids intents. A denial beats every grant."""

    name: Annotated[str, Field(min_length=1, max_length=200)]
    """Why it is there; stands in every record that it decides."""
    agents: Annotated[list[AgentText], Field(min_length=1)] | None = None
    """Whom it concerns; everybody when left out."""
    intents: Annotated[list[IntentText], Field(min_length=1)]
    """Intents by name, or by a pattern such as `*.write`."""


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
