"""Ends the exchanges that are open when their access ends; knows what they rest on and nothing of what they carry.

Nothing registers an exchange, for that would cost every request. What has ended is looked for among the connections instead,
which is rare and takes about a millisecond for 10,000 of them. Meanwhile nothing new gets in: whoever asks whether a token is
still good reads what has ended, not what was found here.
"""

import asyncio
from collections import deque
from collections.abc import Collection
from typing import Final, final

from gateway.clock import Clock
from gateway.errors import Refusal
from gateway.http.downstream import Downstream
from gateway.identity.standing import Standing
from gateway.model import Principal

LOOK: Final = 0.25
"""Seconds between two looks for what no event tells of: tokens that have expired, and heartbeats that have not come."""
REST: Final = 4.0
"""A look is followed by this many times its duration without one, however many revocations come."""
BUDGET: Final = 0.005
"""Seconds for which exchanges are ended in one turn of the event loop; then others come to their turn before it goes on."""


@final
class Cuts:
    """The watch over the open exchanges of one process that rest on tokens of one issuer."""

    def __init__(self, standing: Standing, connections: Collection[Downstream], clock: Clock) -> None:
        """From now on it hears of what ends; `connections` are those of the moment, with or without an exchange."""
        self._standing: Final = standing
        self._connections: Final = connections
        self._clock: Final = clock
        self._fresh: set[str] = set()
        """Marks that have ended since the last look."""
        self._found: Final[deque[tuple[Downstream, Principal, Refusal]]] = deque()
        self._awaited = False
        """Whether a look is due already, or the last one has found more than could be ended yet."""
        self._rested = 0.0
        standing.on_end = self._ended

    async def run(self) -> None:
        """Look regularly, until cancelled."""
        while True:
            await self._clock.sleep(LOOK)
            if not self._awaited:
                self._look()

    def _ended(self, mark: str) -> None:
        """Look at the end of this turn, however many marks come in it, or once the rest after the last look is over."""
        if mark:
            self._fresh.add(mark)
        if not self._awaited:
            self._awaited = True
            wait = self._rested - self._clock.steady()
            loop = asyncio.get_running_loop()
            if wait > 0.0:
                loop.call_later(wait, self._look)
            else:
                loop.call_soon(self._look)

    def _look(self) -> None:
        began = self._clock.steady()
        standing, fresh = self._standing, self._fresh
        self._fresh = set()
        now, epoch, stale = self._clock.now(), standing.epoch, standing.stale
        for connection in self._connections:
            principal = connection.bearer
            # Another issuer may have a task of the same name, and its tokens have epochs and heartbeats of their own.
            if (
                principal is not None
                and principal.issuer == standing.issuer
                and (now >= principal.expires or stale or principal.epoch != epoch or not fresh.isdisjoint(principal.marks))
            ):
                refusal = self._judge(principal, fresh, now, stale=stale)
                if refusal is not None:
                    self._found.append((connection, principal, refusal))
        ended = self._clock.steady()
        self._rested = ended + REST * (ended - began)
        self._cut()

    def _judge(self, principal: Principal, fresh: set[str], now: float, *, stale: bool) -> Refusal | None:
        """Why an exchange of this principal may not go on; None if a renewal lets it."""
        standing = self._standing
        if not fresh.isdisjoint(principal.marks):
            return standing.end_of(principal.marks)
        if principal.epoch != standing.epoch:
            return Refusal("token_invalid", "The records of its authority began anew since this token was issued.")
        if stale:
            return Refusal("revocations_stale", retry_after=1)
        if now >= standing.renewals.until(principal.task):
            return Refusal("token_expired", "The token has expired, and no renewal of its task was announced.")
        return None

    def _cut(self) -> None:
        """End what was found, then look again if more has ended meanwhile."""
        self._awaited = True
        until = self._clock.steady() + BUDGET
        while self._found:
            connection, principal, refusal = self._found.popleft()
            if connection.bearer is principal:
                connection.interrupt(refusal)
            if self._clock.steady() >= until:
                asyncio.get_running_loop().call_soon(self._cut)
                return
        self._awaited = False
        if self._fresh:
            self._ended("")
