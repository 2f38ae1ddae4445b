"""What a sink is, and what more the one that keeps the chain can do; knows no sink by name."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from gateway.audit.chain import FIRST
from gateway.audit.journal import Journal


@dataclass(frozen=True, slots=True)
class Tail:
    """Where an existing log ends, and what its last run left behind."""

    seq: int = 0
    prev: str = FIRST
    unclosed: tuple[Mapping[str, Any], ...] = ()
    """The request records of exchanges without a closing record, oldest first."""
    recovered: int = 0
    """How many lines came out of the journal."""
    set_aside: int = 0
    """How many bytes of a torn last line were moved out of the log."""


class Sink(Protocol):
    """Where records go. All calls come from the thread of the event loop, and none of them waits for a device."""

    async def start(self) -> None:
        """Begin to take lines. Raises `DoorwardError`."""

    async def stop(self) -> None:
        """Pass on what was taken, within a bound of time, and let go."""

    def put(self, line: bytes) -> None:
        """Take one line without its newline; a sink that is full drops it whole and counts it. Never raises."""


class Log(Sink, Protocol):
    """The sink that keeps the chain. Its journal can promise room, so that a record once promised cannot be lost."""

    @property
    def available(self) -> bool:
        """False while lines cannot be written; those that were taken are kept."""

    def recover(self) -> Tail:
        """Lock the log, repair what a kill left, and check the end of the chain. Waits for the disk. Raises `DoorwardError`."""

    @property
    def journal(self) -> Journal:
        """What takes the lines of the chain at once, after `recover`; a new one after each."""

    def attest(self, note: str) -> None:
        """Keep this checkpoint beside the log once the lines put so far are on the disk."""

    def sync(self, done: Callable[[bool], None]) -> None:
        """Tell `done` when all lines put so far are on the disk, or that they could not be brought there."""

    async def flush(self) -> bool:
        """Write the lines put so far; false if that failed."""
