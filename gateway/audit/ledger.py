"""Opens, seals and ends the audit log, and gives each request its record; knows no sink by name."""

import asyncio
import contextlib
from collections.abc import Mapping, Sequence
from typing import Any, Final

import orjson

from gateway.audit.book import Book
from gateway.audit.checkpoint import Signer
from gateway.audit.clean import clean
from gateway.audit.journal import LARGEST
from gateway.audit.record import Record
from gateway.audit.sink import Log, Sink, Tail
from gateway.audit.traffic import Traffic
from gateway.clock import Clock
from gateway.errors import DoorwardError, Refusal

NOTED: Final = frozenset({"task", "token", "revocation", "key", "credential", "exposure", "review", "config", "start", "stop"})
"""The types of record that other parts write through `note`."""

_OWN_MEMBERS: Final = frozenset({"v", "seq", "time", "type", "prev"})
LONGEST_STRING: Final = 1024
_DEEPEST: Final = 6
_MOST_MEMBERS: Final = 128
_NOTE_OVERHEAD: Final = 256
_SETTLE: Final = 0.5


class Ledger:
    """The audit log of one process. All calls come from the thread of its event loop."""

    def __init__(self, clock: Clock, signer: Signer, log: Log, copies: Sequence[Sink] = (), *, every: float = 10.0) -> None:
        """`log` keeps the chain, `copies` get every line as well; a checkpoint is signed after `every` seconds."""
        self._clock = clock
        self._signer = signer
        self._log = log
        self._copies = tuple(copies)
        self._every = every
        self._book = Book(clock, copies, signer.derive("arguments of tools"))
        self._sealed = 0
        self._started = False
        self._tasks: list[asyncio.Task[Any]] = []

    def __repr__(self) -> str:
        """Shows how far the chain has come."""
        return f"Ledger(seq {self._book.seq}, {len(self._book.open)} open, {'available' if self.available else 'unavailable'})"

    @property
    def available(self) -> bool:
        """Whether requests can be recorded, and so served."""
        return self._started and self._log.available

    @property
    def seq(self) -> int:
        """The number of the last record."""
        return self._book.seq

    @property
    def traffic(self) -> Traffic:
        """What the exchanges that have ended come to."""
        return self._book.traffic

    @property
    def open_exchanges(self) -> int:
        """How many exchanges were decided and have not ended."""
        return len(self._book.open)

    @property
    def backlog(self) -> int:
        """Bytes of lines that are safe, and not yet in the log."""
        return self._book.backlog

    def derive_key(self, purpose: str) -> bytes:
        """A key of this log for another purpose: 32 bytes, the same after every start."""
        return self._signer.derive(purpose)

    def open(self, source: str) -> Record:
        """The record of a new request from this address; nothing is written or reserved yet."""
        return Record(self._book, source)

    def note(self, kind: str, members: Mapping[str, object]) -> None:
        """Write a record of a type of `NOTED`. Strings are cleaned and capped; only JSON values are taken.

        Raises `Refusal("audit_unavailable")` if it cannot be taken, and `ValueError` for another type or a reserved member.
        """
        if kind not in NOTED:
            raise ValueError(f"{kind!r} is no type of record that can be noted")
        self._write(kind, members)

    async def start(self, members: Mapping[str, object] | None = None) -> None:
        """Continue the log, close as `unknown` what the last run left open, and write a start record with `members`.

        Raises `DoorwardError` if the log is locked, cannot be written, or is not as it was left.
        """
        tail = await asyncio.to_thread(self._log.recover)
        self._book.continue_from(tail.seq, tail.prev, self._log.journal)
        await self._log.start()
        self._book.sync = self._log.sync
        for copy in self._copies:
            await copy.start()
        await self._close_unknown(tail)
        repaired = {"unclosed": len(tail.unclosed), "recovered": tail.recovered, "set_aside": tail.set_aside}
        try:
            self._write("start", {**(members or {}), **repaired})
        except Refusal:
            raise DoorwardError("the audit log cannot be written; see the log above for the reason") from None
        self._started = True
        self._tasks = [
            self._clock.spawn(self._seal_regularly(), "audit-checkpoints"),
            self._clock.spawn(self._settle_regularly(), "audit-gaps"),
        ]

    async def stop(self, members: Mapping[str, object] | None = None) -> None:
        """Write a stop record and a checkpoint, pass everything on, and let go of the log."""
        for task in self._tasks:
            task.cancel()
        for task in self._tasks:
            with contextlib.suppress(asyncio.CancelledError):
                await task
        self._tasks = []
        if self._started:
            self._started = False
            self._settle()
            with contextlib.suppress(Refusal):
                self._write("stop", {**(members or {}), "open": len(self._book.open)})
            self._seal()
        await self._log.stop()
        for copy in self._copies:
            await copy.stop()

    async def _close_unknown(self, tail: Tail) -> None:
        for request in tail.unclosed:
            kept = {name: request.get(name) for name in ("request_id", "trace_id", "tenant", "agent", "task", "upstream")}
            unknown = {"status": None, "code": None, "ending": "unknown", "received": None, "sent": None, "attempts": None,
                       "scrubbed": None, "duration_us": None, "upstream_us": None, "credential": None,
                       "error": None}  # fmt: skip
            try:
                self._write("response", {**kept, **unknown})
            except Refusal:
                if not await self._log.flush():
                    raise DoorwardError("the audit log cannot be written; see the log above for the reason") from None
                self._write("response", {**kept, **unknown})

    def _write(self, kind: str, members: Mapping[str, object]) -> None:
        encoded = _encode(members)
        size = len(encoded) + _NOTE_OVERHEAD
        if size > LARGEST or not self._book.reserve(size):
            raise Refusal("audit_unavailable")
        self._book.append(f'"type":"{kind}",{encoded.decode()}')
        self._book.release(size)

    async def _seal_regularly(self) -> None:
        while True:
            await self._clock.sleep(self._every)
            self._seal()

    def _seal(self) -> None:
        """Sign the end of the chain, if there is anything new to sign."""
        book = self._book
        if book.seq == self._sealed or not self._log.available:
            return
        note = self._signer.sign(book.seq, book.digest)
        oldest = next(iter(book.open.values()), None)
        with contextlib.suppress(Refusal):
            self._write_checkpoint(book.seq, oldest, note)
            self._log.attest(note)
            self._sealed = book.seq

    def _write_checkpoint(self, size: int, oldest: int | None, note: str) -> None:
        encoded = orjson.dumps({"size": size, "oldest_open": oldest, "note": note})[1:-1] + b","
        reserved = len(encoded) + _NOTE_OVERHEAD
        if not self._book.reserve(reserved):
            raise Refusal("audit_unavailable")
        self._book.append(f'"type":"checkpoint",{encoded.decode()}')
        self._book.release(reserved)

    async def _settle_regularly(self) -> None:
        while True:
            await self._clock.sleep(_SETTLE)
            self._settle()

    def _settle(self) -> None:
        """Record how many refusals were only counted, and how many could not be recorded, once there is room again."""
        book = self._book
        if self._log.available:
            with contextlib.suppress(Refusal):
                for counted in book.flood.drain():
                    since = self._clock.stamp(counted.since)
                    self._write("refusals", {"source": counted.source, "since": since, "codes": counted.codes})
        if book.unrecorded and self._log.available and book.first_missed is not None:
            with contextlib.suppress(Refusal):
                self._write("gap", {"unrecorded": book.unrecorded, "since": self._clock.stamp(book.first_missed)})
                book.unrecorded, book.first_missed = 0, None


def _encode(members: Mapping[str, object]) -> bytes:
    """JSON members, each with a comma after it."""
    if reserved := members.keys() & _OWN_MEMBERS:
        raise ValueError(f"the ledger itself writes {', '.join(sorted(reserved))}")
    encoded = orjson.dumps(_cleaned(members, 0))
    return encoded[1:-1] + b"," if members else b""


def _cleaned(value: object, depth: int) -> object:
    if depth > _DEEPEST:
        raise ValueError("a record is not so deep")
    if isinstance(value, str):
        return clean(value, LONGEST_STRING)
    if isinstance(value, Mapping):
        pairs = list(value.items())[:_MOST_MEMBERS]
        return {clean(str(name), LONGEST_STRING): _cleaned(member, depth + 1) for name, member in pairs}
    if isinstance(value, (list, tuple, set, frozenset)):
        members = sorted(value) if isinstance(value, (set, frozenset)) else list(value)
        return [_cleaned(member, depth + 1) for member in members[:_MOST_MEMBERS]]
    if value is None or isinstance(value, (bool, int, float)):
        return value
    raise ValueError(f"a record holds no {type(value).__name__}")
