"""The only source of time, sleeping, spawned tasks and identifiers; knows nothing of what they are used for."""

import asyncio
import os
import time
from collections.abc import Coroutine
from datetime import datetime, timezone
from typing import Any, Final

from gateway import telemetry
from gateway.compiling import mypyc_attr

_log = telemetry.logger("clock")

_IDENTIFIER_DIGITS: Final = 32
_BLOCK_DIGITS: Final = 8192


@mypyc_attr(allow_interpreted_subclasses=True)
class Clock:
    """The machine's clock. Tests replace it by one they turn by hand."""

    def __init__(self) -> None:
        """Start at the present."""
        self._latest = 0.0
        self._ahead = 0.0
        self._tasks: set[asyncio.Task[Any]] = set()
        self._digits = ""
        self._at = 0
        self._second = -1
        self._second_text = ""

    def now(self) -> float:
        """Unix time in seconds. It never steps back, so what has expired stays expired; and it never stands still.

        When the machine's clock is set back, time goes on here from where it was, and is the machine's again once that is
        later. So a date that was set ahead and then put right stays ahead here: what ended by it is forgotten already, its
        revocation too, and would be good again.
        """
        now = time.time()
        if now < self._latest:
            now += self._ahead
            if now < self._latest:
                self._ahead += self._latest - now
                now = self._latest
        else:
            self._ahead = 0.0
        self._latest = now
        return now

    def set_back(self) -> float:
        """Seconds by which the machine's clock is behind `now`, because it was set back."""
        self.now()
        return self._ahead

    def date(self) -> float:
        """Unix time in seconds as the machine tells it, which `now` may be ahead of: whoever starts now has that one."""
        return self.now() - self.set_back()

    def boot(self) -> float:
        """Seconds since the machine started, suspension included: staleness is counted in these."""
        return time.clock_gettime(time.CLOCK_BOOTTIME)

    def steady(self) -> float:
        """Seconds on a clock that only measures distances; for durations in records and metrics."""
        return time.perf_counter()

    def stamp(self, now: float) -> str:
        """RFC 3339 in UTC with microseconds; the text up to the second is made once a second."""
        second = int(now)
        if second != self._second:
            self._second = second
            self._second_text = datetime.fromtimestamp(second, timezone.utc).strftime("%Y-%m-%dT%H:%M:%S")
        digits = str(1_000_000 + int((now - second) * 1_000_000))[1:]  # several times as fast as a format with a width
        return f"{self._second_text}.{digits}Z"

    def stamped(self) -> str:
        """The present as `stamp` writes it."""
        return self.stamp(self.now())

    def identifier(self) -> str:
        """128 random bits as 32 hexadecimal digits, cut from a block so that few requests pay for a system call."""
        at = self._at
        if at + _IDENTIFIER_DIGITS > len(self._digits):
            self._digits, at = os.urandom(_BLOCK_DIGITS // 2).hex(), 0
        self._at = at + _IDENTIFIER_DIGITS
        return self._digits[at : self._at]

    async def sleep(self, seconds: float) -> None:
        """Suspend the calling task."""
        await asyncio.sleep(seconds)

    def spawn(self, work: Coroutine[Any, Any, Any], name: str) -> asyncio.Task[Any]:
        """Run `work` beside the caller. The task is held until it ends, and an error that nobody awaits is logged."""
        task = asyncio.get_running_loop().create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    @property
    def running(self) -> frozenset[str]:
        """The names of the spawned tasks that have not ended."""
        return frozenset(task.get_name() for task in self._tasks)

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.error("task_failed", task=task.get_name(), error=type(error).__name__)
