"""Runs the examples of grants whenever a configuration is loaded: a wrong one is a mistake like any other; knows no gateway."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Final

import orjson

from gateway.errors import Flaw
from gateway.intent.rules import METHODS
from gateway.policy.rules import ExampleRule, GrantRule, matches
from gateway.settings.compiled import Compiled
from gateway.settings.document import Document
from gateway.settings.load import Loaded
from gateway.settings.trial import Question, Verdict, decide_on_paper

MOMENT: Final = datetime(2026, 11, 24, 12, tzinfo=UTC)
"""When examples are asked that say nothing of it: a Tuesday at noon, so that no restart fails for the hour."""
_ANY: Final = "any.other"
"""Stands for what a pattern leaves open."""


def example_flaws(loaded: Loaded, compiled: Compiled) -> Iterator[Flaw]:
    """One for each example that is not decided as it says."""
    for number, grant in enumerate(loaded.document.grants):
        for index, example in enumerate(grant.examples):
            where = ("grants", number, "examples", index, "allow" if example.deny is None else "deny")
            try:
                verdict = run_example(loaded.document, compiled, grant, example)
            except ValueError as error:
                yield loaded.flaw(where, str(error))
                continue
            if verdict.allowed and example.deny is not None:
                decided = "" if verdict.permit is None else verdict.permit.grant
                yield loaded.flaw(where, f"this example is allowed, by the grant '{decided}'")
            elif not verdict.allowed and example.allow is not None:
                yield loaded.flaw(where, f"this example is refused: {verdict.code} ({verdict.detail})")
            elif example.code not in (None, verdict.code):
                yield loaded.flaw(
                    where, f"this example is refused with {verdict.code}, not with {example.code} ({verdict.detail})"
                )


def run_example(document: Document, compiled: Compiled, grant: GrantRule, example: ExampleRule) -> Verdict:
    """Decide one example. Raises `ValueError` if it is none."""
    method, _, target = (example.allow or example.deny or "").partition(" ")
    if method not in METHODS or not target.startswith("/"):
        raise ValueError("an example is a method, a space and a path, such as GET /v1/invoices?limit=5")
    intents = [intent for intent in document.intents if any(matches(pattern, intent) for pattern in grant.intents)]
    if example.intent is not None and example.intent not in document.intents:
        raise ValueError(f"unknown intent '{example.intent}'")
    asked = [
        _question(document, grant, example, method, target, intent)
        for intent in (intents if example.intent is None else [example.intent])
    ]
    verdicts = [decide_on_paper(compiled, question) for question in asked]
    fitting = (verdict for verdict in verdicts if verdict.allowed or _covered(verdict))
    return next(fitting, verdicts[0])


def _covered(verdict: Verdict) -> bool:
    use = verdict.use
    return use is not None and use.declared is not None and use.declared.name in {each.intent for each in use.observed}


def _question(document: Document, grant: GrantRule, example: ExampleRule, method: str, target: str, intent: str) -> Question:
    agent = _one(example.agent or grant.agents[0])
    upstream = document.intents[intent].upstream
    body = b"" if example.json_ is None else orjson.dumps(example.json_)
    return Question(
        agent=agent,
        method=method,
        target=document.upstreams[upstream].prefix(upstream) + target,
        at=(example.at or MOMENT).timestamp(),
        declared=intent,
        starter=None if grant.start is None else _starter(grant.start.by, agent),
        params=example.params,
        claims=example.claims,
        agent_claims=example.agent_claims,
        labels=example.labels,
        requests=example.requests,
        headers=({"Content-Type": "application/json"} if body else {}) | example.headers,
        body=body,
    )


def _starter(by: list[str], agent: str) -> str:
    return agent if agent in by else _one(by[0])


def _one(pattern: str) -> str:
    """An agent that a pattern covers."""
    return pattern.removesuffix("*") + _ANY if pattern.endswith("/*") else pattern
