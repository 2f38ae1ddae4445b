"""Keeps the labels of tasks known to every gateway that has asked for them; knows no line, and nothing of what labels mean.

A label is on a task and on its whole family. It is stored first, then every gateway that knows a task of the family is told.
Only when all have heard it, or must have stopped for want of a line, is it acknowledged to the one that has added it.
Gateways of other authorities on the same store cannot be told, so there what a gateway is answered holds for one request.
"""

from collections.abc import Callable, Container, Iterable
from typing import Final, Protocol, final

from gateway.clock import Clock
from gateway.limits.wishes import Forgot, Heard, Labelled, Learn, Mark, Reply, Told
from gateway.stores.store import TaskRow, TaskUnknownError

FAMILIES: Final = 262_144
"""Of how many families it is remembered which gateways know them; further ones are not told of, and their requests refused."""
DEEPEST: Final = 64
"""How many ancestors a task may have."""

LabelEvent = Learn | Mark | Heard | Forgot
RecordLabels = Callable[[str, str, frozenset[str]], None]
"""Told in which tenant which task has got which labels that it did not have."""


def unrecorded(_tenant: str, _task: str, _labels: frozenset[str]) -> None:
    """Nobody keeps a record."""


class Families(Protocol):
    """The part of the store that labels need. Every method raises `StoreUnavailableError`."""

    @property
    def alone(self) -> bool:
        """Whether no other authority can add labels."""
        ...

    async def task(self, task: str) -> TaskRow | None:
        """One task, None if unknown."""
        ...

    async def label(self, task: str, added: Iterable[str]) -> frozenset[str]:
        """Add labels to the family of a task; returns all that it carries now. Raises `TaskUnknownError`."""
        ...

    async def labels(self, task: str) -> frozenset[str]:
        """The labels of a task's family. Raises `TaskUnknownError`."""
        ...


@final
class _Adding:
    """A label that is on its way to everybody; `awaited` are the numbers of what was told and not heard yet."""

    __slots__ = ("awaited", "deadline", "family", "gateway", "question")

    def __init__(self, gateway: str, question: Learn | Mark, family: "_Family", deadline: float) -> None:
        self.gateway: Final = gateway
        self.question: Final = question
        self.family: Final = family
        self.deadline: Final = deadline
        self.awaited: Final[set[int]] = set()


@final
class _Family:
    """Which gateways know which of its tasks; `ends` is when the last of them is over, in Unix seconds."""

    __slots__ = ("ends", "known", "labels", "tenant")

    def __init__(self, tenant: str) -> None:
        self.tenant: Final = tenant
        self.ends = 0.0
        self.labels = ""
        """All that it carries by what was read last, as gateways are told."""
        self.known: Final[dict[str, set[str]]] = {}


@final
class Labelling:
    """Works off one event after the other, in the order in which they came."""

    def __init__(
        self, families: Families, clock: Clock, tell: Callable[[str, Reply], None], life: float, record: RecordLabels
    ) -> None:  # fmt: skip
        """`tell` delivers to a gateway that has a line; without one a gateway has stopped after `life` seconds.

        `record` is told of labels that a task did not have.
        """
        self._record: Final = record
        self._store: Final = families
        self._clock: Final = clock
        self._tell: Final = tell
        self._life: Final = life
        self._families: Final[dict[str, _Family]] = {}
        self._told: Final[dict[int, tuple[str, _Adding]]] = {}
        self._number = 0
        self._gone: Final[dict[str, float]] = {}

    async def work(self, gateway: str, event: LabelEvent, lines: Container[str]) -> None:
        """Do what a gateway asks for. Raises `StoreUnavailableError`; then it is not answered."""
        if isinstance(event, Heard):
            self._heard(event.number)
        elif isinstance(event, Forgot):
            self.forget(gateway)
        else:
            await self._answer(gateway, event, lines)

    def leave(self, gateway: str) -> None:
        """Its line is gone, and it may live on for a while."""
        self._gone[gateway] = self._clock.boot()

    def forget(self, gateway: str) -> None:
        """It is dead, or knows nothing any more."""
        self._gone.pop(gateway, None)
        for family in self._families.values():
            family.known.pop(gateway, None)
        for number in [number for number, (told, _) in self._told.items() if told == gateway]:
            self._heard(number)

    def look(self) -> None:
        """Acknowledge what was waited for long enough, and forget families that are over."""
        boot, now = self._clock.boot(), self._clock.now()
        for number in [number for number, (_, adding) in self._told.items() if adding.deadline <= boot]:
            self._heard(number)
        for gateway in [gateway for gateway, since in self._gone.items() if boot - since > self._life]:
            self.forget(gateway)
        for root in [root for root, family in self._families.items() if family.ends + self._life < now]:
            del self._families[root]

    async def _answer(self, gateway: str, event: Learn | Mark, lines: Container[str]) -> None:
        family = await self._family(event.task)
        if family is None:
            return
        family.known.setdefault(gateway, set()).add(event.task)
        try:
            labels = await self._store.labels(event.task)
            if isinstance(event, Mark) and (new := frozenset(event.labels.split()) - labels):
                labels = await self._store.label(event.task, new)
                self._record(family.tenant, event.task, new)
        except TaskUnknownError:
            return
        family.labels = " ".join(sorted(labels))
        adding = _Adding(gateway, event, family, self._clock.boot() + self._life)
        if isinstance(event, Mark):
            for other, tasks in family.known.items():
                for task in tasks:
                    if (other, task) != (gateway, event.task):
                        self._tell_of(other, task, adding, lines)
        if not adding.awaited:
            self._reply(adding)

    def _reply(self, adding: _Adding) -> None:
        """With all that was added while this waited: a gateway may have been told of that before it knew the task."""
        question = adding.question
        self._tell(adding.gateway, Labelled(question.number, question.task, adding.family.labels, int(self._store.alone)))

    def _tell_of(self, gateway: str, task: str, adding: _Adding, lines: Container[str]) -> None:
        self._number += 1
        adding.awaited.add(self._number)
        self._told[self._number] = (gateway, adding)
        if gateway in lines:
            self._tell(gateway, Told(self._number, task, adding.family.labels))

    def _heard(self, number: int) -> None:
        _, adding = self._told.pop(number, ("", None))
        if adding is not None:
            adding.awaited.discard(number)
            if not adding.awaited:
                self._reply(adding)

    async def _family(self, task: str) -> _Family | None:
        """The family of a task; None if there is no such task, or no room for another family."""
        root, tenant, ends = task, "", 0.0
        for _ in range(DEEPEST):
            row = await self._store.task(root)
            if row is None:
                return None
            tenant, ends = row.tenant, max(ends, row.ends)
            if row.parent is None:
                break
            root = row.parent
        family = self._families.get(root)
        if family is None:
            if len(self._families) >= FAMILIES:
                return None
            family = self._families[root] = _Family(tenant)
        family.ends = max(family.ends, ends)
        return family
