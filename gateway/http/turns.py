"""Lets the process accept that has the fewest connections, of several that share a listening socket; accepts nothing itself."""

import mmap
import os
from typing import Final, NamedTuple, final

SPREAD: Final = 8
"""A process accepts while it has no more than one in so many connections more than the one that has fewest."""
_WORD: Final = 4
_GONE: Final = 2**32 - 1


class SharedCounts(NamedTuple):
    """What one of several processes has to know to take turns with the others. `number` counts from 0.

    Without a `descriptor` there are no others.
    """

    descriptor: int | None = None
    number: int = 0
    processes: int = 1


def shared_counts(processes: int) -> int:
    """The descriptor of a new memory for so many processes, none of which accepts yet; whoever inherits it can map it."""
    descriptor = os.memfd_create("doorward-connections", os.MFD_CLOEXEC)
    os.pwrite(descriptor, b"\xff" * (processes * _WORD), 0)
    return descriptor


def leave_out(descriptor: int, number: int) -> None:
    """This process has ended, however it did: nobody waits for it to accept."""
    os.pwrite(descriptor, b"\xff" * _WORD, number * _WORD)


@final
class Turns:
    """How many connections each process has, as each says itself."""

    def __init__(self, shared: SharedCounts = SharedCounts(), most: int = _GONE) -> None:  # noqa: B008 it cannot be changed
        """Says nothing yet. A process has room for `most` connections."""
        self._most: Final = most
        self._left = False
        descriptor, self._own, processes = shared
        self._memory: Final = mmap.mmap(-1 if descriptor is None else descriptor, processes * _WORD)
        self._counts: Final = memoryview(self._memory).cast("I")
        self._others: Final = tuple(number for number in range(processes) if number != self._own)

    def tell(self, connections: int) -> None:
        """Say how many connections this process has now: each time one comes or goes."""
        if not self._left:
            self._counts[self._own] = connections

    def least(self) -> int:
        """How many connections that one of the others has that has fewest."""
        return min([self._counts[other] for other in self._others], default=_GONE)

    def ours(self) -> bool:
        """Whether this process should accept before the others do."""
        own, least = self._counts[self._own], self.least()
        if own >= self._most:
            return least >= self._most  # then it is turned away here as well as there
        return own <= least + least // SPREAD

    def leave(self) -> None:
        """Accept no more."""
        self.tell(_GONE)
        self._left = True

    def close(self) -> None:
        """Let go of the memory."""
        self._left = True
        self._counts.release()
        self._memory.close()
