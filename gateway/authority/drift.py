"""Counts how often tasks ask for what they may not have, and ends those that do not stop; knows neither gateways nor policy."""

from collections import OrderedDict, deque
from collections.abc import Callable
from contextlib import suppress
from typing import Final, final

from gateway.authority.ending import Endings
from gateway.clock import Clock
from gateway.model import AGENT
from gateway.policy.rules import DriftRule
from gateway.stores.store import OPEN, REVOKED, Store, TaskUnknownError

BEHAVIOUR_DRIFT: Final = "behaviour_drift"
"""The cause of such an end."""
COUNTED: Final = 65_536
"""Of how many tasks refusals are counted at a time; of the one that was quiet for longest they are forgotten."""


@final
class Drift:
    """Hears of one refusal after the other, from all gateways of this authority."""

    def __init__(self, *, store: Store, endings: Endings, clock: Clock, rule: Callable[[], DriftRule | None]) -> None:
        """`rule` is what is in force now; None if nobody counts."""
        self._store: Final = store
        self._endings: Final = endings
        self._clock: Final = clock
        self._rule: Final = rule
        self._seen: Final[OrderedDict[str, deque[float]]] = OrderedDict()

    async def note(self, task: str) -> None:
        """A request of this task was refused for what it asked for. Raises `StoreUnavailableError`."""
        rule = self._rule()
        if rule is None:
            return
        boot = self._clock.boot()
        seen = self._seen.pop(task, None) or deque()
        while seen and (seen[0] <= boot - rule.within or len(seen) >= rule.refusals):
            seen.popleft()
        seen.append(boot)
        if len(seen) < rule.refusals:
            if len(self._seen) >= COUNTED:
                self._seen.popitem(last=False)
            self._seen[task] = seen
            return
        await self._end(task, rule)

    async def _end(self, task: str, rule: DriftRule) -> None:
        """End the task and bar its agent for a while. One that has ended meanwhile is left as it is."""
        row = await self._store.task(task)
        if row is None or row.state != OPEN:
            return
        by = f"drift: {rule.refusals} refusals within {rule.within:g} s"
        with suppress(TaskUnknownError):
            await self._endings.end(task, REVOKED, BEHAVIOUR_DRIFT, by=by)
        await self._endings.stop(AGENT, row.agent, row.tenant, BEHAVIOUR_DRIFT, by=by, until=self._clock.now() + rule.bar)
