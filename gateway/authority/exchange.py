"""Gives task tokens to verified identities: opens a task, or renews one; knows no HTTP and verifies no identity itself.

The order is the same for both: ask policy, sign, store, record, and only then hand the token over. A token that could
not be stored or recorded is never seen by anybody.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final, final

from gateway.authority.ending import Endings
from gateway.authority.recording import Recorder
from gateway.authority.refused import INVALID_GRANT, INVALID_REQUEST, INVALID_SCOPE, RefusedError
from gateway.authority.tokens import TokenMaker, TokenTooLargeError
from gateway.clock import Clock
from gateway.errors import Refusal
from gateway.identity.provider import Identity
from gateway.policy.issue import Allowance, NotGrantedError
from gateway.stores.store import FAILED, OPEN, IssuedToken, Store, TaskEndedError, TaskRow, TaskUnknownError

INTENTS: Final = 64
"""The most intents of one task."""
SCOPE_LENGTH: Final = 2048
"""The longest list of intents, in characters."""
_SHORTEST: Final = 1.0

MayHold = Callable[[str, Sequence[str]], Allowance]
"""Which policy answers, for an agent and the intents it asks for. Raises `NotGrantedError`."""


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """On which terms tasks are opened. Durations are seconds."""

    tenant: str
    ttl: float
    max_ttl: float
    max_task: float


@final
@dataclass(frozen=True, slots=True)
class Issued:
    """A token on its way to its agent. `lifetime` is in whole seconds."""

    token: str = field(repr=False)
    task: str
    intents: tuple[str, ...]
    lifetime: int


@final
class Exchange:
    """Turns an identity into a task token."""

    def __init__(
        self,
        *,
        store: Store,
        maker: TokenMaker,
        endings: Endings,
        recorder: Recorder,
        may_hold: MayHold,
        terms: Terms,
        epoch: str,
        clock: Clock,
    ) -> None:
        """`epoch` is the one of the store; a token carries it, so that it dies with the store's memory."""
        self._store = store
        self._maker = maker
        self._endings = endings
        self._recorder = recorder
        self._may_hold = may_hold
        self._terms = terms
        self._epoch = epoch
        self._clock = clock

    async def open_task(self, identity: Identity, intents: Sequence[str]) -> Issued:
        """Open a task for the agent that asks, and give it its first token. Raises `RefusedError` and `Refusal`."""
        wanted = _checked(intents)
        if not wanted:
            raise RefusedError(INVALID_SCOPE, "Say in scope which intents the task needs, separated by spaces.")
        allowance = self._ask_policy(identity.agent, wanted)
        now = self._clock.now()
        task = TaskRow(
            id=self._clock.identifier(),
            tenant=self._terms.tenant,
            agent=identity.agent,
            subject=identity.agent,
            starter=identity.agent,
            intents=wanted,
            opened=now,
            ends=now + self._terms.max_task,
            policy=allowance.policy,
        )
        trace = IssuedToken(self._clock.identifier(), task.id, self._expiry(now, task, identity, allowance))
        token = self._sign(trace, task, wanted, allowance, now)
        await self._store.open_task(task, trace)
        try:
            self._recorder.before_giving("task", {"event": "opened", **_facts(task), "policy": task.policy})
            self._recorder.before_giving("token", self._token_facts("issued", trace, task, wanted, allowance))
        except Refusal:
            await self._endings.end(task.id, FAILED, FAILED, by=identity.agent)
            raise
        return Issued(token, task.id, wanted, int(trace.expires - now))

    async def renew(self, identity: Identity, name: str, intents: Sequence[str]) -> Issued:
        """Give one more token of an open task to its own agent, for all of its intents or for those named.

        Raises `RefusedError` and `Refusal`. A task of somebody else looks like one that does not exist.
        """
        task = await self._store.task(name)
        if task is None or task.agent != identity.agent or task.tenant != self._terms.tenant:
            raise RefusedError(INVALID_GRANT, "This agent has no such task; open a task by leaving out the parameter task.")
        if task.state != OPEN:
            raise _ended(task.state)
        wanted = _checked(intents) or task.intents
        if not set(wanted) <= set(task.intents):
            raise RefusedError(INVALID_SCOPE, "A task keeps the intents it was opened with; open a new task for others.")
        allowance = self._ask_policy(identity.agent, wanted)
        now = self._clock.now()
        if now >= task.ends:
            raise _ended("expired")
        trace = IssuedToken(self._clock.identifier(), task.id, self._expiry(now, task, identity, allowance))
        token = self._sign(trace, task, wanted, allowance, now)
        try:
            await self._store.issue(trace, now)
        except TaskEndedError as error:
            raise _ended(error.state) from None
        except TaskUnknownError:
            raise _ended("expired") from None
        self._recorder.before_giving("token", self._token_facts("renewed", trace, task, wanted, allowance))
        return Issued(token, task.id, wanted, int(trace.expires - now))

    def _ask_policy(self, agent: str, intents: Sequence[str]) -> Allowance:
        self._recorder.ready()
        try:
            return self._may_hold(agent, intents)
        except NotGrantedError as error:
            raise RefusedError(
                INVALID_SCOPE,
                f"Policy grants no intent {error.intent} to this agent; ask for fewer intents, or ask the operator.",
            ) from None

    def _expiry(self, now: float, task: TaskRow, identity: Identity, allowance: Allowance) -> float:
        """Whole Unix seconds: never past the task, the identity, what the grant allows and what the authority allows."""
        ttl = self._terms.ttl if allowance.ttl is None else allowance.ttl
        latest = min(now + min(ttl, self._terms.max_ttl), task.ends)
        if identity.expires is not None and identity.expires < latest:
            latest = identity.expires
        expires = float(int(latest))
        if expires - now < _SHORTEST:
            raise RefusedError(INVALID_REQUEST, "The identity or the task is about to expire; come back with a fresh identity.")
        return expires

    def _sign(self, trace: IssuedToken, task: TaskRow, intents: tuple[str, ...], allowance: Allowance, now: float) -> str:
        try:
            return self._maker.mint(trace, task, intents, policy=allowance.policy, epoch=self._epoch, now=now)
        except TokenTooLargeError:
            raise RefusedError(INVALID_SCOPE, "A token cannot hold so many intents; ask for fewer.") from None

    def _token_facts(
        self, event: str, trace: IssuedToken, task: TaskRow, intents: tuple[str, ...], allowance: Allowance
    ) -> dict[str, object]:
        return {
            "event": event,
            **_facts(task),
            "intents": list(intents),
            "token": trace.id,
            "expires": self._clock.stamp(trace.expires),
            "policy": allowance.policy,
        }


def _facts(task: TaskRow) -> dict[str, object]:
    return {
        "tenant": task.tenant,
        "agent": task.agent,
        "subject": task.subject,
        "task": task.id,
        "starter": task.starter,
        "intents": list(task.intents),
    }


def _checked(intents: Sequence[str]) -> tuple[str, ...]:
    """Each intent once, in the order asked for."""
    once = tuple(dict.fromkeys(intents))
    if len(once) > INTENTS or sum(map(len, once)) > SCOPE_LENGTH:
        raise RefusedError(INVALID_SCOPE, f"A task has at most {INTENTS} intents and {SCOPE_LENGTH} characters of them.")
    return once


def _ended(state: str) -> RefusedError:
    return RefusedError(INVALID_GRANT, f"The task has ended: {state}. Open a new task if there is still work to do.")
