"""What operators are told of upstreams that repeat their secret: at once, then now and then; no secret is near."""

from fakes.clock import TurnedClock
from structlog.testing import capture_logs

from gateway.http.outbound import PoolKey
from gateway.http.reflections import TOLD_EVERY, Reflections
from gateway.model import Origin, Upstream

UPSTREAM = Upstream(
    tenant="acme", name="billing", origin=Origin("https", "api.example", 443), prefix="/billing", base_path="",
    protocol="http", credential="billing-key",
)  # fmt: skip


def test_the_first_is_told_at_once_and_then_one_a_minute() -> None:
    """All are counted; each credential at each upstream has its own minute."""
    clock = TurnedClock()
    reflections = Reflections(clock)
    with capture_logs() as told:
        for key in (PoolKey(UPSTREAM, "billing-key", "v1"), PoolKey(UPSTREAM, "other-key", "v1")):
            for masked in (1, 2, 3):
                reflections.note(key, masked)
        clock.ahead = TOLD_EVERY + 1
        reflections.note(PoolKey(UPSTREAM, "billing-key", "v2"), 4)
    assert {(line["event"], line["log_level"]) for line in told} == {("secret_reflected", "warning")}
    assert [(line["upstream"], line["credential"], line["masked"], line["since_start"]) for line in told] == [
        ("billing", "billing-key", 1, 1),
        ("billing", "other-key", 1, 1),
        ("billing", "billing-key", 4, 10),
    ]
    assert reflections.counts == {("billing", "billing-key"): 10, ("billing", "other-key"): 6}
