"""Gives task tokens to verified identities: opens a task, or renews one; knows no HTTP and verifies no identity itself.

The order is the same for both: ask policy, sign, store, record, and only then hand the token over. A token that could
not be stored or recorded is never seen by anybody.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final, final

from gateway.authority.drafts import Asked, Draft, Drafts, check_grounds, check_narrower, ends_of, opening_of
from gateway.authority.ending import Endings
from gateway.authority.feed import Feed
from gateway.authority.grounds import OWN, UNBOUNDED, Bounds, Grounds, Resource
from gateway.authority.keys import UnsignedError
from gateway.authority.recording import Recorder
from gateway.authority.refused import (
    INVALID_GRANT,
    INVALID_PROOF,
    INVALID_REQUEST,
    INVALID_SCOPE,
    INVALID_TARGET,
    TOO_MANY,
    UNAUTHORIZED_CLIENT,
    RefusedError,
)
from gateway.authority.tokens import Narrowed, TokenMaker, TokenTooLargeError
from gateway.clock import Clock
from gateway.errors import Refusal
from gateway.identity.provider import Identity
from gateway.known_claims import known_of
from gateway.policy.issue import Allowance, NotGrantedError
from gateway.policy.start import NO_PARAMS, Opening
from gateway.stores.store import (
    FAILED,
    OPEN,
    REVOKED,
    BarredError,
    IssuedToken,
    Store,
    TaskEndedError,
    TaskRow,
    TaskUnknownError,
    TooManyTasksError,
)

INTENTS: Final = 64
"""The most intents of one task."""
SCOPE_LENGTH: Final = 2048
"""The longest list of intents, in characters."""
POLICY_DRIFT: Final = "policy_drift"
"""The cause of an end that a change of policy has brought."""
_SHORTEST: Final = 1.0

MayHold = Callable[[Opening, Sequence[str]], Allowance]
"""What policy answers, for a task that was opened like this and the intents asked for. Raises `NotGrantedError`."""


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """On which terms tasks are opened. Durations are seconds; `max_open` is how many open tasks an agent may have.

    With `proof` every token has to be bound.
    """

    tenant: str
    ttl: float
    max_ttl: float
    max_task: float
    max_open: int
    proof: bool = False


@final
@dataclass(frozen=True, slots=True)
class Issued:
    """A token on its way to its agent. `lifetime` is in whole seconds."""

    token: str = field(repr=False)
    row: TaskRow
    intents: tuple[str, ...]
    lifetime: int

    @property
    def task(self) -> str:
        """The id of its task."""
        return self.row.id


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
        feed: Feed,
        clock: Clock,
    ) -> None:
        """All parts are started already."""
        self._store = store
        self._maker = maker
        self._endings = endings
        self._recorder = recorder
        self._may_hold = may_hold
        self._terms = terms
        self._drafts = Drafts(terms.tenant, terms.max_task)
        self._feed = feed
        self._clock = clock
        self.given: Final[Counter[str]] = Counter()
        """How many tokens were given, by the event that their record names."""

    @property
    def longest_token(self) -> float:
        """The longest life of a token, in seconds."""
        return self._terms.max_ttl

    async def open_task(
        self,
        agent: Identity,
        intents: Sequence[str],
        params: Mapping[str, str] = NO_PARAMS,
        *,
        grounds: Grounds = OWN,
        bounds: Bounds = UNBOUNDED,
    ) -> Issued:
        """Open a task for the agent that asks, and give it its first token. Raises `RefusedError` and `Refusal`.

        The task is the agent's own, on behalf of a subject, or below a parent, as the grounds say. Below a parent no intents
        are all of its token.
        """
        parent = grounds.parent
        wanted = _checked(intents) or (() if parent is None else _within(bounds.resource, sorted(parent.token.intents)))
        if not wanted:
            raise RefusedError(INVALID_SCOPE, "Say in scope which intents the task needs, separated by spaces.")
        _check_resource(bounds.resource, wanted)
        now = self._clock.now()
        draft = self._drafts.of(agent, Asked(self._clock.identifier(), wanted, params, bounds), grounds, now)
        task, allowance = self._allowed(draft)
        self._check_proof(allowance, grounds)
        trace = self._trace(task, self._expiry(now, task, ends_of(agent, grounds), allowance))
        token = await self._sign(trace, task, wanted, allowance, now, _narrowed(agent, allowance, grounds, bounds))
        await self._keep(task, trace)
        try:
            self._recorder.before_giving("task", {"event": "opened", **_facts(task), "policy": task.policy})
            self._recorder.before_giving("token", self._token_facts("issued", trace, task, wanted, allowance))
        except Refusal:
            await self._endings.end(task.id, FAILED, FAILED, by=agent.agent)
            raise
        self.given["issued"] += 1
        return Issued(token, task, wanted, int(trace.expires - now))

    async def open_for(
        self,
        starter: Identity,
        agent: str,
        intents: Sequence[str],
        params: Mapping[str, str] = NO_PARAMS,
        bounds: Bounds = UNBOUNDED,
    ) -> TaskRow:
        """Open a task that the agent then joins by its id. Raises `RefusedError` and `Refusal`."""
        wanted = _checked(intents)
        if not wanted:
            raise RefusedError(INVALID_SCOPE, "Say in scope which intents the task needs, separated by spaces.")
        now = self._clock.now()
        task, _ = self._allowed(
            self._drafts.started(starter, agent, Asked(self._clock.identifier(), wanted, params, bounds), now)
        )
        await self._keep(task, None)
        try:
            self._recorder.before_giving("task", {"event": "opened", **_facts(task), "policy": task.policy})
        except Refusal:
            await self._endings.end(task.id, FAILED, FAILED, by=starter.agent)
            raise
        return task

    async def renew(
        self,
        agent: Identity,
        name: str,
        intents: Sequence[str],
        *,
        grounds: Grounds = OWN,
        bounds: Bounds = UNBOUNDED,
    ) -> Issued:
        """Give one more token of an open task to its own agent, for all of its intents or for those named.

        The agent shows again on which grounds the task was opened. Raises `RefusedError` and `Refusal`. A task of somebody else
        looks like one that does not exist.
        """
        task = await self._store.task(name)
        if task is None or task.tenant != self._terms.tenant or not check_grounds(task, agent, grounds):
            raise RefusedError(INVALID_GRANT, "This agent has no such task; open a task by leaving out the parameter task.")
        if task.state != OPEN:
            raise _ended(task.state)
        wanted = _checked(intents) or _within(bounds.resource, task.intents)
        if not wanted or not set(wanted) <= set(task.intents):
            raise RefusedError(INVALID_SCOPE, "A task keeps the intents it was opened with; open a new task for others.")
        _check_resource(bounds.resource, wanted)
        if grounds.parent is not None:
            check_narrower(grounds.parent, wanted)
        allowance = self._ask_policy(opening_of(task), wanted)
        self._check_proof(allowance, grounds)
        now = self._clock.now()
        if now >= task.ends:
            raise _ended("expired")
        trace = self._trace(task, self._expiry(now, task, ends_of(agent, grounds), allowance))
        token = await self._sign(trace, task, wanted, allowance, now, _narrowed(agent, allowance, grounds, bounds))
        try:
            await self._store.issue(trace, now)
        except TaskEndedError as error:
            raise _ended(error.state) from None
        except TaskUnknownError:
            raise _ended("expired") from None
        except BarredError as error:
            raise _barred(error) from None
        self._recorder.before_giving("token", self._token_facts("renewed", trace, task, wanted, allowance))
        # What is open could rest on an intent that a narrower token lacks, and one for a child task carries no request.
        if set(wanted) == set(task.intents) and bounds.may_act is None:
            self._feed.renewed(task.id, trace.expires)
        self.given["renewed"] += 1
        return Issued(token, task, wanted, int(trace.expires - now))

    def _allowed(self, draft: Draft) -> tuple[TaskRow, Allowance]:
        """The task as policy allows it."""
        allowance = self._ask_policy(draft.opening, draft.task.intents)
        known = draft.known(allowance.subject_claims)
        return replace(draft.task, policy=allowance.policy, met=allowance.met, subject_claims=known), allowance

    async def _keep(self, task: TaskRow, first: IssuedToken | None) -> None:
        try:
            await self._store.open_task(task, first, self._terms.max_open)
        except BarredError as error:
            raise _barred(error) from None
        except TooManyTasksError:
            raise RefusedError(
                TOO_MANY, f"The agent has {self._terms.max_open} open tasks; complete some of them first."
            ) from None
        except (TaskEndedError, TaskUnknownError):
            raise RefusedError(INVALID_REQUEST, "The subject_token is not accepted: its task has ended.") from None
        await self._check_again(task)

    async def _check_again(self, task: TaskRow) -> None:
        """Policy may have changed while the task was being stored, and then who ends what policy took away did not see it."""
        try:
            self._may_hold(opening_of(task), task.intents)
        except NotGrantedError as error:
            await self._endings.end(task.id, REVOKED, POLICY_DRIFT, by=f"policy:{task.policy}")
            raise _not_granted(error.intent) from None

    def _ask_policy(self, opening: Opening, intents: Sequence[str]) -> Allowance:
        self._recorder.ready()
        try:
            return self._may_hold(opening, intents)
        except NotGrantedError as error:
            raise _not_granted(error.intent) from None

    def _trace(self, task: TaskRow, expires: float) -> IssuedToken:
        """That of a token that is about to be signed, and then kept only if this epoch is not over."""
        return IssuedToken(self._clock.identifier(), task.id, expires, self._feed.epoch)

    def _expiry(self, now: float, task: TaskRow, proofs: Iterable[float], allowance: Allowance) -> float:
        """Whole Unix seconds: never past the task, any proof that it comes from, what the grant and the authority allow."""
        ttl = self._terms.ttl if allowance.ttl is None else allowance.ttl
        expires = float(int(min(now + min(ttl, self._terms.max_ttl), task.ends, *proofs)))
        if expires - now < _SHORTEST:
            raise RefusedError(INVALID_REQUEST, "The identity or the task is about to expire; come back with a fresh identity.")
        return expires

    def _check_proof(self, allowance: Allowance, grounds: Grounds) -> None:
        if grounds.binding is None and (self._terms.proof or allowance.proof):
            raise RefusedError(
                INVALID_PROOF, "These intents come only in a bound token: send a DPoP proof, or show a client certificate."
            )

    async def _sign(
        self, trace: IssuedToken, task: TaskRow, intents: tuple[str, ...], allowance: Allowance, now: float,
        narrowed: Narrowed,
    ) -> str:  # fmt: skip
        try:
            return await self._maker.mint(trace, task, intents, policy=allowance.policy, now=now, narrowed=narrowed)
        except TokenTooLargeError:
            raise RefusedError(
                INVALID_SCOPE, "A token cannot hold so many intents and claims; ask for fewer intents."
            ) from None
        except UnsignedError:
            raise Refusal("signing_unavailable") from None

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
        "params": dict(task.params),
        "limits": dict(task.limits),
        "parent": task.parent,
    }


def _checked(intents: Sequence[str]) -> tuple[str, ...]:
    """Each intent once, in the order asked for."""
    once = tuple(dict.fromkeys(intents))
    if len(once) > INTENTS or sum(map(len, once)) > SCOPE_LENGTH:
        raise RefusedError(INVALID_SCOPE, f"A task has at most {INTENTS} intents and {SCOPE_LENGTH} characters of them.")
    return once


def _narrowed(agent: Identity, allowance: Allowance, grounds: Grounds, bounds: Bounds) -> Narrowed:
    """A token for a child task is bound to the agent that it names, which could not prove to hold anything of its giver's."""
    binding = grounds.binding if bounds.may_act is None else None
    claims = known_of(agent.claims, allowance.claims)
    return Narrowed(None if bounds.resource is None else bounds.resource.url, bounds.may_act, binding, claims)


def _within(resource: Resource | None, intents: Sequence[str]) -> tuple[str, ...]:
    """Those that mean anything where the token is used."""
    return tuple(intent for intent in intents if resource is None or resource.bears(intent))


def _check_resource(resource: Resource | None, intents: Sequence[str]) -> None:
    """A token has one audience, where all of its scope means something (RFC 8707 §2, RFC 9068 §3)."""
    if len(_within(resource, intents)) != len(intents):
        raise RefusedError(INVALID_TARGET, "The scope names an intent of another upstream than that of resource.")


def _not_granted(intent: str) -> RefusedError:
    told = f"Policy grants no intent {intent} to this agent; ask for fewer intents, or ask the operator."
    return RefusedError(INVALID_SCOPE, told)


def _ended(state: str) -> RefusedError:
    return RefusedError(INVALID_GRANT, f"The task has ended: {state}. Open a new task if there is still work to do.")


def _barred(error: BarredError) -> RefusedError:
    return RefusedError(UNAUTHORIZED_CLIENT, f"The {error.revocation.kind} was stopped; an operator has to restore it first.")
