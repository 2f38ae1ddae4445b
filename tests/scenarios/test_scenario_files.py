"""Every scenario beside this file, as an operator would write it, decided by the very steps of the gateway."""

from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path

import pytest

from gateway.clock import Clock
from gateway.policy.asked import VARIABLES
from gateway.policy.conditions import request_condition
from gateway.settings.compile import compile_configuration
from gateway.settings.compiled import Compiled
from gateway.settings.load import load
from gateway.settings.scenarios import ScenarioRule, load_scenarios
from gateway.settings.trial import decide_on_paper

HERE = Path(__file__).parent
NOW = datetime.now(UTC)
ENVIRONMENT = {"TODAY": f"{NOW:%Y-%m-%d}", "EXPIRES": f"{NOW + timedelta(days=90):%Y-%m-%d}"}
FILES = [file for file in sorted(HERE.glob("*.yaml")) if "\nscenarios:" in file.read_text()]
ALL = [(file, rule) for file in FILES for rule in load_scenarios(file, ENVIRONMENT).rule.scenarios]


@cache
def policy_of(file: Path) -> Compiled:
    named = load_scenarios(file, ENVIRONMENT).policy
    assert named is not None
    return compile_configuration(load(named, ENVIRONMENT), Clock().now())


FOUND_ON_PAPER = {
    "request_malformed", "head_too_large", "body_too_large", "method_refused", "upstream_unknown", "tenant_mismatch",
    "intent_malformed", "intent_missing", "intent_not_granted", "intent_mismatch", "condition_failed", "denied",
    "method_unknown", "header_mismatch", "session_unknown",
}  # fmt: skip
"""The codes of refusals that need neither a token nor a credential nor an upstream."""


def test_every_variable_is_read_and_every_code_expected() -> None:
    """Each variable of conditions in some policy, and each code that a scenario can have in some scenario."""
    policies = [load_scenarios(file, ENVIRONMENT).policy for file in FILES]
    documents = [load(policy, ENVIRONMENT).document for policy in set(policies) if policy is not None]
    entries = [entry for document in documents for entry in (*document.grants, *document.denials)]
    read = [request_condition(entry.when).reads for entry in entries if entry.when is not None]
    assert frozenset().union(*read) == set(VARIABLES)
    assert {rule.code for _, rule in ALL if rule.code is not None} == FOUND_ON_PAPER


@pytest.mark.parametrize(("file", "rule"), ALL, ids=[f"{file.stem}: {rule.name}" for file, rule in ALL])
def test_a_scenario_is_decided_as_it_says(file: Path, rule: ScenarioRule) -> None:
    """The decision, its code and its grant are those that stand there, at whatever hour the test is run."""
    now = Clock().now()
    for hour in range(24):
        assert rule.disagreement(decide_on_paper(policy_of(file), rule.question(now + hour * 3600.0))) == ""
