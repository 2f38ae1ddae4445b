"""A clock that a test turns by hand; tasks and identifiers stay real."""

from gateway.clock import Clock


class TurnedClock(Clock):
    """Runs with the machine's clock, ahead of it by as much as the test says."""

    def __init__(self) -> None:
        super().__init__()
        self.ahead = 0.0

    def now(self) -> float:
        return super().now() + self.ahead

    def boot(self) -> float:
        return super().boot() + self.ahead


class SetClock(TurnedClock):
    """One whose date a test sets; the time since boot goes on as it does, so heartbeats stay fresh."""

    def boot(self) -> float:
        return super().boot() - self.ahead
