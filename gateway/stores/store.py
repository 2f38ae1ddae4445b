"""What the authority keeps of tasks, tokens and revocations, as values and one protocol; knows no database."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, NamedTuple, Protocol, TypeAlias, final

from gateway.known_claims import NOTHING_KNOWN, KnownClaims
from gateway.model import Restoration, Revocation

Entry: TypeAlias = Revocation | Restoration
"""What the feed carries under a number."""

OPEN: Final = "open"
COMPLETED: Final = "completed"
FAILED: Final = "failed"
REVOKED: Final = "revoked"
EXPIRED: Final = "expired"
STATES: Final = (OPEN, COMPLETED, FAILED, REVOKED, EXPIRED)

PAGE: Final = 500
"""The most rows that one read returns."""
PARENT_ENDED: Final = "parent_ended"
HEARTBEAT_LOST: Final = "heartbeat_lost"
"""Causes that the store gives itself, of a task whose parent ended and of one that was not heard of in time."""

KEEP_ENDED: Final = 24 * 3600.0
"""Seconds for which an ended task, or a restoration, stays readable."""
MOST_OPEN: Final = 1000
"""The most open tasks of one agent where nothing else is said."""
KEEP_SPENT: Final = 3600.0
"""Seconds for which tokens and revocations outlive their last use, for gateways with slow clocks."""
EPOCH_OVER: Final = "the store was emptied or set back, and the epoch of this token is over"
"""Why a token is not kept that its authority signed before it knew."""


class StoreUnavailableError(Exception):
    """The store cannot be read or written now; nothing of the transaction was kept."""


class TaskUnknownError(Exception):
    """The store knows no task of this id."""


class TaskEndedError(Exception):
    """The task takes no more tokens: it has ended, or its longest life is over."""

    def __init__(self, state: str) -> None:
        """`state` is how it ended."""
        super().__init__(state)
        self.state: Final = state


class BarredError(Exception):
    """Nothing is issued to this agent, or in this tenant: it was stopped, and nobody has lifted that."""

    def __init__(self, revocation: Revocation) -> None:
        """`revocation` is what stands in the way."""
        super().__init__(revocation.kind)
        self.revocation: Final = revocation


class TooManyTasksError(Exception):
    """The agent has as many open tasks as it may have."""


class TasksOpenError(Exception):
    """What is to be restored has tasks that are still open; they end first, or their tokens would live again."""

    def __init__(self, revocation: Revocation) -> None:
        """`revocation` is what is to be lifted."""
        super().__init__(revocation.kind)
        self.revocation: Final = revocation


class Above(NamedTuple):
    """A task above another one: its id, its agent, and its own limits, from which whatever is below spends as well."""

    task: str
    agent: str
    limits: Mapping[str, object]


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class TaskRow:
    """One task. Times are Unix seconds; `ends` is when even a task that nobody ends is over.

    `params` and `limits` are what JSON can hold. `above` are its ancestors, its parent first. `delegated` says that the agent
    has shown a token of the subject, and shows one again for each further token. `met` are the conditions of starts that held
    of the claims of its starter; `subject_claims` is what policy read then of those of its subject. `due` is when a task that
    was heard of ends unless it is heard of again.
    """

    id: str
    tenant: str
    agent: str
    subject: str
    starter: str
    intents: tuple[str, ...]
    opened: float
    ends: float
    policy: str
    state: str = OPEN
    ended: float | None = None
    cause: str | None = None
    parent: str | None = None
    params: Mapping[str, object] = field(default_factory=dict, hash=False)
    due: float | None = None
    limits: Mapping[str, object] = field(default_factory=dict, hash=False)
    above: tuple[Above, ...] = field(default=(), hash=False)
    delegated: bool = False
    met: tuple[str, ...] = ()
    subject_claims: KnownClaims = field(default=NOTHING_KNOWN, hash=False, repr=False)

    @property
    def family(self) -> str:
        """The first ancestor, or the task itself: what it and its relatives share is kept under this name."""
        return self.above[-1].task if self.above else self.id


def terms_of(task: TaskRow) -> Mapping[str, object]:
    """What a task has beside its columns, as JSON can hold it; empty for most tasks."""
    terms: dict[str, object] = {}
    if task.limits:
        terms["limits"] = dict(task.limits)
    if task.above:
        terms["above"] = [[above.task, above.agent, dict(above.limits)] for above in task.above]
    if task.delegated:
        terms["delegated"] = True
    if task.met:
        terms["met"] = list(task.met)
    if task.subject_claims.there:
        terms["subject_claims"] = dict(task.subject_claims.there)
    if task.subject_claims.lacking:
        terms["subject_lacks"] = sorted(task.subject_claims.lacking)
    return terms


def read_terms(terms: Mapping[str, Any]) -> dict[str, Any]:
    """The members of a task that `terms_of` wrote; nothing for one of an earlier version."""
    return {
        "limits": terms.get("limits", {}),
        "above": tuple(Above(*above) for above in terms.get("above", ())),
        "delegated": terms.get("delegated", False),
        "met": tuple(terms.get("met", ())),
        "subject_claims": KnownClaims(terms.get("subject_claims", {}), frozenset(terms.get("subject_lacks", ()))),
    }


class IssuedToken(NamedTuple):
    """The trace that a task token leaves: its `jti`, its task and its `exp` in Unix seconds; never the token itself."""

    id: str
    task: str
    expires: float
    epoch: str = ""
    """The one that the token carries. In another one it is not kept: whom that one stops may not be known there yet."""


class Ending(NamedTuple):
    """A task that has ended. `first` is false when it had ended before.

    One that expired by itself needs no revocation if the last of its tokens is over for longer than `KEEP_SPENT`.
    `descendants` are the open tasks below it that ended with it, parents before their children.
    """

    task: TaskRow
    revocation: Revocation | None
    first: bool
    descendants: Sequence["Ending"] = ()


class Stop(NamedTuple):
    """What stands revoked until it is restored, in its tenant."""

    tenant: str
    revocation: Revocation


class Purged(NamedTuple):
    """What a purge has ended. `more` says that it has not done all there is to do."""

    endings: Sequence[Ending]
    more: bool


class Beat(NamedTuple):
    """The proof that the store was read: its epoch, the number of its newest entry, and the latest time of a sweep."""

    epoch: str
    seq: int
    swept: float

    @property
    def horizon(self) -> float:
        """The Unix time from which on nothing was forgotten: what was of no use any more before it may be."""
        return self.swept - KEEP_SPENT


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class TaskFilter:
    """Which tasks a page shows, newest first. `before` is the (opened, id) of the last row of the page before."""

    tenant: str | None = None
    agent: str | None = None
    state: str | None = None
    before: tuple[float, str] | None = None
    limit: int = 100


class Store(Protocol):
    """Durable state. Each method is one atomic transaction, and what it returned from survives the death of the process.

    Transactions are serial: a token issued before its task ended is covered by the revocation, one after it is refused.
    Every method raises `StoreUnavailableError`; `failures` counts how often. `folder` is where else this installation may keep
    what must survive; None if nothing does.
    """

    folder: Path | None
    failures: int

    async def open(self) -> None:
        """Make or check the file. Raises `DoorwardError` if it cannot be used."""
        ...

    async def close(self) -> None:
        """Finish what is under way and let go of the file."""
        ...

    async def open_task(self, task: TaskRow, first: IssuedToken | None, most: int = MOST_OPEN) -> None:
        """Keep a new task together with its first token; with none, if its agent has yet to ask for it.

        Raises `StoreUnavailableError` when the epoch of the token is over, `BarredError`, `TooManyTasksError` when the agent
        has `most` open tasks already, and for its parent `TaskUnknownError` and `TaskEndedError`. A child that would outlive
        its parent, or is of another tenant, is a `ValueError`.
        """
        ...

    async def issue(self, token: IssuedToken, now: float) -> TaskRow:
        """Keep one more token of an open task. Raises `TaskUnknownError`, `TaskEndedError` and `BarredError`.

        It raises `StoreUnavailableError` when the epoch of the token is over. A task is barred with its agent, and with
        whoever started it.
        """
        ...

    async def task(self, task: str) -> TaskRow | None:
        """One task, None if unknown."""
        ...

    async def tasks(self, which: TaskFilter) -> Sequence[TaskRow]:
        """A page of at most `PAGE` tasks, newest first."""
        ...

    async def task_of(self, token: str, now: float) -> TaskRow | None:
        """The open task of a token that was issued, has not expired and was not revoked; otherwise None.

        A stopped agent or tenant has no such task.
        """
        ...

    async def heartbeat(self, task: str, due: float, now: float) -> TaskRow:
        """An open task was heard of: it ends at `due` unless it is heard of again. Raises as `issue` does."""
        ...

    async def end_task(self, task: str, state: str, cause: str, now: float) -> Ending:
        """End a task and every open task below it, or say how it has ended before. Raises `TaskUnknownError`."""
        ...

    async def end_tasks_of(self, kind: str, name: str, tenant: str, cause: str, now: float) -> Sequence[Ending]:
        """End at most `PAGE` open tasks of an agent of a tenant, or of all that it has, as revoked; empty when none is open."""
        ...

    async def revoke_token(self, token: str, cause: str, now: float) -> Revocation | None:
        """Revoke one token, or return its earlier revocation; None if it was never issued."""
        ...

    async def stop(self, kind: str, name: str, tenant: str, cause: str, until: float, now: float) -> Revocation:
        """Revoke one of `STOPS` until it is restored; agents and tenants get no task and no token from then on.

        A stop that lasts as long already stays as it is. `until` tells gateways how long to remember, and the authority
        when to restore: here nothing ends by itself.
        """
        ...

    async def restore(self, kind: str, name: str, tenant: str, now: float) -> Restoration | None:
        """Lift a stop of this tenant, None if there is none. Raises `TasksOpenError` while tasks under it are open."""
        ...

    async def stops(self, after: int) -> Sequence[Stop]:
        """At most `PAGE` stops in force that follow the number `after`, in order."""
        ...

    async def revocations(self, after: int) -> Sequence[Entry]:
        """At most `PAGE` revocations and restorations that follow `after`, in order.

        A restoration is forgotten after `KEEP_ENDED`: who was away for longer starts anew from 0, with an empty memory.
        """
        ...

    async def beat(self) -> Beat:
        """Really read the store."""
        ...

    async def begin_epoch(self, lost: str, seen: int) -> Beat:
        """Begin a new epoch if the store is still in `lost` but does not know the entry `seen` of it; it was set back.

        Returns what holds now. Whoever remembers more than the store does has to call this before it trusts it again.
        """
        ...

    async def look_back(self, now: float) -> Beat:
        """Begin a new epoch if the store was swept at a time that is more than `KEEP_SPENT` later than `now`.

        By a date that was wrong it has forgotten revocations of tokens that could be good again. Returns what holds now.
        """
        ...

    async def changed(self) -> None:
        """Wait until another authority has written, as far as the store can tell; it may wake for nothing, or too late.

        Raises nothing while the store is away: the heartbeat tells.
        """
        ...

    async def draw(self, key: str, wanted: int, most: int, until: float, now: float) -> int:
        """Take up to `wanted` of what is left of `most` under `key`; returns how much.

        What was drawn is forgotten at the latest `until` that was named for the key.
        """
        ...

    async def give_back(self, key: str, amount: int) -> None:
        """Return what was drawn and not used."""
        ...

    async def count(self, amounts: Mapping[str, int], until: float, now: float) -> Mapping[str, int]:
        """Add each of these amounts to what was counted under its key before; returns what that was.

        It is forgotten at the latest `until` that was named for the key.
        """
        ...

    async def hold(self, key: str, holder: str, amount: int, *, most: int, until: float, now: float) -> int:
        """Let `holder` hold `amount` of `most` under `key` until then, or as many as other holders leave; returns how many.

        It replaces what the holder held before, more or fewer.
        """
        ...

    async def prolong(self, holder: str, until: float, now: float) -> None:
        """Let everything that `holder` holds last until then; with the present it gives up all of it."""
        ...

    async def once(self, key: str, until: float, now: float) -> bool:
        """Whether `key` is used for the first time; it is remembered until `until`."""
        ...

    async def keys(self, mine: Mapping[str, str], until: float, now: float) -> Mapping[str, tuple[str, float]]:
        """Publish the texts of `mine` under their names until then; returns all that authorities of this store publish now.

        Each comes with its end, in Unix seconds. Where one authority alone can use the store it is the only one.
        """
        ...

    @property
    def alone(self) -> bool:
        """Whether one authority alone can use the store."""
        ...

    async def label(self, task: str, added: Iterable[str]) -> frozenset[str]:
        """Add labels to a task and all tasks of its family; returns all that it carries now. Raises `TaskUnknownError`."""
        ...

    async def labels(self, task: str) -> frozenset[str]:
        """The labels of a task's family. Raises `TaskUnknownError`."""
        ...

    async def purge(self, now: float, tenants: Collection[str]) -> Purged:
        """End open tasks whose longest life is over or which were not heard of in time; forget what no gateway needs.

        Ends at most `PAGE` of each, and what is below them: those of these tenants, and what has been over for `KEEP_ENDED`,
        as nobody of its own tenant seems to be there any more. When that was is remembered: see `look_back`.
        """
        ...
