"""How many requests tasks have made, counted by the authority for all gateways together; knows neither store nor policy.

Each request is counted before it is decided, so of two at once one comes first, wherever they are. A task counts together with
all tasks of its family, as it does for labels and limits: whoever opens a task below it begins no new count.
"""

from collections.abc import Callable
from typing import Any, Final, Protocol, final
from urllib.parse import quote

from gateway.errors import Refusal
from gateway.http.waiting import Wait
from gateway.limits.wishes import Count, Counted, Event
from gateway.model import Principal

COUNT_WITHIN: Final = 3.0
"""Seconds for which a request waits until it is counted."""


class Caller(Protocol):
    """The connection whose request waits."""

    def resume(self, wait: Wait[Any], value: object) -> None:
        """Let the request go on, if this is still what it waits for."""


@final
class _Asked:
    """A request that waits to be counted."""

    __slots__ = ("before", "caller", "lost", "wait")

    def __init__(self, caller: Caller, wait: Wait[None]) -> None:
        self.caller: Final = caller
        self.wait: Final = wait
        self.before: int | None = None
        self.lost = False


@final
class TaskRequests:
    """Asks on behalf of one gateway. `hear` and `restate` are for the authority's line, everything else for requests."""

    __slots__ = ("_asked", "_number", "_say")

    def __init__(self, say: Callable[[Event], None]) -> None:
        """`say` passes events on to the authority, in their order."""
        self._say: Final = say
        self._asked: Final[dict[int, _Asked]] = {}
        self._number = 0

    async def before(self, principal: Principal, operations: int, caller: Caller) -> int:
        """How many requests the caller's task and its family made before this one, which counts once for each operation.

        Raises `Refusal`.
        """
        self._number += 1
        number = self._number
        whose = f"{quote(principal.tenant, safe='')}/{quote(principal.family or principal.task, safe='')}"
        asked = self._asked[number] = _Asked(caller, Wait(COUNT_WITHIN, _uncounted))
        self._say(Count(number, f"made/{whose}", operations))
        try:
            if asked.before is None and not asked.lost:
                await asked.wait
        finally:
            del self._asked[number]
        if asked.before is None:
            raise _uncounted()
        return asked.before

    def hear(self, reply: Counted) -> None:
        """An answer."""
        asked = self._asked.get(reply.number)
        if asked is not None:
            asked.before = reply.before
            asked.caller.resume(asked.wait, None)

    def restate(self) -> None:
        """The line was cut and is whole again: who was not answered may be counted or not, and is not counted twice."""
        for asked in list(self._asked.values()):
            asked.lost = True
            asked.caller.resume(asked.wait, None)


def _uncounted() -> Refusal:
    return Refusal("overloaded", "The requests of the task could not be counted by the authority in time.", retry_after=1)
