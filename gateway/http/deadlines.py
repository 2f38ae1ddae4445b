"""Deadlines for thousands of connections with one timer: one pass a second over whole ticks; knows no reasons."""

from typing import Final, Protocol

from gateway.clock import Clock
from gateway.http.sender import Turn

TICK: Final = 1.0
"""Seconds between two passes: how late a deadline may be noticed."""


class Timed(Protocol):
    """Something with a deadline, counted in ticks of the sweep."""

    deadline: int

    def expire(self) -> None:
        """The deadline has gone by."""


class Unread(Protocol):
    """Something that is not read from for now, so that nothing tells of its end."""

    def look(self) -> None:
        """See whether it has ended."""


def ticks(seconds: float) -> int:
    """Whole ticks for a time-out, never fewer than it asks for."""
    whole = int(seconds / TICK)
    return whole + 1 if whole * TICK >= seconds else whole + 2


class Sweep:
    """Finds the deadlines that have gone by. Stamping one is an addition, without asking for the time."""

    def __init__(self, turn: Turn | None = None) -> None:
        self.tick = 0
        self.watched: Final[set[Timed]] = set()
        self.unread: Final[set[Unread]] = set()
        self.turn: Final = turn or Turn()
        """The end of the present turn, at which the watched connections send what they have."""

    async def run(self, clock: Clock) -> None:
        """Pass over all connections once a tick, until cancelled."""
        while True:
            await clock.sleep(TICK)
            self.advance()

    def advance(self) -> None:
        """One tick. What expires or has ended may leave or enter the sets while it does."""
        self.tick += 1
        for each in [each for each in self.watched if each.deadline < self.tick]:
            each.expire()
        for unread in tuple(self.unread):
            unread.look()
