"""What a request takes: at once where leases are at hand, after a wait where not, never without; and what it gives back."""

import asyncio
from collections.abc import Coroutine
from typing import Any

import pytest
from fakes.counts import EverythingLent, HandClock, MemoryCounts, Wire, settle

from gateway.authority.lending import Lending
from gateway.errors import Interrupted, Refusal
from gateway.http.metered import Meter
from gateway.http.waiting import Wait
from gateway.limits.leases import Leases
from gateway.limits.meter import LeasedMeter
from gateway.limits.spend import LEASE_WAIT, MOST_WAITS, Owed, Spent, spend
from gateway.model import Coverage, Limit, Operation, Origin, Permit, Principal, Upstream, Use

FIVE = Limit("requests", "requests/five", 5, 0.0, "of this task under the grant 'five'")
TWO = Limit("concurrent", "concurrent/two", 2, 0.0, "of this task under the grant 'two'")


def upstream(name: str = "billing", concurrent: int = 2) -> Upstream:
    """An upstream that bears so much at once."""
    return Upstream(
        tenant="acme", name=name, origin=Origin("https", "api.example", 443), prefix="/x", base_path="", protocol="http",
        credential="key", concurrent=concurrent,
    )  # fmt: skip


def permit(of: Upstream, *limits: Limit) -> Permit:
    """A permit as only a decision makes it."""
    principal = Principal(
        agent="spiffe://acme.example/a", subject="s", tenant="acme", task="t", token="j", intents=frozenset(("x",)),
        expires=4e9, epoch="e", marks=frozenset(),
    )  # fmt: skip
    use = Use(None, Operation("GET", "/", ("",)), (Coverage("x", {}, ()),))
    made = Permit._issue(principal=principal, use=use, upstream=of, intent=use.observed[0], grant="g", policy="p")
    made.limits = limits or None
    return made


class Caller:
    """A connection whose request runs until it waits."""

    def __init__(self) -> None:
        self.meter: Meter | None = None
        self.waits: Wait[Any] | None = None
        self.error: Exception | None = None
        self.done = False
        self._life: Coroutine[Any, Any, None] | None = None

    def pay(self, owed: Owed) -> "Caller":
        self._life = owed.pay(self)
        self._step(None)
        return self

    def resume(self, wait: Wait[Any], value: Any) -> None:
        if self.waits is wait:
            self._step(value)

    def interrupt(self, error: Exception) -> None:
        self.error = error

    def time_out(self) -> None:
        assert self.waits is not None
        with pytest.raises(Refusal):
            self._life.throw(self.waits.overdue())

    def _step(self, value: Any) -> None:
        self.waits = None
        try:
            self.waits = self._life.send(value)
        except StopIteration:
            self.done = True
        except Refusal as refusal:
            self.error = refusal


class Nobody:
    """Waits for a lease, and takes nothing when it comes."""

    def ready(self) -> None: ...

    def refuse(self, _refusal: Refusal) -> None: ...


class Cuttable:
    """A connection whose exchange may be ended."""

    def interrupt(self, error: Exception) -> None: ...


def lent(clock: HandClock | None = None) -> Leases:
    """The leases of a gateway that gets whatever it asks for, at once."""
    leases = Leases(clock or HandClock(), at_end=lambda flush: flush())
    EverythingLent(leases)
    return leases


def world() -> tuple[Lending, Wire, Wire]:
    """A lender and two gateways."""
    clock = HandClock()
    lending = Lending(MemoryCounts(), clock, max_task=3600.0, max_staleness=10.0)
    return lending, Wire("one", lending, clock), Wire("two", lending, clock)


def begin(api: Upstream, leases: Leases, *limits: Limit) -> Spent:
    """Spend, and pay at once what is owed."""
    spent = spend(permit(api, *limits), api, leases)
    owed = spent.__enter__()
    if owed is not None:
        caller = Caller().pay(owed)
        if caller.error is not None:
            raise caller.error
        assert caller.done
    return spent


