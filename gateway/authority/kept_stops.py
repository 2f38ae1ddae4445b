"""Remembers what stands stopped, and puts it back into a store that was emptied or set back; decides nothing itself."""

from collections.abc import Iterable
from typing import Final, final

from gateway import telemetry
from gateway.clock import Clock
from gateway.model import STOPS, Restoration
from gateway.stores.store import Entry, Stop, Store

MOST: Final = 10_000
"""Of more stops the oldest are left to the store alone."""

_log = telemetry.logger("feed")


@final
class KeptStops:
    """The stops that an authority has given or found. Tokens of a lost epoch die by themselves; a stop has to outlive it."""

    def __init__(self, store: Store, clock: Clock) -> None:
        """Knows none yet."""
        self._store: Final = store
        self._clock: Final = clock
        self._stops: dict[tuple[str, str, str], Stop] = {}
        self.changes = 0
        """How often something was noted or forgotten."""

    def note(self, stop: Stop) -> None:
        """The store has taken this stop, and the gateways know of it."""
        self.changes += 1
        self._stops[stop.revocation.kind, stop.revocation.id, stop.tenant] = stop
        if len(self._stops) > MOST:
            del self._stops[next(iter(self._stops))]

    def heard(self, entry: Entry) -> None:
        """What the feed tells, in its order, whichever authority it comes from."""
        if isinstance(entry, Restoration):
            self.forget(entry.kind, entry.id, entry.tenant)
        elif entry.kind in STOPS:
            self.note(Stop(entry.tenant, entry))

    def forget(self, kind: str, name: str, tenant: str) -> None:
        """It was restored, in this tenant."""
        self.changes += 1
        self._stops.pop((kind, name, tenant), None)

    def renew(self, found: Iterable[Stop], changes: int) -> None:
        """Know these: all stops of a store that was not emptied while they were read.

        `changes` is how many there had been before: after a further one what was read may be old, and nothing is taken over.
        """
        if changes == self.changes:
            self._stops = {}
            for stop in found:
                self.note(stop)

    async def put_back(self) -> None:
        """Stop again what a new epoch does not know of. Raises `StoreUnavailableError`; then it has to be done again."""
        now, missing = self._clock.now(), 0
        for tenant, stop in tuple(self._stops.values()):
            if stop.until > now:
                put = await self._store.stop(stop.kind, stop.id, tenant, stop.cause, stop.until, now)
                missing += put.time == now
        if missing:
            _log.error("stops_put_back", count=missing)
