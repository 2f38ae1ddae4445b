"""Carries lines from the event loop to a device in batches, by one thread; knows neither the lines nor the device."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeVar

from gateway.clock import Clock

T = TypeVar("T")

PAUSE: Final = 0.02
"""Seconds for which lines gather."""
RETRY: Final = 1.0
"""Seconds after which a failed step is tried again."""


class Pump:
    """Runs `step` soon after each poke, never twice at once, and again later if it says false."""

    def __init__(self, clock: Clock, name: str, step: Callable[[], Awaitable[bool]]) -> None:
        """`name` is that of the task and the thread."""
        self._clock = clock
        self._name = name
        self._step = step
        self._poked = asyncio.Event()
        self._one_at_a_time = asyncio.Lock()
        self._threads = ThreadPoolExecutor(max_workers=1, thread_name_prefix=name)
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin; pokes from before count."""
        self._task = self._clock.spawn(self._run(), self._name)

    def poke(self) -> None:
        """Say that there is something to do."""
        if not self._poked.is_set():
            self._poked.set()

    async def in_thread(self, work: Callable[[], T]) -> T:
        """Run `work` in the pump's thread, to its end even if the waiting task is cancelled."""
        return await asyncio.shield(asyncio.get_running_loop().run_in_executor(self._threads, work))

    async def run_step(self) -> bool:
        """Run the step now, after the one that may be running."""
        async with self._one_at_a_time:
            return await self._step()

    async def stop(self) -> bool:
        """Run the step a last time and end. Returns what it said."""
        if self._task is not None:
            async with self._one_at_a_time:
                self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
            self._task = None
        done = await self.run_step()
        self._threads.shutdown(wait=False)
        return done

    async def _run(self) -> None:
        while True:
            await self._poked.wait()
            await self._clock.sleep(PAUSE)
            self._poked.clear()
            if not await self.run_step():
                await self._clock.sleep(RETRY)
                self._poked.set()
