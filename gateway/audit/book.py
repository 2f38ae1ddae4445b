"""Appends records to the chain and hands each line to the sinks; knows nothing of what a record says."""

from collections.abc import Sequence

from gateway.audit.chain import Chain
from gateway.audit.flood import Flood
from gateway.audit.members import Members
from gateway.audit.sink import Log, Sink
from gateway.clock import Clock
from gateway.errors import Refusal


class Book:
    """The end of the chain, the sinks, and which exchanges are open."""

    __slots__ = ("_chain", "_copies", "_log", "clock", "first_missed", "flood", "members", "open", "unrecorded")

    def __init__(self, clock: Clock, log: Log, copies: Sequence[Sink] = ()) -> None:
        """`log` keeps the chain, `copies` get every line as well."""
        self.clock = clock
        self.members = Members()
        self.open: dict[str, int] = {}
        """Request ids of open exchanges with the number of their request record, oldest first."""
        self.flood = Flood()
        """Refusals of strangers that are counted instead of recorded one by one."""
        self.unrecorded = 0
        """Refusals that could not be recorded since the last gap record."""
        self.first_missed: float | None = None
        self._log = log
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

    def continue_from(self, seq: int, prev: str) -> None:
        """Go on after the last line of an existing log."""
        self._chain = Chain(seq, prev)

    def reserve(self, size: int) -> bool:
        """Promise room for `size` bytes of lines."""
        return self._log.reserve(size)

    def release(self, size: int) -> None:
        """Give room back."""
        self._log.release(size)

    def append(self, members: str) -> None:
        """Write one record, for which room was reserved. `members` are encoded, each with a comma after it."""
        clock, chain = self.clock, self._chain
        line = chain.line(clock.stamp(clock.now()), members)
        self._log.put(line)
        for copy in self._copies:
            copy.put(line)
        chain.advance(line)

    def missed(self, refusal: Refusal) -> None:
        """Count a refusal for which there was no room; the number is recorded when there is room again."""
        if refusal.code == "audit_unavailable":
            self.unrecorded += 1
            if self.first_missed is None:
                self.first_missed = self.clock.now()
