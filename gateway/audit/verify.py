"""Follows a chain line by line and says what does not fit; knows no files, and cannot tell what was rewritten with the key.

An edit, a removal, an insertion and a change of order break the link between two lines. A cut breaks none: only a
checkpoint, best one that was kept elsewhere, shows that lines are missing at the end.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import orjson

from gateway.audit.chain import FIRST, digest
from gateway.audit.checkpoint import Checkpoint, CheckpointError, VerifierKey

_MOST_FINDINGS: Final = 100
_MOST_OPEN: Final = 100_000
_MOST_NAMED: Final = 20


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that an untouched log would not hold: where and what."""

    place: str
    reason: str

    def __str__(self) -> str:
        """In the form that editors and terminals make clickable."""
        return f"{self.place}: {self.reason}"


@dataclass(slots=True)
class Odd:
    """Exchanges without their two records: how many there are, and the request ids of the first few."""

    count: int = 0
    named: list[str] = field(default_factory=list)

    def add(self, request_id: str) -> None:
        """Count one more."""
        self.count += 1
        if len(self.named) < _MOST_NAMED:
            self.named.append(request_id)


class Follower:
    """Follows one chain from its first known line. Memory is bounded, however long or broken the log is."""

    def __init__(self, *, key: VerifierKey | None = None, attested: Iterable[Checkpoint] = ()) -> None:
        """`key` verifies checkpoints within the log, and `attested` are verified ones that must hold of it."""
        self._key = key
        self._attested: dict[int, list[Checkpoint]] = {}
        for checkpoint in attested:
            self._attested.setdefault(checkpoint.size, []).append(checkpoint)
        self.findings: list[Finding] = []
        self.lines = 0
        self.first_seq = 0
        self.seq = 0
        self.prev = FIRST
        self.place = "the log"
        self.opened: dict[str, tuple[int, Mapping[str, Any]]] = {}
        self.forgotten = 0
        self.strays = Odd()
        self.unclosed = Odd()
        self.oldest_needed: int | None = None
        self.signed = 0
        self.signed_to = 0
        self.proven_to = 0

    def begin_after(self, seq: int, prev: str) -> None:
        """Expect the first line to follow a line that is known but not followed here."""
        self.seq, self.prev, self.first_seq = seq, prev, seq + 1

    def feed(self, line: bytes, place: str) -> Mapping[str, Any] | None:
        """Take the next line, without its newline. Returns the record unless the line cannot be read."""
        self.place = place
        self.lines += 1
        record = _read(line)
        if record is None:
            self._find("this line is no record: it was changed, or something else was inserted")
            return None
        seq, prev = record["seq"], record["prev"]
        if not self.first_seq:
            self._begin(seq, prev)
        else:
            self._check_link(seq, prev)
        if record["type"] == "checkpoint":
            self._check_checkpoint(record, seq, prev)
        self.seq, self.prev = seq, digest(line)
        if seq in self._attested:
            self._compare(self._attested.pop(seq))
        self._follow_exchange(record)
        return record

    def finish(self) -> None:
        """Say what is missing at the end."""
        for size in sorted(self._attested):
            if size > self.seq:
                kept = self._attested[size][0].source
                self._find(f"the log ends at record {self.seq}, but {kept} attests {size} records: the end was cut off")
            elif size < self.first_seq:
                continue
            else:
                self._find(f"record {size}, which {self._attested[size][0].source} attests, is missing")

    def _find(self, reason: str) -> None:
        if len(self.findings) < _MOST_FINDINGS:
            self.findings.append(Finding(self.place, reason))

    def _begin(self, seq: int, prev: str) -> None:
        self.first_seq = seq
        if (seq == 1) != (prev == FIRST):
            self._find("the first record of a log, and only that, names 64 zeros as the one before it")

    def _check_link(self, seq: int, prev: str) -> None:
        expected = self.seq + 1
        if seq > expected:
            missing = f"record {expected} is" if seq == expected + 1 else f"records {expected} to {seq - 1} are"
            self._find(f"{missing} missing before record {seq}: removed, or moved elsewhere")
        elif seq < expected:
            self._find(f"record {seq} stands where {expected} belongs: inserted, repeated, or out of order")
        elif prev != self.prev:
            self._find(f"record {seq} does not fit the line before it: one of the two was changed")

    def _check_checkpoint(self, record: Mapping[str, Any], seq: int, prev: str) -> None:
        note = record.get("note")
        try:
            checkpoint = Checkpoint.read(note if isinstance(note, str) else "", self.place)
            if self._key is not None:
                self._key.verify(note if isinstance(note, str) else "")
        except CheckpointError as error:
            self._find(f"checkpoint of record {seq}: {error}")
            return
        if checkpoint.size != seq - 1 or checkpoint.digest != prev:
            self._find(f"the checkpoint in record {seq} is not one of the record before it")
            return
        if self._key is not None:
            self.signed += 1
            self.signed_to = checkpoint.size
        oldest = record.get("oldest_open")
        self.oldest_needed = oldest if isinstance(oldest, int) else seq

    def _compare(self, checkpoints: list[Checkpoint]) -> None:
        for checkpoint in checkpoints:
            if checkpoint.digest != self.prev:
                self._find(f"record {self.seq} is not the one that {checkpoint.source} attests: the log was rewritten")
            elif not self.findings:
                self.proven_to = max(self.proven_to, self.seq)

    def _follow_exchange(self, record: Mapping[str, Any]) -> None:
        kind = record["type"]
        request_id = record.get("request_id")
        if kind == "request" and isinstance(request_id, str) and record.get("method") is not None:
            if request_id in self.opened:
                self.strays.add(request_id)
            self.opened[request_id] = (record["seq"], record)
            if len(self.opened) > _MOST_OPEN:
                self._forget_oldest()
        elif kind == "response" and isinstance(request_id, str):
            # A log whose first lines are gone can hold the end of what began in them.
            if self.opened.pop(request_id, None) is None and self.first_seq == 1 and not self.forgotten:
                self.strays.add(request_id)
        elif kind == "start":
            # A start closes whatever an earlier run left open, so what is open now will stay so.
            for left in self.opened:
                self.unclosed.add(left)
            self.opened.clear()
            self.oldest_needed = record["seq"]

    def _forget_oldest(self) -> None:
        oldest = next(iter(self.opened))
        del self.opened[oldest]
        self.unclosed.add(oldest)
        self.forgotten += 1


def _read(line: bytes) -> dict[str, Any] | None:
    try:
        record = orjson.loads(line)
    except orjson.JSONDecodeError:
        return None
    if not isinstance(record, dict) or record.get("v") != 1:
        return None
    seq, prev, kind = record.get("seq"), record.get("prev"), record.get("type")
    shaped = isinstance(seq, int) and seq > 0 and isinstance(prev, str) and isinstance(kind, str)
    return record if shaped else None
