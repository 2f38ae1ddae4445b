"""The labels of tasks, as one gateway has learnt them and will be told of more; knows neither store nor policy.

What is known of a task is all there is, for the authority tells every gateway that has asked before anybody is told that a
label was added. So a gateway that has waited for its own label knows that all the others have it too. Where several authorities
share a store none of them knows all gateways: then nothing is kept, and every request that needs the labels asks for them.
"""

from collections.abc import Callable
from typing import Any, Final, Protocol, final

from gateway.errors import Refusal
from gateway.http.waiting import Wait
from gateway.limits.wishes import Event, Forgot, Heard, Labelled, Learn, Mark, Told

MOST_TASKS: Final = 65_536
"""Of how many tasks one gateway knows the labels; the one that was learnt first is asked for again when it is needed."""
LEARN_WITHIN: Final = 3.0
"""Seconds for which a request waits to learn the labels of its task."""
ADD_WITHIN: Final = 20.0
"""Seconds for which it waits until every gateway knows a label: longer than one that is cut off may live on."""


class Caller(Protocol):
    """The connection whose request waits."""

    def resume(self, wait: Wait[Any], value: object) -> None:
        """Let the request go on, if this is still what it waits for."""


@final
class _Asked:
    """A request that waits for an answer."""

    __slots__ = ("caller", "event", "labels", "wait")

    def __init__(self, event: Learn | Mark, caller: Caller, wait: Wait[None]) -> None:
        self.event: Final = event
        self.caller: Final = caller
        self.wait: Final = wait
        self.labels: frozenset[str] | None = None


@final
class TaskLabels:
    """What a gateway knows. `hear` is for the authority's line, everything else for requests."""

    __slots__ = ("_asked", "_number", "_say", "known")

    def __init__(self, say: Callable[[Event], None]) -> None:
        """`say` passes events on to the authority, in their order."""
        self._say: Final = say
        self._asked: Final[dict[int, _Asked]] = {}
        self._number = 0
        self.known: Final[dict[str, frozenset[str]]] = {}
        """By task, all the labels that it carries."""

    async def of(self, task: str, caller: Caller) -> frozenset[str]:
        """The labels of a task, after a wait where nobody has asked for them here yet. Raises `Refusal`."""
        known = self.known.get(task)
        if known is None:
            self._number += 1
            known = await self._ask(Learn(self._number, task), caller, LEARN_WITHIN)
        return known

    async def add(self, task: str, added: frozenset[str], caller: Caller) -> None:
        """Put labels on a task. When this returns every gateway that knows the task knows them. Raises `Refusal`."""
        known = self.known.get(task)
        if known is None or not added <= known:
            self._number += 1
            await self._ask(Mark(self._number, task, " ".join(sorted(added))), caller, ADD_WITHIN)

    def hear(self, reply: Labelled | Told) -> None:
        """An answer, or the news of a label that somebody else has added."""
        labels = frozenset(reply.labels.split())
        if isinstance(reply, Told):
            if reply.task in self.known:
                self.known[reply.task] |= labels
            self._say(Heard(reply.number))
            return
        asked = self._asked.get(reply.number)
        if reply.lasts and (asked is not None or reply.task in self.known):
            if reply.task not in self.known and len(self.known) >= MOST_TASKS:
                del self.known[next(iter(self.known))]
            self.known[reply.task] = labels
        if asked is not None:
            asked.labels = labels
            asked.caller.resume(asked.wait, None)

    def restate(self) -> None:
        """The line was cut and is whole again: what was said meanwhile is not known, so everything is asked for anew."""
        self.known.clear()
        if self._number:
            self._say(Forgot())
        for asked in self._asked.values():
            self._say(asked.event)

    async def _ask(self, event: Learn | Mark, caller: Caller, seconds: float) -> frozenset[str]:
        asked = self._asked[event.number] = _Asked(event, caller, Wait(seconds, _unlearnt))
        self._say(event)
        try:
            if asked.labels is None:
                await asked.wait
        finally:
            del self._asked[event.number]
        return asked.labels or frozenset()


def _unlearnt() -> Refusal:
    return Refusal("overloaded", "The labels of the task could not be settled with the authority in time.", retry_after=1)
