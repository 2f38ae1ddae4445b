"""Remembers what stands stopped, and puts it back into a store that was emptied or set back; decides nothing itself."""

import asyncio
from collections.abc import Iterable
from typing import Final, NamedTuple, final

from gateway import telemetry
from gateway.clock import Clock
from gateway.model import STOPS, Restoration
from gateway.stores.store import Entry, Stop, Store, StoreUnavailableError

MOST: Final = 10_000
"""Of more stops the oldest are left to the store alone."""
PATIENCE: Final = 5.0
"""Seconds for which somebody waits for what another one puts back."""

_log = telemetry.logger("feed")


class _UnderWay(NamedTuple):
    """Stops are being put back into this epoch; `began` comes to hold how many changes there were before, None if it failed."""

    epoch: str
    began: asyncio.Future[int | None]


@final
class KeptStops:
    """The stops that an authority has given or found. Tokens of a lost epoch die by themselves; a stop has to outlive it."""

    def __init__(self, store: Store, clock: Clock) -> None:
        """Knows none yet."""
        self._store: Final = store
        self._clock: Final = clock
        self._stops: dict[tuple[str, str, str], Stop] = {}
        self._under_way: _UnderWay | None = None
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

    async def put_back(self, epoch: str) -> int:
        """Stop again what this new epoch does not know of; returns how many `changes` there were when that began.

        One does it for all: who comes meanwhile waits for the outcome, and who is left by one that was cancelled does it.
        Raises `StoreUnavailableError`; then it has to be done again.
        """
        try:
            async with asyncio.timeout(PATIENCE):
                while (other := self._under_way) is not None:
                    await asyncio.wait((other.began,))
                    if other.epoch == epoch and not other.began.cancelled():
                        return _done(other.began.result())
        except TimeoutError:
            raise StoreUnavailableError("the stops that a new epoch does not know of are still being put back") from None
        return await self._put_back_for_all(_UnderWay(epoch, asyncio.get_running_loop().create_future()))

    async def _put_back_for_all(self, this: _UnderWay) -> int:
        self._under_way = this
        began = self.changes
        try:
            await self._put_back()
            this.began.set_result(began)
        except StoreUnavailableError:
            this.began.set_result(None)
            raise
        finally:
            self._under_way = None
            this.began.cancel()  # which does nothing to what has an outcome
        return began

    async def _put_back(self) -> None:
        now, missing = self._clock.now(), 0
        for tenant, stop in tuple(self._stops.values()):
            if stop.until > self._clock.date():
                put = await self._store.stop(stop.kind, stop.id, tenant, stop.cause, stop.until, now)
                missing += put.time == now
        if missing:
            _log.error("stops_put_back", count=missing)


def _done(began: int | None) -> int:
    if began is None:
        raise StoreUnavailableError("the stops that a new epoch does not know of could not be put back")
    return began
