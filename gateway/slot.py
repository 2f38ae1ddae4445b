"""The place of one worker, whoever holds it: what it says of itself, and what those before it have counted; starts nobody."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, Final, final

from gateway.control import Control
from gateway.metrics.figures import Figures

MEASURE: Final = 1.0
"""Seconds within which a worker has to tell its figures; else those that it told last are shown."""


@final
class Slot:
    """What the parent knows of one of its workers."""

    def __init__(self, number: int) -> None:
        """Nobody holds it yet."""
        self.number: Final = number
        self.ready: Final = asyncio.Event()
        self.unready: Sequence[str] = ("starting",)
        self.warnings: Sequence[str] = ()
        self.notices: Sequence[str] = ()
        self.name = ""
        """By which leases know the worker that holds it now, and no other."""
        self.control: Control | None = None
        self.process: asyncio.subprocess.Process | None = None
        self.heard: asyncio.Task[None] | None = None
        """What hears the worker, to its last word."""
        self.silent = 0
        self.replaced = False
        self.answer: asyncio.Future[Mapping[str, Any]] | None = None
        """What the worker will say of the configuration that it prepares."""
        self._figures: Figures | None = None
        self._kept: Final = Figures()
        self._told: Final = asyncio.Event()

    def hear(self, report: Mapping[str, Any]) -> None:
        """A report of the worker."""
        self.silent = 0
        if "prepared" in report:
            self.settle(report)
        elif "measured" in report:
            self._figures = Figures.read(report["measured"])
            self._told.set()
        else:
            self.unready, self.warnings = report.get("unready", ["unknown"]), report.get("warnings", [])
            self.notices = report.get("notices", [])
            if self.unready:
                self.ready.clear()
            else:
                self.ready.set()

    def settle(self, answer: Mapping[str, Any]) -> None:
        """The worker has prepared, or never will."""
        if self.answer is not None and not self.answer.done():
            self.answer.set_result(answer)

    async def measure(self) -> bool:
        """Have the worker tell its figures; whether it did, or there is none to tell them."""
        if self.process is None or self.control is None:
            return True
        self._told.clear()
        self.control.send({"do": "measure"})
        try:
            async with asyncio.timeout(MEASURE):
                await self._told.wait()
        except TimeoutError:
            return False
        return True

    def join_figures(self, whole: Figures) -> None:
        """Put in what this place has counted, whoever held it, and what is now."""
        whole.join(self._kept)
        if self._figures is not None:
            whole.join(self._figures)

    def bury(self) -> None:
        """The worker is gone. What it has counted stays counted, as far as it was told."""
        if self._figures is not None:
            self._kept.join(self._figures.kept())
        self._figures, self.process = None, None
        self._told.set()
        self.ready.clear()
        self.unready, self.notices = ("starting",), ()
