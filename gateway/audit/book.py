"""Appends records to the chain and hands each line to the sinks; knows nothing of what a record says."""

from collections.abc import Callable, Sequence
from typing import Final, final

from gateway.audit.chain import Chain
from gateway.audit.flood import Flood
from gateway.audit.journal import Journal
from gateway.audit.members import Members
from gateway.audit.sink import Sink
from gateway.audit.traffic import Traffic
from gateway.clock import Clock
from gateway.errors import Refusal


@final
class Book:
    """The end of the chain, where its lines go, and which exchanges are open."""

    __slots__ = ("_chain", "_copies", "_journal", "clock", "first_missed", "flood", "members", "open", "sync",
                 "traffic", "unrecorded")  # fmt: skip

    def __init__(self, clock: Clock, copies: Sequence[Sink] = (), digest_key: bytes = bytes(32)) -> None:
        """`copies` get every line as well. Under `digest_key` the arguments of tools are digested."""
        self.clock = clock
        self.members = Members(digest_key)
        self.open: dict[str, int] = {}
        """Request ids of open exchanges with the number of their request record, oldest first."""
        self.flood = Flood()
        """Refusals of strangers that are counted instead of recorded one by one."""
        self.traffic: Final = Traffic()
        """What has passed, counted for metrics whether it was recorded or not."""
        self.sync: Callable[[Callable[[bool], None]], None] = _never
        """Brings all lines so far to the disk, and says whether that was done."""
        self.unrecorded = 0
        """Refusals that could not be recorded since the last gap record."""
        self.first_missed: float | None = None
        self._journal: Journal | None = None
        self._copies = tuple(copies)
        self._chain = Chain()

    @property
    def seq(self) -> int:
        """The number of the last record."""
        return self._chain.seq

    @property
    def digest(self) -> str:
        """The digest of the last record's line."""
        return self._chain.prev

    def continue_from(self, seq: int, prev: str, journal: Journal) -> None:
        """Go on after the last line of an existing log, whose next lines `journal` takes."""
        self._chain = Chain(seq, prev)
        self._journal = journal

    @property
    def backlog(self) -> int:
        """Bytes of lines that are safe, and not yet in the log."""
        return 0 if self._journal is None else self._journal.backlog

    def reserve(self, size: int) -> bool:
        """Promise room for `size` bytes of lines; false if there is none, or no log yet."""
        return self._journal is not None and self._journal.reserve(size)

    def release(self, size: int) -> None:
        """Give room back."""
        if self._journal is not None:
            self._journal.release(size)

    def append(self, members: str) -> None:
        """Write one record, for which room was reserved. `members` are encoded, each with a comma after it."""
        chain, journal = self._chain, self._journal
        if journal is None:
            return
        line = chain.line(self.clock.stamped(), members)
        journal.put(line)
        for copy in self._copies:
            copy.put(line)
        chain.advance(line)

    def missed(self, refusal: Refusal) -> None:
        """Count a refusal for which there was no room; the number is recorded when there is room again."""
        if refusal.code == "audit_unavailable":
            self.unrecorded += 1
            if self.first_missed is None:
                self.first_missed = self.clock.now()


def _never(done: Callable[[bool], None]) -> None:
    """There is no log yet that could be brought anywhere."""
    done(False)  # noqa: FBT003 the one thing that is said
