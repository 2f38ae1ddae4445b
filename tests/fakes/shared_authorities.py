"""Authorities of one store, as far as they end and stop what is there, and a store that fails; knows no single fault."""

from collections.abc import Awaitable, Callable
from typing import Any, cast

from fakes.authority import Log, StillClock, first_token, task_row

from gateway.authority.ending import Endings
from gateway.authority.feed import Feed
from gateway.authority.recording import Recorder
from gateway.authority.stopping import Stops
from gateway.identity.standing import Standing
from gateway.stores.store import Store


class Faulty:
    """A store that something happens to after a transaction, and before whoever asked for it hears that it is done."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.faults: dict[str, Callable[[], Awaitable[None]]] = {}

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._store, name)
        if name not in self.faults:
            return method

        async def faulty(*arguments: Any, **named: Any) -> Any:
            done = await method(*arguments, **named)
            await self.faults.pop(name)()
            return done

        return faulty


class One:
    """One of two authorities of a store, as far as it ends what is there, with a gateway of its own that uses the feed."""

    def __init__(self, store: Store, clock: StillClock) -> None:
        self.clock = clock
        self.faulty = Faulty(store)
        self.store = cast("Store", self.faulty)
        self.feed = Feed(self.store, clock, issuer="i", jwks={}, tenants=frozenset(("acme",)))
        self.endings = Endings(store=self.store, feed=self.feed, recorder=Recorder(Log()), clock=clock)
        self.stops = Stops(store=self.store, endings=self.endings, tenant="acme", clock=clock)
        self.standing = Standing(
            clock, issuer="i", audience="doorward", tenants=frozenset(("acme",)), prefix="dwt_", max_staleness=10.0
        )

    async def open(self) -> None:
        await self.store.open()
        await self.feed.start()
        await self.feed.subscribe(self.standing)

    async def keep(self, *names: str) -> None:
        for name in names:
            task = task_row(name)
            await self.store.open_task(task, first_token(task, name))

    async def stopped(self) -> list[str]:
        return [stop.revocation.id for stop in await self.stops.page(0)]

    def accepts(self, task: str, epoch: str) -> bool:
        """Whether its gateway would, of a token that was issued in this epoch."""
        return not self.standing.stale and self.standing.epoch == epoch and f"task:{task}" not in self.standing.ended
