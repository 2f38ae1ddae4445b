"""What is told of revocations follows from what was seen of each; knows no process and waits for nothing."""

import pytest

from benchmarks.revocation import figures_of, rows_of

HELD = {"held": True, "breaches": 0}


def seen(*acceptances: int, cut: int = 100_000, **more: object) -> dict:
    ended = [{"id": "a", "at": 1, "acceptance": each, "cut": cut} for each in acceptances]
    return {"ended": ended, "answered": 2000, "seconds": 2.0, "failed": 0, "broken": 0, "busy": 1.5, "judged": HELD, **more}


def test_times_after_the_acknowledgement_are_told_in_milliseconds():
    """What was sent before it counts as negative, and not as accepted after it."""
    found = figures_of([seen(-2_000_000, 500_000), seen(-1_000_000)], 1.0)
    assert found["acceptance"] == {"p50_ms": -1.0, "p99_ms": 0.5, "max_ms": 0.5, "after": 1}
    assert found["cut"]["after"] == 3
    assert found["cores_busy"] == 0.75
    assert found["per_second"] == 1000
    assert found["held"]


def test_the_worst_is_always_told():
    """One task in two hundred does not move p99, and stands in the maximum."""
    found = figures_of([seen(*[-1_000_000] * 199, 70_000_000)], 1.0)
    assert (found["acceptance"]["p99_ms"], found["acceptance"]["max_ms"]) == (-1.0, 70.0)
    row = rows_of({"one process": found})[1]
    assert row == ["one process: last acceptance", "1", "-1.00", "-1.00", "70.00", "1", "200", "0"]


@pytest.mark.parametrize(
    "sight",
    [
        seen(2_000_000),
        seen(-1, cut=2_000_000),
        seen(-1, failed=1),
        seen(-1, broken=1),
        seen(-1, judged={"held": False, "breaches": 1}),
    ],
)
def test_whatever_is_missed_is_a_miss(sight: dict):
    """A late acceptance, a late cut, a disturbed bystander and a breach in the logs each fail the setting."""
    assert figures_of([seen(-1)], 1.0)["held"]
    assert not figures_of([seen(-1), sight], 1.0)["held"]
