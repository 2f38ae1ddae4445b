"""Counts the bytes of one exchange against the leases of its limits, before they pass; knows nothing of what they say."""

from collections.abc import Callable, Sequence
from typing import Final, Protocol, final

from gateway.errors import Refusal
from gateway.limits.leases import Leases
from gateway.model import Limit


class Interruptible(Protocol):
    """The connection whose exchange is metered."""

    def interrupt(self, error: Exception) -> None:
        """Throw an error into the request where it waits."""


@final
class LeasedMeter:
    """The meter of one exchange, for both directions."""

    __slots__ = ("_caller", "_leases", "_limits", "_over")

    def __init__(self, leases: Leases, limits: Sequence[Limit], caller: Interruptible) -> None:
        """Of each of `limits` every byte is spent."""
        self._leases: Final = leases
        self._limits: Final = limits
        self._caller: Final = caller
        self._over = False

    def take(self, amount: int) -> bool:
        """Spend so many bytes of each limit, all or none; false if one of them has fewer now."""
        leases = self._leases
        accounts = [leases.metered(limit) for limit in self._limits]
        if leases.short_of(accounts, amount) is not None:
            return False
        for account in accounts:
            leases.take(account, amount)
        return True

    def wait(self, amount: int, ready: Callable[[], None]) -> None:
        """Call `ready` when there may be enough, or end the exchange if there will not. Raises `Refusal` if that is known."""
        accounts = [self._leases.metered(limit) for limit in self._limits]
        short = self._leases.short_of(accounts, amount)
        self._leases.wait_for(short or accounts[0], _Held(self, ready), amount)

    def stop(self) -> None:
        """The exchange is over; the connection may serve another already when a lease comes."""
        self._over = True

    def go_on(self, ready: Callable[[], None]) -> None:
        """There is more of a lease."""
        if self._over:
            return
        try:
            ready()
        except Refusal as refusal:
            self._caller.interrupt(refusal)

    def end(self, refusal: Refusal) -> None:
        """There will be no more."""
        if not self._over:
            self._caller.interrupt(refusal)


@final
class _Held:
    """Bytes that wait for a lease."""

    __slots__ = ("_meter", "_ready")

    def __init__(self, meter: LeasedMeter, ready: Callable[[], None]) -> None:
        self._meter: Final = meter
        self._ready: Final = ready

    def ready(self) -> None:
        """Try again."""
        self._meter.go_on(self._ready)

    def refuse(self, refusal: Refusal) -> None:
        """They will not pass."""
        self._meter.end(refusal)