def test_the_common_request_owes_nothing_once_its_place_is_known() -> None:
    """The first asks for places; whoever comes then takes one and gives it back, without asking anybody."""
    leases, api = lent(), upstream()
    with spend(permit(api), api, leases) as owed:
        assert owed is not None
        assert Caller().pay(owed).done
        assert leases.in_use == 1
        with spend(permit(api), api, leases) as nothing:
            assert nothing is None
            assert leases.in_use == 2
        assert leases.in_use == 1
    assert leases.in_use == 0


def test_one_too_many_is_refused_and_takes_nothing() -> None:
    """It is told how many are under way and when to come back, the record which limit it was; then another may come."""
    leases, api = lent(), upstream(concurrent=1)
    with begin(api, leases):
        for _ in range(3):
            with pytest.raises(Refusal) as caught:
                begin(api, leases)
            refusal = caught.value
            assert (refusal.code, refusal.retry_after, refusal.cause) == ("limit_exceeded", 1, "concurrent to billing")
            assert (refusal.detail, refusal.error) == (
                "1 requests to billing are under way, and no more at once.",
                "connection_limit_reached",
            )
        assert leases.in_use == 1
    with begin(api, leases):
        assert leases.in_use == 1


def test_upstreams_do_not_share_places() -> None:
    """One that is full keeps nobody from another."""
    leases, full, free = lent(), upstream(concurrent=1), upstream("tracker", 1)
    with begin(full, leases), begin(free, leases):
        assert leases.in_use == 2
    assert leases.in_use == 0


@pytest.mark.parametrize(
    "error", [Refusal("upstream_failed"), Interrupted("client_gone"), ValueError(), asyncio.CancelledError(), GeneratorExit()]
)
def test_places_come_back_however_the_request_ends(error: BaseException) -> None:
    """And the error goes on its way."""
    leases, api = lent(), upstream()
    for limits in ((), (TWO, FIVE)):
        with pytest.raises(type(error)), begin(api, leases, *limits):
            raise error
        assert leases.in_use == 0


def test_a_lower_limit_counts_what_is_already_there() -> None:
    """Leases outlast a snapshot: an upstream whose limit was lowered is still full."""
    leases, before, after = lent(), upstream(concurrent=3), upstream(concurrent=1)
    with begin(before, leases):
        with begin(before, leases):
            with pytest.raises(Refusal):
                begin(after, leases)
            assert leases.in_use == 2
        with pytest.raises(Refusal):
            begin(after, leases)
    with begin(after, leases):
        assert leases.in_use == 1


@pytest.mark.parametrize("kind", ["requests", "bytes", "rate"])
def test_a_lower_limit_takes_back_what_was_lent_ahead(kind: str) -> None:
    """It goes back, and so does what an answer brings that was asked for by the greater one; then others may have it."""

    async def scene() -> None:
        lending, one, two = world()
        window = 3600.0 if kind == "rate" else 0.0
        before, after = (Limit(kind, "some", most, window, "of this task") for most in (1000, 3))
        for each in (one, two):
            each.leases.wait_for(each.leases.account(before), Nobody(), 1)
            await settle(lending, one, two)
            each.leases.take(each.leases.account(before))
        assert one.leases.account(before).left + two.leases.account(before).left > 3
        one.leases.wait_for(one.leases.account(before), Nobody(), 900)
        spent = 2
        for each in (one, two):
            account = each.leases.account(after)
            assert account.left == 0
            for _ in range(4):
                if account.dry_until <= each.leases._clock.boot():
                    each.leases.wait_for(account, Nobody())
                await settle(lending, one, two)
                if account.left:
                    each.leases.take(account)
                    spent += 1
        assert spent <= 3
        assert spent == 3 or kind == "rate", "what was given back may be spent"

    asyncio.run(scene())


