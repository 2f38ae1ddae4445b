"""What ended exchanges come to, as plain numbers."""

import pytest

from gateway.audit import traffic
from gateway.audit.traffic import ALLOW, DENY, FURTHER, Traffic
from gateway.metrics.table import DURATIONS
from gateway.model import Origin, Outcome, Upstream


def upstream(name: str = "billing", tenant: str = "acme") -> Upstream:
    origin = Origin("http", "127.0.0.1", 1)
    return Upstream(tenant=tenant, name=name, origin=origin, prefix="", base_path="", protocol="http", credential="key")


def test_an_exchange_is_counted_under_all_that_it_was() -> None:
    """An answer, a refusal for a limit, and a caller who left before anything was decided."""
    counted, billing = Traffic(), upstream()
    counted.count(billing, ALLOW, Outcome("complete", 204, received=3, sent=5, upstream_seconds=0.2, attempts=2), 0.3, None)
    counted.count(billing, DENY, Outcome("refused", 429, code="limit_exceeded", sent=100), 0.0001, "rate per task")
    counted.count(None, "none", Outcome("client_gone"), 100.0, None)
    flow, nowhere = counted.flows[("acme", "billing")], counted.flows[("", "")]
    assert flow.answers == [0, 0, 1, 0, 0, 0]
    assert flow.refusals == {(DENY, "limit_exceeded", 4): 1}
    assert flow.limits == {"rate": 1}
    assert (flow.received, flow.sent, flow.resent) == (3, 105, 1)
    assert flow.endings == {"complete": 1, "refused": 1}
    assert flow.durations[0] == 1
    assert sum(flow.durations) == 2
    assert sum(flow.heads) == 1
    assert flow.head_seconds == 0.2
    assert nowhere.refusals == {("none", "", 0): 1}
    assert nowhere.durations[len(DURATIONS)] == 1


def test_an_upstream_stays_the_same_over_a_change_of_the_configuration() -> None:
    """Another object of the same name goes on with its counts; another tenant's has counts of its own."""
    counted = Traffic()
    for each in (upstream(), upstream(), upstream(tenant="other")):
        counted.count(each, ALLOW, Outcome("complete", 200), 0.1, None)
    assert {name: sum(flow.durations) for name, flow in counted.flows.items()} == {
        ("acme", "billing"): 2,
        ("other", "billing"): 1,
    }


def test_only_so_many_upstreams_are_counted_apart() -> None:
    """Whatever was configured over the years; what comes after them is counted together."""
    counted = Traffic()
    for number in range(traffic.MOST_FLOWS + 5):
        counted.count(upstream(f"u{number}"), ALLOW, Outcome("complete", 200), 0.1, None)
    assert len(counted.flows) == traffic.MOST_FLOWS + 1
    assert sum(counted.flows["", FURTHER].durations) == 5
    assert len(counted._known) <= traffic.MOST_FLOWS


@pytest.mark.parametrize("status", [0, 99, 600, 999])
def test_a_status_without_a_class_has_none(status: int) -> None:
    """An upstream may answer 999 and breaks no table."""
    counted = Traffic()
    counted.count(upstream(), ALLOW, Outcome("complete", status), 0.1, None)
    assert counted.flows[("acme", "billing")].answers[0] == 1
