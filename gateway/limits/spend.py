"""The sixth step: take what the request may use, and give back what it used only for its duration; knows no policy."""

from types import TracebackType
from typing import Final, final

from gateway.errors import Refusal
from gateway.model import Permit, Upstream


@final
class Counters:
    """What is in use right now, in this process."""

    def __init__(self) -> None:
        self.in_flight: Final[dict[str, int]] = {}
        """Requests under way, by the name of their upstream."""


@final
class Spent:
    """What one request has taken; leaving the block gives back what is given back."""

    __slots__ = ("_counters", "_name")

    def __init__(self, counters: Counters, name: str) -> None:
        self._counters: Final = counters
        self._name: Final = name

    def __enter__(self) -> None:
        """The request is under way."""

    def __exit__(self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None) -> None:
        """The request has ended, however it ended."""
        in_flight = self._counters.in_flight
        in_flight[self._name] -= 1
        if not in_flight[self._name]:
            del in_flight[self._name]


def spend(_permit: Permit, upstream: Upstream, counters: Counters) -> Spent:
    """Take one of the upstream's places for concurrent requests. Raises `Refusal` with `limit_exceeded`."""
    name = upstream.name
    count = counters.in_flight.get(name, 0)
    if count >= upstream.concurrent:
        raise Refusal(
            "limit_exceeded",
            f"{upstream.concurrent} requests to {name} are under way, and no more at once.",
            retry_after=1,
            error="connection_limit_reached",
        )
    counters.in_flight[name] = count + 1
    return Spent(counters, name)
