"""Places for concurrent requests: taken, refused beyond the limit, and given back however a request ends."""

import asyncio

import pytest

from gateway.errors import Interrupted, Refusal
from gateway.limits.spend import Counters, spend
from gateway.model import Coverage, Operation, Origin, Permit, Principal, Upstream, Use


def upstream(name: str = "billing", concurrent: int = 2) -> Upstream:
    """An upstream that bears so much at once."""
    return Upstream(
        tenant="acme", name=name, origin=Origin("https", "api.example", 443), prefix="/x", base_path="", protocol="http",
        credential="key", concurrent=concurrent,
    )  # fmt: skip


def permit(of: Upstream) -> Permit:
    """A permit as only a decision makes it."""
    principal = Principal(
        agent="spiffe://acme.example/a", subject="s", tenant="acme", task="t", token="j", intents=frozenset(("x",)),
        expires=4e9, epoch="e", marks=frozenset(),
    )  # fmt: skip
    use = Use(None, Operation("GET", "/", ("",)), (Coverage("x", {}, ()),))
    return Permit._issue(principal=principal, use=use, upstream=of, intent=use.observed[0], grant="g", policy="p")


def test_requests_count_while_they_are_under_way() -> None:
    """Each takes one place and gives it back, and a name that nobody uses is not kept."""
    counters, api = Counters(), upstream()
    with spend(permit(api), api, counters):
        assert counters.in_flight == {"billing": 1}
        with spend(permit(api), api, counters):
            assert counters.in_flight == {"billing": 2}
        assert counters.in_flight == {"billing": 1}
    assert counters.in_flight == {}


def test_one_too_many_is_refused_and_takes_nothing() -> None:
    """It is told how many are under way and when to come back; when one leaves, another may come."""
    counters, api = Counters(), upstream(concurrent=1)
    with spend(permit(api), api, counters):
        for _ in range(3):
            with pytest.raises(Refusal) as caught:
                spend(permit(api), api, counters)
            assert (caught.value.code, caught.value.retry_after) == ("limit_exceeded", 1)
            assert "1 requests to billing" in caught.value.detail
        assert counters.in_flight == {"billing": 1}
    with spend(permit(api), api, counters):
        assert counters.in_flight == {"billing": 1}


def test_upstreams_do_not_share_places() -> None:
    """One that is full keeps nobody from another."""
    counters, full, free = Counters(), upstream(concurrent=1), upstream("tracker", 1)
    with spend(permit(full), full, counters), spend(permit(free), free, counters):
        assert counters.in_flight == {"billing": 1, "tracker": 1}
    assert counters.in_flight == {}


@pytest.mark.parametrize(
    "error", [Refusal("upstream_failed"), Interrupted("client_gone"), ValueError(), asyncio.CancelledError(), GeneratorExit()]
)
def test_a_place_comes_back_however_the_request_ends(error: BaseException) -> None:
    """And the error goes on its way."""
    counters, api = Counters(), upstream()
    with pytest.raises(type(error)), spend(permit(api), api, counters):
        raise error
    assert counters.in_flight == {}


def test_a_lower_limit_counts_what_is_already_there() -> None:
    """Counters outlast a snapshot: an upstream whose limit was lowered is still full."""
    counters, before, after = Counters(), upstream(concurrent=3), upstream(concurrent=1)
    with spend(permit(before), before, counters), spend(permit(before), before, counters):
        with pytest.raises(Refusal):
            spend(permit(after), after, counters)
        assert counters.in_flight == {"billing": 2}
