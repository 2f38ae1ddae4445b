"""Under which limits a request stands: those of its grant for its caller, of its task and ancestors, and of its upstream."""

import pytest
from pydantic import ValidationError

from gateway.kind import Pace
from gateway.model import Limit, Origin, Principal, Upstream
from gateway.policy.limited import GrantLimits, limits_of
from gateway.policy.rules import GrantLimitsRule
from gateway.task_limits import MOST

RATE = Limit("rate", "rate/acme/upstream/billing", 50, 0.5, "to billing", shared=True)


def principal(**changes: object) -> Principal:
    """Somebody, in some task."""
    facts = {
        "agent": "spiffe://acme.example/a", "subject": "s", "tenant": "acme", "task": "t1", "token": "j",
        "intents": frozenset(("x",)), "expires": 4e9, "epoch": "e", "marks": frozenset(),
    }  # fmt: skip
    return Principal(**{**facts, **changes})


def upstream(rate: Limit | None = None) -> Upstream:
    """An upstream, with a rate or without."""
    return Upstream(
        tenant="acme", name="billing", origin=Origin("https", "api.example", 443), prefix="", base_path="", protocol="http",
        credential="key", rate=rate,
    )  # fmt: skip


def grant(text: dict[str, object], name: str = "reads / all") -> GrantLimits:
    """Its limits as an operator writes them."""
    return GrantLimits(name, GrantLimitsRule.model_validate(text))


def test_most_requests_stand_under_none() -> None:
    """And that is said by None, so that nobody looks any further."""
    assert limits_of(None, principal(), upstream()) is None


def test_every_kind_has_a_key_of_its_own_that_says_whose_it_is() -> None:
    """No two grants, tasks or kinds share a count, whatever characters their names have."""
    every = {"requests": 500, "rate": "20/s", "bytes": "50MiB", "concurrent": 4}
    limits = limits_of(grant(every), principal(), upstream())
    label = "of this task under the grant 'reads / all'"
    assert limits == (
        Limit("requests", "requests/acme/grant/reads%20%2F%20all/task/t1", 500, 0.0, label),
        Limit("bytes", "bytes/acme/grant/reads%20%2F%20all/task/t1", 50 << 20, 0.0, label),
        Limit("rate", "rate/acme/grant/reads%20%2F%20all/task/t1", 10, 0.5, label),
        Limit("concurrent", "concurrent/acme/grant/reads%20%2F%20all/task/t1", 4, 0.0, label),
    )
    keys = {
        limit.key
        for name in ("a", "a/task/b", "b")
        for task in ("b", "b/task/b")
        for limit in grant(every, name).of(principal(task=task))
    }
    assert len(keys) == 4 * 3 * 2


@pytest.mark.parametrize(
    ("per", "whose", "window"),
    [("task", "t1", 0.0), ("agent", "spiffe%3A%2F%2Facme.example%2Fa", 3600.0), ("tenant", "acme", 3600.0)],
)
def test_who_counts_together(per: str, whose: str, window: float) -> None:
    """A task counts for its life; an agent and a tenant have no end, so their counts begin anew."""
    (limit,) = grant({"requests": 9, "per": per, "within": "1h"}).of(principal())
    assert limit.key.endswith(f"/{per}/{whose}")
    assert (limit.window, limit.label) == (window, f"of this {per} under the grant 'reads / all'")


def test_a_request_spends_from_its_task_and_all_its_ancestors_too() -> None:
    """What the token itself allows stands beside what the grant allows, and beside what the upstream bears."""
    family = (
        Limit("requests", "requests/acme/task/parent", 9, 0.0, "of the task parent"),
        Limit("requests", "requests/acme/task/t1", 5, 0.0, "of this task"),
    )
    assert limits_of(None, principal(limits=family), upstream(RATE)) == (*family, RATE)
    assert limits_of(grant({"requests": 1}), principal(limits=family), upstream(RATE))[1:] == (*family, RATE)


@pytest.mark.parametrize("text", ["20/s", "1/s", "5/s", "100/m", "7/h"])
def test_slices_bring_the_rate_and_no_more(text: str) -> None:
    """In a time as long as the unit together exactly as many, and two slices are the burst."""
    pace = GrantLimitsRule.model_validate({"rate": text}).rate
    each, seconds = pace.slices()
    assert each / seconds == pytest.approx(pace.number / pace.seconds)
    assert pace.number <= 2 * each <= pace.number + 1
    assert Pace(20, 1.0).slices() == (10, 0.5)


@pytest.mark.parametrize(
    "text",
    [
        {},
        {"per": "agent"},
        {"requests": 0},
        {"requests": MOST + 1},
        {"bytes": "0B"},
        {"bytes": 5},
        {"rate": "0/s"},
        {"rate": "20"},
        {"rate": "20/d"},
        {"rate": "2.5/s"},
        {"rate": 20},
        {"concurrent": True},
        {"concurrent": 100_001},
        {"requests": 1, "per": "subject"},
        {"requests": 1, "within": "59s"},
    ],
)
def test_what_is_no_limit_is_a_configuration_error(text: dict[str, object]) -> None:
    """Nothing limited, a limit of nothing, or one beyond all bounds."""
    with pytest.raises(ValidationError):
        GrantLimitsRule.model_validate(text)
