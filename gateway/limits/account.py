"""What one gateway has of one limit, and who waits for more; knows neither the lender nor any clock."""

import math
from typing import Final, Protocol, final

from gateway.errors import ProxyError, Refusal
from gateway.limits.wishes import BYTES, CONCURRENT, RATE
from gateway.model import Limit

FIRST_CHUNK: Final = 8
"""How many requests a gateway asks for first; twice as many each time if it comes again soon."""
MOST_CHUNK: Final = 1024
"""The most requests that it asks for ahead of need."""
FIRST_BYTES: Final = 256 * 1024
"""The same for bytes."""
MOST_BYTES: Final = 16 * 1024 * 1024
"""The same for bytes."""
SOON: Final = 0.5
"""Seconds within which a lease that is used up makes the next one larger."""
HOPELESS: Final = 3600
"""Seconds of Retry-After where nothing comes back however long the caller waits: the task needs a successor."""


class Waiter(Protocol):
    """Somebody who cannot go on without more of a limit."""

    def ready(self) -> None:
        """There is some: try again."""
        ...

    def refuse(self, refusal: Refusal) -> None:
        """There will be none."""
        ...


@final
class Account:
    """The lease of one limit. `left` is what may be spent now; everything else is for when that is not enough."""

    __slots__ = ("asked", "chunk", "drawn", "dry_until", "ends", "held", "left", "limit", "prospects", "quiet_until",
                 "refilled", "seen", "still", "waiting")  # fmt: skip

    def __init__(self, limit: Limit) -> None:
        """An account without a lease."""
        self.limit = limit
        self.left = 0
        """What may be spent; for `concurrent` the places that are free. Below 0 while more is in use than is held."""
        self.held = 0
        """Of `concurrent`: the places that are lent, whether free or not."""
        self.drawn = ""
        """From what the lender has drawn what is left."""
        self.ends = math.inf
        """When what is left is worth nothing any more, in boot time."""
        self.asked = 0
        """The number of the wish that has not been answered; 0 if there is none."""
        self.dry_until = 0.0
        """Until then, in boot time, nobody need ask: there is no more."""
        self.prospects = 0.0
        """Seconds after which a caller may come back; 0 if nobody knows."""
        self.quiet_until = 0.0
        """Until then, in boot time, nothing is asked for ahead of need."""
        self.refilled = -math.inf
        self.chunk = FIRST_BYTES if limit.kind == BYTES else FIRST_CHUNK
        self.seen = 0
        """What was left when it was looked at last, and `still` for how many looks in a row."""
        self.still = 0
        self.waiting: dict[Waiter, int] = {}
        """Who waits, and for how much, in the order in which they came."""

    def __repr__(self) -> str:
        state = f"{self.left} of {self.held}" if self.limit.kind == CONCURRENT else f"{self.left}"
        return f"Account({self.limit.kind} {self.limit.label}: {state})"

    @property
    def in_use(self) -> int:
        """How many places are taken; 0 for what is spent for good."""
        return self.held - self.left if self.limit.kind == CONCURRENT else 0

    @property
    def low(self) -> bool:
        """Whether it is time to ask for more ahead of need. Places are given back, so they are asked for when needed."""
        return self.limit.kind != CONCURRENT and self.left * 2 <= self.chunk

    @property
    def need(self) -> int:
        """How much those who wait are short of."""
        if not self.waiting:
            return 0
        return max(1, sum(self.waiting.values()) - max(self.left, 0))

    def has(self, amount: int, boot: float) -> bool:
        """Whether so much may be spent now."""
        if boot >= self.ends:
            self.left, self.ends = 0, math.inf
        return self.left >= amount

    def wanted(self, need: int, boot: float) -> int:
        """How much to ask for: what is needed, and ahead of need the more, the sooner it was used up."""
        if self.limit.kind == CONCURRENT:
            return min(self.in_use + need, self.limit.most)
        largest = MOST_BYTES if self.limit.kind == BYTES else MOST_CHUNK
        if boot - self.refilled < SOON:
            self.chunk = min(self.chunk * 2, largest)
        return min(max(self.chunk, need), self.limit.most)

    def lend(self, amount: int, drawn: str, ends: float, boot: float) -> None:
        """Take what the lender has given."""
        if self.limit.kind == CONCURRENT:
            self.left += amount - self.held
            self.held = amount
        elif drawn == self.drawn and boot < self.ends:
            self.left += amount
            self.ends = min(ends, self.ends)
        else:  # another window: what was left of the one before is worth nothing
            self.left, self.ends = amount, ends
        self.drawn = drawn
        self.refilled = boot

    def look(self) -> int:
        """Note that time has gone by; returns for how many looks in a row nothing was spent and nobody waits."""
        if self.left == self.seen and not self.waiting and not self.in_use:
            self.still += 1
        else:
            self.seen, self.still = self.left, 0
        return self.still

    def refusal(self) -> Refusal:
        """What those are told who can have no more."""
        limit = self.limit
        after = max(1, math.ceil(self.prospects))
        if limit.kind == CONCURRENT:
            told = f"{limit.most} requests {limit.label} are under way, and no more at once."
        elif limit.kind == RATE:
            told = f"No more than {limit.most} requests {limit.label} are let through in {limit.window:g} seconds."
        else:
            told = f"All {limit.most} {limit.kind} {limit.label} are used."
            after = HOPELESS if not limit.window else after
        error: ProxyError | None = "connection_limit_reached" if limit.shared else None
        return Refusal("limit_exceeded", told, retry_after=after, error=error, cause=f"{limit.kind} {limit.label}")
