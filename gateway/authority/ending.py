"""Ends access: stores the revocation, tells the gateways, records it, in this order; knows nothing of who may ask for it."""

from typing import final

from gateway.authority.feed import Feed
from gateway.authority.recording import Recorder
from gateway.clock import Clock
from gateway.model import Revocation
from gateway.stores.store import EXPIRED, PAGE, Ending, Store, TaskRow


@final
class Endings:
    """Whatever ends a task or a token comes through here. What the store has taken is in force, whatever fails after it."""

    def __init__(self, *, store: Store, feed: Feed, recorder: Recorder, clock: Clock) -> None:
        """All parts are started already."""
        self._store = store
        self._feed = feed
        self._recorder = recorder
        self._clock = clock

    async def end(self, task: str, state: str, cause: str, *, by: str) -> Ending:
        """End a task with everything issued for it. `by` names who asked, for the record.

        Raises `TaskUnknownError` and `StoreUnavailableError`.
        """
        ending = await self._store.end_task(task, state, cause, self._clock.now())
        if ending.revocation is not None:
            self._feed.publish(ending.revocation)
        if ending.first:
            self._record_task(ending.task, by)
            if ending.revocation is not None:
                self._record(ending.revocation, ending.task, by)
        return ending

    async def revoke_token(self, token: str, task: TaskRow, cause: str, *, by: str) -> None:
        """End one token of a task that goes on. Raises `StoreUnavailableError`."""
        now = self._clock.now()
        revocation = await self._store.revoke_token(token, cause, now)
        if revocation is None:
            return
        self._feed.publish(revocation)
        if revocation.time == now:
            self._record(revocation, task, by)

    async def expire(self) -> None:
        """Mark tasks whose longest life is over and forget what is spent. Raises `StoreUnavailableError`."""
        while page := await self._store.purge(self._clock.now()):
            for task in page:
                self._record_task(task, EXPIRED)
            if len(page) < PAGE:
                break
        self._recorder.catch_up()

    def _record_task(self, task: TaskRow, by: str) -> None:
        facts = {"tenant": task.tenant, "agent": task.agent, "subject": task.subject, "task": task.id}
        self._recorder.after_ending("task", {"event": task.state, **facts, "cause": task.cause, "by": by})

    def _record(self, revocation: Revocation, task: TaskRow, by: str) -> None:
        self._recorder.after_ending(
            "revocation",
            {
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
