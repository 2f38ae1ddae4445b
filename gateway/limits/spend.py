"""The sixth step: take what the request may use, and give back what it used only for its duration; knows no policy."""

from collections.abc import Sequence
from types import TracebackType
from typing import Any, Final, Protocol, final

from gateway.errors import Refusal
from gateway.http.metered import Meter
from gateway.http.waiting import Wait
from gateway.limits.account import Account
from gateway.limits.leases import Leases
from gateway.limits.meter import LeasedMeter
from gateway.limits.wishes import BYTES, CONCURRENT
from gateway.model import Limit, Permit, Upstream

LEASE_WAIT: Final = 3.0
"""Seconds for which a request waits for one lease: a little longer than the wish for it lives."""
MOST_WAITS: Final = 8
"""How often it waits before it is refused; others may have been faster each time."""


class Payer(Protocol):
    """The connection whose request is to be paid for."""

    meter: Meter | None

    def resume(self, wait: Wait[Any], value: object) -> None:
        """Let the request go on, if this is still what it waits for."""

    def interrupt(self, error: Exception) -> None:
        """Throw an error into the request where it waits."""


@final
class Spent:
    """What one request has taken; leaving the block gives back what is given back."""

    __slots__ = ("_owed", "_place")

    def __init__(self, place: Account | None, owed: "Owed | None") -> None:
        self._place: Final = place
        self._owed: Final = owed

    def __enter__(self) -> "Owed | None":
        """The request is under way; None if nothing is owed, as nearly always."""
        return self._owed

    def __exit__(self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None) -> None:
        """The request has ended, however it ended."""
        if self._place is not None:
            self._place.left += 1
        elif self._owed is not None:
            self._owed.give_back()


@final
class Owed:
    """What a request has to pay before it may go on: one of each limit, all at once or none."""

    __slots__ = ("_leases", "_limits", "_meter", "_places", "_upstream", "_uses")

    def __init__(self, leases: Leases, limits: Sequence[Limit], upstream: Upstream, uses: int) -> None:
        """`limits` are those besides the upstream's places; `uses` says for how many operations the request is."""
        self._leases: Final = leases
        self._limits: Final = limits
        self._upstream: Final = upstream
        self._uses: Final = uses
        self._places: Sequence[Account] = ()
        self._meter: LeasedMeter | None = None

    async def pay(self, caller: Payer) -> None:
        """Take one of each, and wait for the leases that are short. Raises `Refusal` with `limit_exceeded`.

        Of what is spent for good, a request of several operations takes one for each of them.
        """
        limits = self._limits
        for _ in range(self._uses - 1):
            await self._take_each([limit for limit in limits if limit.kind not in (BYTES, CONCURRENT)], None, caller)
        await self._take_each([limit for limit in limits if limit.kind != BYTES], self._upstream, caller)
        metered = [limit for limit in limits if limit.kind == BYTES]
        if metered:
            caller.meter = self._meter = LeasedMeter(self._leases, metered, caller)

    async def _take_each(self, limits: Sequence[Limit], places_of: Upstream | None, caller: Payer) -> None:
        """One of each, and of the places of an upstream, all at once."""
        leases = self._leases
        waits = 0
        while True:
            accounts = [leases.account(limit) for limit in limits]
            if places_of is not None:
                accounts.append(leases.place(places_of))
            short = leases.short_of(accounts)
            if short is None:
                self._take(accounts)
                return
            if waits == MOST_WAITS:
                raise short.refusal()
            waits += 1
            await _lease(leases, short, caller)

    def _take(self, accounts: Sequence[Account]) -> None:
        for account in accounts:
            self._leases.take(account)
        self._places = [account for account in accounts if account.limit.kind == CONCURRENT]

    def give_back(self) -> None:
        """The places are free again, and no more bytes pass."""
        if self._meter is not None:
            self._meter.stop()
        for account in self._places:
            account.left += 1


@final
class _Queued:
    """A request that waits for a lease."""

    __slots__ = ("_caller", "_wait", "over", "refusal")

    def __init__(self, caller: Payer, wait: Wait[None]) -> None:
        self._caller: Final = caller
        self._wait: Final = wait
        self.over = False
        self.refusal: Refusal | None = None

    def ready(self) -> None:
        """Try again."""
        self.over = True
        self._caller.resume(self._wait, None)

    def refuse(self, refusal: Refusal) -> None:
        """There will be none."""
        self.refusal = refusal
        self.ready()


async def _lease(leases: Leases, short: Account, caller: Payer) -> None:
    """Wait until the account may have enough. Raises the `Refusal` if it will not."""
    wait: Wait[None] = Wait(LEASE_WAIT, short.refusal)
    queued = _Queued(caller, wait)
    leases.wait_for(short, queued)
    try:
        if not queued.over:  # a lender that answers at once does so before anybody waits
            leases.waits += 1
            await wait
    finally:
        short.waiting.pop(queued, None)
    if queued.refusal is not None:
        raise queued.refusal


def spend(permit: Permit, upstream: Upstream, leases: Leases) -> Spent:
    """Take one of the upstream's places, or say what is owed besides, or first, which the request then has to pay."""
    place = leases.places.get(upstream)
    if permit.limits is None and place is not None and place.left > 0:
        place.left -= 1
        return Spent(place, None)
    return Spent(None, Owed(leases, permit.limits or (), upstream, permit.uses))
