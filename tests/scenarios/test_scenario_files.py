"""Every scenario beside this file, as an operator would write it, decided by the very steps of the gateway."""

from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path

import pytest

from gateway.clock import Clock
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


@pytest.mark.parametrize(("file", "rule"), ALL, ids=[f"{file.stem}: {rule.name}" for file, rule in ALL])
def test_a_scenario_is_decided_as_it_says(file: Path, rule: ScenarioRule) -> None:
    """The decision, its code and its grant are those that stand there, at whatever hour the test is run."""
    now = Clock().now()
    for hour in range(24):
        assert rule.disagreement(decide_on_paper(policy_of(file), rule.question(now + hour * 3600.0))) == ""