def test_an_exchange_that_is_under_way_goes_by_the_limit_of_now() -> None:
    """It takes turns with others without a new lease for each of them, and together they spend no more than that."""

    async def scene() -> None:
        lending, one, _ = world()
        before, after = (Limit("bytes", "some", most, 0.0, "of this task") for most in (90_000_000, 1_000_000))
        meters = [LeasedMeter(one.leases, [limit], Cuttable()) for limit in (before, after)]
        one.leases.wait_for(one.leases.account(before), Nobody())
        await settle(lending, one)
        one.leases.wait_for(one.leases.account(after), Nobody())  # as a request does that begins by it
        asked = taken = 0
        while taken < 100:
            for meter in meters:
                if meter.take(10_000):
                    taken += 1
                else:
                    asked += 1
                    meter.wait(10_000, lambda: None)
            await settle(lending, one)
        assert asked < 20, "a lease lasts for more than one read"
        assert not any(meter.take(10_000) for meter in meters)

    asyncio.run(scene())


def test_a_request_takes_one_of_each_limit_or_none() -> None:
    """What is spent for good stays spent, what is short spends nothing of the others."""
    leases, api = lent(), upstream(concurrent=9)
    with begin(api, leases, TWO, FIVE), begin(api, leases, TWO, FIVE):
        before = leases.account(FIVE).left
        with pytest.raises(Refusal) as caught:
            begin(api, leases, FIVE, TWO)
        assert caught.value.cause == "concurrent of this task under the grant 'two'"
        assert leases.account(FIVE).left == before
    assert leases.in_use == 0
    assert leases.account(FIVE).left == before


def test_a_limit_that_is_used_up_says_that_waiting_does_not_help() -> None:
    """The sentence is for the agent, the cause for the record, and the header tells it to stay away."""

    async def scene() -> None:
        lending, one, _ = world()
        api = upstream(concurrent=100)
        for _ in range(5):
            caller = Caller().pay(spend(permit(api, FIVE), api, one.leases).__enter__())
            await settle(lending, one)
            assert caller.done
        caller = Caller().pay(spend(permit(api, FIVE), api, one.leases).__enter__())
        await settle(lending, one)
        refusal = caller.error
        assert isinstance(refusal, Refusal)
        assert refusal.detail == "All 5 requests of this task under the grant 'five' are used."
        assert (refusal.retry_after, refusal.cause) == (3600, "requests of this task under the grant 'five'")

    asyncio.run(scene())


def test_a_request_without_a_lease_waits_for_it_and_no_longer_than_allowed() -> None:
    """The connection's own deadline ends the wait, with the refusal that names the limit; nobody is left in the queue."""

    async def scene() -> None:
        lending, one, _ = world()
        api = upstream()
        late = Caller().pay(spend(permit(api, FIVE), api, one.leases).__enter__())
        assert late.waits is not None
        assert late.waits.seconds == LEASE_WAIT
        late.time_out()
        assert not one.leases.account(FIVE).waiting
        served = Caller().pay(spend(permit(api, FIVE), api, one.leases).__enter__())
        await settle(lending, one)
        assert served.done

    asyncio.run(scene())


def test_who_is_always_too_late_is_refused_in_the_end() -> None:
    """A lease that others take each time before it resumes is waited for only so often."""
    leases, api = Leases(HandClock(), at_end=lambda flush: flush()), upstream()
    caller = Caller().pay(spend(permit(api, FIVE), api, leases).__enter__())
    waits = 0
    while caller.waits is not None:
        waits += 1
        caller.resume(caller.waits, None)
    assert waits == MOST_WAITS
    assert isinstance(caller.error, Refusal)


def test_only_limited_bytes_are_metered() -> None:
    """A limit of bytes gives the connection a meter for this one exchange, which counts nothing any more after it."""
    leases, api = lent(), upstream()
    many = Limit("bytes", "bytes/many", 1000, 0.0, "of this task")
    with spend(permit(api, many), api, leases) as owed:
        caller = Caller().pay(owed)
        assert caller.meter is not None
    assert Caller().pay(spend(permit(api, FIVE), api, leases).__enter__()).meter is None
