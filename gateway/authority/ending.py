"""Ends access: stores the revocation, tells the gateways, records it, in this order; knows nothing of who may ask for it."""

from collections import Counter
from collections.abc import Sequence
from typing import Final, final

from gateway.authority.feed import Feed
from gateway.authority.recording import Recorder
from gateway.clock import Clock
from gateway.model import AGENT, FOREVER, TENANT, Restoration, Revocation
from gateway.stores.store import Ending, Entry, Stop, Store, TaskRow, TasksOpenError

_SWEEP: Final = "doorward"
"""Who ends what is over by itself, for the record."""


@final
class Endings:
    """Whatever ends access comes through here. What the store has taken is in force, whatever fails after it."""

    def __init__(self, *, store: Store, feed: Feed, recorder: Recorder, clock: Clock) -> None:
        """All parts are started already."""
        self._store = store
        self._feed = feed
        self.recorder: Final = recorder
        self._clock = clock
        self.tasks: Final[Counter[tuple[str, str]]] = Counter()
        """How many tasks have ended here, by state and cause."""
        self.revoked: Final[Counter[tuple[str, str]]] = Counter()
        """How many revocations were given here, by kind and cause."""

    @property
    def epoch(self) -> str:
        """The epoch of the store when it was read last; no token of another one gives access."""
        return self._feed.epoch

    async def end(self, task: str, state: str, cause: str, *, by: str) -> Ending:
        """End a task with everything issued for it, and every task below it. `by` names who asked, for the record.

        Raises `TaskUnknownError` and `StoreUnavailableError`.
        """
        epoch = self._feed.epoch
        ending = await self._store.end_task(task, state, cause, self._clock.now())
        await self._tell([ending], by, epoch)
        return ending

    async def revoke_token(self, token: str, task: TaskRow, cause: str, *, by: str) -> None:
        """End one token of a task that goes on. Raises `StoreUnavailableError`."""
        now, epoch = self._clock.now(), self._feed.epoch
        revocation = await self._store.revoke_token(token, cause, now)
        if revocation is None:
            return
        try:
            await self._feed.publish(revocation, epoch)
        finally:
            if revocation.until > now:  # it could be the very token that keeps open what an older one has opened
                self._feed.renewed(task.id, 0.0)
            if revocation.time == now:
                self._record(revocation, task, by)

    async def stop(self, kind: str, name: str, tenant: str, cause: str, *, by: str, until: float = FOREVER) -> Revocation:
        """Revoke one of `STOPS` until it is restored, or until `until` is over.

        When this returns, an agent or a tenant gets nothing more and its open tasks have ended. Raises
        `StoreUnavailableError`; what was stored before that is in force, and the sweep ends the tasks that are left.
        """
        now, epoch = self._clock.now(), self._feed.epoch
        revocation = await self._store.stop(kind, name, tenant, cause, until, now)
        try:
            await self._feed.publish(revocation, epoch)
            self._feed.stops.note(Stop(tenant, revocation))
        finally:
            if revocation.time == now:
                self.revoked[revocation.kind, revocation.cause] += 1
                facts = {"cause": revocation.cause, "until": self._clock.stamp(revocation.until)}
                self._record_stop("revoked", revocation, tenant, by, **facts)
        await self._end_tasks_of(revocation, by)
        return revocation

    async def restore(self, kind: str, name: str, tenant: str, *, by: str) -> Restoration | None:
        """Lift a stop of this tenant; None if there is none. What had been issued under it stays ended.

        Raises `StoreUnavailableError`.
        """
        while True:
            epoch = self._feed.epoch
            try:
                restoration = await self._store.restore(kind, name, tenant, self._clock.now())
            except TasksOpenError as error:
                await self._end_tasks_of(error.revocation, by)
                continue
            if restoration is not None:
                self._feed.stops.forget(kind, name, tenant)
                try:
                    await self._feed.publish(restoration, epoch)
                finally:
                    self._record_stop("restored", restoration, tenant, by)
            return restoration

    async def expire(self) -> None:
        """End what is over or silent, lift stops whose time is over, and forget what is spent.

        What is of another tenant of the same store is left to its own authority, in whose log it belongs.
        Raises `StoreUnavailableError`.
        """
        try:
            await self._finish_stops()
            more = True
            while more:
                epoch, date = self._feed.epoch, self._clock.date()
                purged = await self._store.purge(date, self._feed.tenants)
                await self._tell(purged.endings, _SWEEP, epoch)
                more = purged.more
            await self._feed.look_back()
        finally:
            self.recorder.catch_up()

    async def _finish_stops(self) -> None:
        seen, epoch, changes, stopped = 0, self._feed.epoch, self._feed.stops.changes, list[Stop]()
        while page := await self._store.stops(seen):
            stopped += page
            for stop in page:
                seen = stop.revocation.seq
                if stop.tenant not in self._feed.tenants:
                    continue
                await self._end_tasks_of(stop.revocation, _SWEEP)
                if stop.revocation.until <= self._clock.date():
                    await self.restore(stop.revocation.kind, stop.revocation.id, stop.tenant, by=_SWEEP)
        if await self._feed.holds(epoch):
            self._feed.stops.renew(stopped, changes)

    async def _end_tasks_of(self, revocation: Revocation, by: str) -> None:
        if revocation.kind in (AGENT, TENANT):
            epoch = self._feed.epoch
            whose = revocation.kind, revocation.id, revocation.tenant
            while page := await self._store.end_tasks_of(*whose, revocation.cause, self._clock.now()):
                await self._tell(page, by, epoch)
                epoch = self._feed.epoch

    async def _tell(self, endings: Sequence[Ending], by: str, epoch: str) -> None:
        """Tell the gateways and record. What they cannot be told now is recorded all the same, and not acknowledged."""
        ended = [each for ending in endings for each in (ending, *ending.descendants)]
        try:
            for each in ended:
                if each.revocation is not None:
                    await self._feed.publish(each.revocation, epoch)
        finally:
            for each in ended:
                if each.first:
                    self._record_task(each.task, by)
                    if each.revocation is not None:
                        self._record(each.revocation, each.task, by)

    def _record_task(self, task: TaskRow, by: str) -> None:
        self.tasks[task.state, task.cause or ""] += 1
        facts = {"tenant": task.tenant, "agent": task.agent, "subject": task.subject, "task": task.id}
        self.recorder.after_ending("task", {"event": task.state, **facts, "cause": task.cause, "by": by})

    def _record(self, revocation: Revocation, task: TaskRow, by: str) -> None:
        self.revoked[revocation.kind, revocation.cause] += 1
        self.recorder.after_ending(
            "revocation",
            {
                "event": "revoked",
                "tenant": task.tenant,
                "agent": task.agent,
                "task": task.id,
                "kind": revocation.kind,
                "id": revocation.id,
                "cause": revocation.cause,
                "until": self._clock.stamp(revocation.until),
                "feed_seq": revocation.seq,
                "by": by,
            },
        )

    def _record_stop(self, event: str, entry: Entry, tenant: str, by: str, **facts: str) -> None:
        members = {"event": event, "tenant": tenant, "kind": entry.kind, "id": entry.id, **facts}
        self.recorder.after_ending("revocation", {**members, "feed_seq": entry.seq, "by": by})
