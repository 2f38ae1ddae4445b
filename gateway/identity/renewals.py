"""Of which tasks a newer token was announced, and until when that is good; bounded, and knows no token."""

from collections.abc import Iterator
from typing import Final, final

MOST_RENEWALS: Final = 100_000
"""Of how many tasks a renewal is known. Beyond it the oldest is forgotten: what its task has open ends with its token."""


@final
class Renewals:
    """The newest renewal of each task. What is forgotten here only ends an open exchange earlier, never later."""

    __slots__ = ("_until",)

    def __init__(self) -> None:
        """Start with none."""
        self._until: Final[dict[str, float]] = {}

    def note(self, task: str, until: float, now: float) -> None:
        """A token of the task is good until then, in Unix seconds; a time that is over takes back what was noted."""
        self._until.pop(task, None)
        if until <= now:
            return
        if len(self._until) >= MOST_RENEWALS:
            self.forget(now)
        if len(self._until) >= MOST_RENEWALS:
            del self._until[next(iter(self._until))]
        self._until[task] = until

    def until(self, task: str) -> float:
        """Until when the newest token of the task is good; 0 if no renewal is known."""
        return self._until.get(task, 0.0)

    def live(self, now: float) -> Iterator[tuple[str, float]]:
        """The tasks whose renewals are good now, oldest first."""
        return ((task, until) for task, until in tuple(self._until.items()) if until > now)

    def forget(self, now: float) -> None:
        """Let go of renewals that are over, from the oldest on, up to the first that is not."""
        while self._until:
            oldest = next(iter(self._until))
            if self._until[oldest] > now:
                return
            del self._until[oldest]

    def clear(self) -> None:
        """Forget all."""
        self._until.clear()
