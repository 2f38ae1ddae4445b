"""What the authority keeps of tasks, tokens and revocations, as values and one protocol; knows no database."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple, Protocol, final

from gateway.model import Revocation

OPEN: Final = "open"
COMPLETED: Final = "completed"
FAILED: Final = "failed"
REVOKED: Final = "revoked"
EXPIRED: Final = "expired"
STATES: Final = (OPEN, COMPLETED, FAILED, REVOKED, EXPIRED)

PAGE: Final = 500
"""The most rows that one read returns."""
KEEP_ENDED: Final = 24 * 3600.0
"""Seconds for which an ended task stays readable."""
KEEP_SPENT: Final = 3600.0
"""Seconds for which tokens and revocations outlive their last use, for gateways with slow clocks."""


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


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class TaskRow:
    """One task. Times are Unix seconds; `ends` is when even a task that nobody ends is over."""

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


class IssuedToken(NamedTuple):
    """The trace that a task token leaves: its `jti`, its task and its `exp` in Unix seconds; never the token itself."""

    id: str
    task: str
    expires: float


class Ending(NamedTuple):
    """A task that has ended. `first` is false when it had ended before; a task that just expired needs no revocation."""

    task: TaskRow
    revocation: Revocation | None
    first: bool


class Beat(NamedTuple):
    """The proof that the store was read: its epoch, and the number of the newest revocation."""

    epoch: str
    seq: int


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
    Every method raises `StoreUnavailableError`. `folder` is where else this installation may keep what must survive;
    None if nothing does.
    """

    folder: Path | None

    async def open(self) -> None:
        """Make or check the file. Raises `DoorwardError` if it cannot be used."""
        ...

    async def close(self) -> None:
        """Finish what is under way and let go of the file."""
        ...

    async def open_task(self, task: TaskRow, first: IssuedToken) -> None:
        """Keep a new task together with its first token."""
        ...

    async def issue(self, token: IssuedToken, now: float) -> TaskRow:
        """Keep one more token of an open task. Raises `TaskUnknownError` and `TaskEndedError`."""
        ...

    async def task(self, task: str) -> TaskRow | None:
        """One task, None if unknown."""
        ...

    async def tasks(self, which: TaskFilter) -> Sequence[TaskRow]:
        """A page of at most `PAGE` tasks, newest first."""
        ...

    async def task_of(self, token: str, now: float) -> TaskRow | None:
        """The open task of a token that was issued, has not expired and was not revoked; otherwise None."""
        ...

    async def end_task(self, task: str, state: str, cause: str, now: float) -> Ending:
        """End a task, or say how it has ended before. Raises `TaskUnknownError`."""
        ...

    async def revoke_token(self, token: str, cause: str, now: float) -> Revocation | None:
        """Revoke one token, or return its earlier revocation; None if it was never issued."""
        ...

    async def revocations(self, after: int) -> Sequence[Revocation]:
        """At most `PAGE` revocations that follow `after`, in order."""
        ...

    async def beat(self) -> Beat:
        """Really read the store."""
        ...

    async def purge(self, now: float) -> Sequence[TaskRow]:
        """Mark open tasks as expired whose longest life is over, and forget what no gateway needs any more.

        Returns the newly expired tasks, at most `PAGE` a time.
        """
        ...
