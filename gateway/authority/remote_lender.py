"""Asks an authority in another process for leases; knows no limit, and hears the answers over the line of the feed."""

import asyncio
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from typing import Final, final

from gateway.authority.place import Place
from gateway.clock import Clock
from gateway.fetch import Fetch, FetchError
from gateway.limits.wishes import Event, as_wire

MOST_UNSENT: Final = 16_384
"""Events that wait to be sent; more are dropped, and their wishes go unanswered."""
AT_ONCE: Final = 64
"""Events in one request: those with keys of a usual length fit into what the authority reads."""
ANSWERED_WITHIN: Final = 2.0
"""Seconds for one request; then its events are dropped, and the leases ask again."""


@final
class RemoteLender:
    """Sends what a gateway says, in its order, one request after the other."""

    def __init__(self, place: Place, name: str, fetch: Fetch, clock: Clock) -> None:
        """`name` is this gateway's own, the same as on its line to the feed."""
        self._place: Final = place
        self._name: Final = name
        self._fetch: Final = fetch
        self._unsent: Final[deque[Event]] = deque(maxlen=MOST_UNSENT)
        self._stirred: Final = asyncio.Event()
        self._running: Final = clock.spawn(self._send(), "events for the authority")

    def take(self, events: Sequence[Event]) -> None:
        """See `Lender.take`."""
        self._unsent.extend(events)
        self._stirred.set()

    async def stop(self) -> None:
        """Send nothing more."""
        self._running.cancel()
        with suppress(asyncio.CancelledError):
            await self._running

    async def _send(self) -> None:
        while True:
            await self._stirred.wait()
            self._stirred.clear()
            while self._unsent:
                events = [as_wire(self._unsent.popleft()) for _ in range(min(AT_ONCE, len(self._unsent)))]
                with suppress(FetchError):  # the line of the feed tells, and what was asked is asked again
                    await self._fetch.request(
                        "POST",
                        f"{self._place.url}/gateway/events",
                        json={"gateway": self._name, "events": events},
                        unix=self._place.unix,
                        tls=self._place.context,
                        timeout=ANSWERED_WITHIN,
                    )
