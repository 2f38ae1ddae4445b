"""What agents, starters and operators do with tasks and tokens that exist; knows no HTTP and issues nothing."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any, Final, final

from gateway.authority.ending import Endings
from gateway.authority.exchange import POLICY_DRIFT
from gateway.authority.grounds import Parent
from gateway.authority.refused import UNAUTHORIZED_CLIENT, RefusedError
from gateway.authority.tokens import OwnToken, TokenMaker
from gateway.clock import Clock
from gateway.stores.store import (
    COMPLETED,
    FAILED,
    REVOKED,
    BarredError,
    Store,
    TaskEndedError,
    TaskFilter,
    TaskRow,
    TaskUnknownError,
)

OPERATOR: Final = "operator"
RETURNED: Final = "returned"

_SHOWN: Final = ("iss", "aud", "sub", "act", "client_id", "jti", "iat", "nbf", "exp", "txn", "tenant", "scope",
                 "authorization_details", "policy", "may_act", "cnf")  # fmt: skip


@final
class Tasks:
    """Tasks by their ids, and tokens by themselves. What is not the caller's looks like what does not exist."""

    def __init__(self, *, store: Store, maker: TokenMaker, endings: Endings, tenant: str, silence: float, clock: Clock) -> None:
        """`tenant` is the one whose tasks are seen here, `silence` how many seconds may pass between two heartbeats."""
        self._store = store
        self._maker = maker
        self._endings = endings
        self._tenant = tenant
        self.silence: Final = silence
        """Seconds within which a heartbeat has to follow another."""
        self._clock = clock

    async def live_token(self, token: str) -> OwnToken | None:
        """A task token that gives access now, or None."""
        parent = await self.parent(token)
        return None if parent is None else parent.token

    async def parent(self, token: str) -> Parent | None:
        """A task token that gives access now with its task, or None: what a child task is opened and renewed with."""
        own = self._maker.read_back(token)
        if own is None or own.claims.get("epoch") != self._endings.epoch:
            return None
        task = await self._store.task_of(own.id, self._clock.now())
        return None if task is None or task.tenant != self._tenant else Parent(own, task)

    def looks_own(self, token: str) -> bool:
        """Whether a token has the form of a task token rather than of an identity."""
        return self._maker.looks_own(token)

    async def complete(self, name: str, agent: str) -> TaskRow:
        """End a task of this agent, or one it started, as completed; once more has no effect.

        Raises `TaskUnknownError`, and `TaskEndedError` if it has ended in another way.
        """
        return await self._end(name, agent, COMPLETED)

    async def fail(self, name: str, agent: str) -> TaskRow:
        """End a task of this agent, or one it started, as failed. Raises as `complete` does."""
        return await self._end(name, agent, FAILED)

    async def heartbeat(self, name: str, agent: str) -> TaskRow:
        """This agent, or who started the task, says that the work goes on. From the first time on silence ends the task.

        Raises `TaskUnknownError`, `TaskEndedError`, and `RefusedError` when the agent was stopped.
        """
        task = await self.show(name)
        if agent not in (task.agent, task.starter):
            raise TaskUnknownError(name)
        now = self._clock.now()
        try:
            return await self._store.heartbeat(name, now + self.silence, now)
        except BarredError as error:
            raise RefusedError(UNAUTHORIZED_CLIENT, f"The {error.revocation.kind} was stopped.") from None

    async def revoke(self, name: str, operator: str) -> TaskRow:
        """End any task of the tenant, by an operator; one that has ended stays as it is. Raises `TaskUnknownError`."""
        await self.show(name)
        return (await self._endings.end(name, REVOKED, OPERATOR, by=f"user:{operator}")).task

    async def end_as_drifted(self, name: str, policy: str) -> None:
        """End a task that the policy of this digest would not give to its agent; one that is gone is none."""
        with suppress(TaskUnknownError):
            await self.show(name)
            await self._endings.end(name, REVOKED, POLICY_DRIFT, by=f"policy:{policy}")

    def is_of(self, token: str) -> bool:
        """Whether a token of ours, alive or not, is of this tenant."""
        own = self._maker.read_back(token)
        return own is not None and own.claims.get("tenant") == self._tenant

    async def row(self, name: str) -> TaskRow | None:
        """One task of whichever tenant, for operators of the installation; None if it is unknown."""
        return await self._store.task(name)

    async def show(self, name: str) -> TaskRow:
        """One task. Raises `TaskUnknownError`."""
        task = await self._store.task(name)
        if task is None or task.tenant != self._tenant:
            raise TaskUnknownError(name)
        return task

    async def page(self, which: TaskFilter) -> Sequence[TaskRow]:
        """A page of the tenant's tasks, newest first."""
        return await self._store.tasks(replace(which, tenant=self._tenant))

    async def introspect(self, token: str, agent: str) -> Mapping[str, Any] | None:
        """The claims of a live token, for its agent, its subject or its task's starter; None for everybody else (RFC 7662)."""
        found = await self.parent(token)
        if found is None or agent not in (found.token.agent, found.token.subject, found.task.starter):
            return None
        own = found.token
        return {name: own.claims[name] for name in _SHOWN if name in own.claims}

    async def revoke_token(self, token: str, agent: str) -> None:
        """Revoke one token for its agent or its task's starter; what is no token of ours is no error (RFC 7009).

        One that has expired is revoked as long as the store remembers it: by the clock of a gateway it may be good. Raises
        `RefusedError` if the token was issued to somebody else.
        """
        own = self._maker.read_back(token)
        task = None if own is None else await self._store.task(own.task)
        if own is None or task is None or task.tenant != self._tenant:
            return
        if agent not in (own.agent, task.starter):
            raise RefusedError(UNAUTHORIZED_CLIENT, "The token was issued to another agent; only that agent can give it back.")
        await self._endings.revoke_token(own.id, task, RETURNED, by=agent)

    async def _end(self, name: str, agent: str, state: str) -> TaskRow:
        task = await self.show(name)
        if agent not in (task.agent, task.starter):
            raise TaskUnknownError(name)
        # Also of one that has ended: then it was perhaps another authority, of which the gateways here have to hear first.
        task = (await self._endings.end(name, state, state, by=agent)).task
        if task.state != state:
            raise TaskEndedError(task.state)
        return task
