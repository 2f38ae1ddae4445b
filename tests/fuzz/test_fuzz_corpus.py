"""Replays the corpora of the fuzzer: each named case has its verdict, and what was kept breaks nothing; knows no target."""

import pytest
from fuzz.targets import TARGETS
from fuzz.written import Case, bytes_of, grown_cases, named_cases, text_of

NAMED = [(target, case) for target in TARGETS for case in named_cases(target)]


@pytest.mark.parametrize(("target", "case"), NAMED, ids=[f"{target}: {case.name}" for target, case in NAMED])
def test_a_named_case_is_judged_as_it_says(target: str, case: Case) -> None:
    """What the gateway makes of it is written beside it, and every invariant of its target holds."""
    assert TARGETS[target].verdict(case.raw) == case.verdict
    TARGETS[target].check(case.raw)


@pytest.mark.parametrize("target", TARGETS)
def test_what_long_runs_kept_breaks_nothing(target: str) -> None:
    """Each of these inputs once reached something that no other did."""
    for raw in grown_cases(target):
        TARGETS[target].check(raw)


@pytest.mark.parametrize("target", TARGETS)
def test_names_of_cases_are_their_own(target: str) -> None:
    """A case that fails can be found by its name."""
    names = [case.name for case in named_cases(target)]
    assert len(names) == len(set(names)) > 10
    assert all(names)


def test_bytes_are_written_so_that_they_can_be_read_again() -> None:
    """Every byte has one line of ASCII."""
    for raw in (bytes(range(256)), b" a ", b"  ", b"\\r\r\n", b""):
        assert bytes_of(text_of(raw)) == raw
        assert "\n" not in text_of(raw)
        assert text_of(raw) == text_of(raw).strip()
