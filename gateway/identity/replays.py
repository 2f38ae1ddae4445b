"""Remembers which proofs have come, for all processes of one gateway in one piece of memory; knows nothing of what they prove.

Each process writes to a segment of its own and reads those of all. It writes before it reads, so of two that are shown one
proof at the same moment at least one sees what the other has written; none needs a lock, and none asks anybody.

A segment has a table for each of three periods: the two whose nonces are accepted, and one that is emptied meanwhile. A table
is open addressing over 64-bit marks. It says itself which period it is of, so that nobody reads what is left of an older one.
"""

import mmap
import os
import secrets
from hashlib import blake2b
from typing import Final, NamedTuple, final

PLACES: Final = 1 << 19
"""The places of a table; half of them may be filled."""
KEY_BYTES: Final = 32
"""Of the key under which proofs are remembered, and nonces made."""
TABLES: Final = 3
"""The tables of a segment. With two, one could be emptied under the eyes of a process that has just seen the clock change."""
_MARK_BYTES: Final = 8
_HEADER: Final = mmap.PAGESIZE
_TABLE_BYTES: Final = _HEADER + PLACES * _MARK_BYTES
SEGMENT_BYTES: Final = TABLES * _TABLE_BYTES
"""The address space of one process; only what is written to takes memory."""
_SLOT: Final = _TABLE_BYTES // _MARK_BYTES
_FIRST: Final = _HEADER // _MARK_BYTES


class FullError(Exception):
    """So many proofs came in this period that no more can be remembered, and so none accepted."""


class SharedProofs(NamedTuple):
    """What one of several processes has to know to remember proofs with the others, who have the same key.

    Without a `descriptor` there are no others. `number` counts from 0.
    """

    key: bytes
    descriptor: int | None = None
    number: int = 0
    processes: int = 1


def alone() -> SharedProofs:
    """For a process that is the only one of its gateway."""
    return SharedProofs(secrets.token_bytes(KEY_BYTES))


def shared_memory(processes: int) -> int:
    """The descriptor of a new memory for so many processes; whoever inherits it can map it."""
    descriptor = os.memfd_create("doorward-proofs", os.MFD_CLOEXEC)
    os.ftruncate(descriptor, processes * SEGMENT_BYTES)
    return descriptor


@final
class Replays:
    """The proofs that came to any process of the gateway."""

    def __init__(self, share: SharedProofs) -> None:
        """What another process had written under the same number before is still there."""
        _, descriptor, number, processes = share
        self._memory: Final = mmap.mmap(-1 if descriptor is None else descriptor, processes * SEGMENT_BYTES)
        self._words: Final = memoryview(self._memory).cast("Q")
        self._key: Final = share.key
        self._own: Final = number * TABLES * _SLOT
        self._others: Final = tuple(other * TABLES * _SLOT for other in range(processes) if other != number)

    def close(self) -> None:
        """Let go of the memory."""
        self._words.release()
        self._memory.close()

    def is_new(self, period: int, holder: str, name: str) -> bool:
        """Remember a proof of this period, by who made it and its `jti`; false if it came before. Raises `FullError`."""
        mark = int.from_bytes(blake2b(f"{holder} {name}".encode(), digest_size=_MARK_BYTES, key=self._key).digest(), "big") or 1
        table = (period % TABLES) * _SLOT
        if not self._write(self._own + table, period, mark):
            return False
        return not any(self._holds(other + table, period, mark) for other in self._others)

    def _write(self, at: int, period: int, mark: int) -> bool:
        words = self._words
        if words[at] != period:
            self._empty(at)
            words[at] = period
        first, place = at + _FIRST, mark % PLACES
        while (found := words[first + place]) != 0:
            if found == mark:
                return False
            place = (place + 1) % PLACES
        if words[at + 1] >= PLACES // 2:
            raise FullError
        words[at + 1] += 1
        words[first + place] = mark
        return True

    def _holds(self, at: int, period: int, mark: int) -> bool:
        words = self._words
        if words[at] != period:
            return False
        first, place = at + _FIRST, mark % PLACES
        while (found := words[first + place]) != 0:
            if found == mark:
                return True
            place = (place + 1) % PLACES
        return False

    def _empty(self, at: int) -> None:
        """Give the pages back, which leaves zeros."""
        self._words[at] = 0
        self._memory.madvise(mmap.MADV_REMOVE, at * _MARK_BYTES, _TABLE_BYTES)
