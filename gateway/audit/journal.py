"""Keeps lines safe from the death of the process until they are in the log file; knows nothing of what they say.

The journal is a preallocated file, mapped and shared, in two halves. What was copied into the map belongs to the kernel
and outlives the process without a system call. Lines fill one half from its start; a writer takes them from there into
the log. A half whose lines have all been written is free again, and the halves take turns.

A line counts once its first byte is there: that byte is stored last, and the byte after every line is zero. So a line
torn by a kill is no line, and no length has to be trusted.
"""

import fcntl
import mmap
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from gateway.errors import DoorwardError

HALF: Final = 8 << 20
LARGEST: Final = 24 << 10
"""No line is longer, in bytes with its newline."""

_BRACE: Final = ord("{")
_END: Final = b"\n\0"
_MARKS: Final = 2


class Journal:
    """Two halves in shared memory, and how many of their bytes are promised to lines that are still to come."""

    __slots__ = ("_active", "_base", "_closed", "_descriptor", "_done", "_end", "_half", "_memory", "_room", "_used", "_woken",
                 "reserved", "taking", "wake")  # fmt: skip

    def __init__(self, path: Path, half: int = HALF) -> None:
        """Open or create the journal and lock it. Raises `DoorwardError` if another process holds it.

        `half` is in bytes. What a journal of another size holds can still be read with `lines`; `clear` gives it this size.
        """
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            _lock(self._descriptor, path)
            self._half = half
            self.reserved = 0
            self.taking = False
            """Whether room may be promised now. Lines for which it was promised before are taken all the same."""
            self.wake: Callable[[], None] = _nobody
            """Called with the first line after a look at what is pending, so that its writer need not be told of each."""
            self._woken = False
            self._closed = False
            self._map(half)
        except BaseException:
            os.close(self._descriptor)
            raise

    def _map(self, half: int) -> None:
        size = os.fstat(self._descriptor).st_size
        if size in (0, 2 * half):
            # Allocated now, so that a full disk shows here and not as a fatal signal on some later store.
            os.posix_fallocate(self._descriptor, 0, 2 * half)
            size = 2 * half
        self._memory = mmap.mmap(self._descriptor, size, mmap.MAP_SHARED)
        self._base = [0, size // 2]
        self._take(0)
        self._done = [0, size // 2]
        self._used = [0, size // 2]
        self._measure()

    def _take(self, half: int) -> None:
        self._active = half
        self._end = self._base[half] + self._half

    def _measure(self) -> None:
        """Count what lines may still fill: the rest of this half, and the other if it is free, less what a turn wastes."""
        other = 1 - self._active
        self._room = self._end - self._used[self._active] - _MARKS
        if self._used[other] == self._base[other]:
            self._room += self._half - LARGEST - _MARKS

    def lines(self) -> Iterator[bytes]:
        """All lines in the journal without their newlines, written to the log or not, in no certain order of the halves."""
        memory = self._memory
        half = len(memory) // 2
        for start in (0, half):
            at = start
            while at < start + half and memory[at] == _BRACE and (end := memory.find(b"\n", at, start + half)) >= 0:
                yield memory[at:end]
                at = end + 1

    def clear(self) -> None:
        """Forget all lines, for they are in the log."""
        if len(self._memory) != 2 * self._half:
            self._memory.close()
            os.ftruncate(self._descriptor, 0)
            self._map(self._half)
        for half in (0, 1):
            self._free(half)
        self._take(0)
        self._measure()

    def reserve(self, size: int) -> bool:
        """Promise `size` bytes to lines still to come, newlines counted; false if there is no room or nobody writes."""
        reserved = self.reserved + size
        if reserved > self._room or not self.taking:
            return False
        self.reserved = reserved
        return True

    def release(self, size: int) -> None:
        """Give back what `reserve` promised, used or not."""
        self.reserved -= size

    def put(self, line: bytes) -> None:
        """Take a line for which room was reserved; after the end it is dropped, for its exchange then reads as `unknown`."""
        if self._closed:
            return
        size = len(line)
        active = self._active
        at = self._used[active]
        end = at + size
        if end + _MARKS > self._end:
            at = self._turn()
            end = at + size
            active = self._active
        memory = self._memory
        memory[at + 1 : end + _MARKS] = line[1:] + _END
        memory[at] = _BRACE
        self._used[active] = end + 1
        self._room -= size + 1
        if not self._woken:
            self._woken = True
            self.wake()

    def _turn(self) -> int:
        other = 1 - self._active
        if self._used[other] != self._base[other]:
            raise OverflowError("a line was put for which no room had been reserved")
        self._take(other)
        self._measure()
        return self._base[other]

    def pending(self) -> list[memoryview]:
        """What is still to be written to the log, in order; the views must be released before the journal is closed."""
        self._woken = False
        view = memoryview(self._memory)
        order = (1 - self._active, self._active)
        return [view[self._done[half] : self._used[half]] for half in order if self._done[half] < self._used[half]]

    @property
    def backlog(self) -> int:
        """How many bytes are still to be written to the log."""
        return self._used[0] - self._done[0] + self._used[1] - self._done[1]

    def written(self, size: int) -> None:
        """Learn that the first `size` bytes of what was pending are in the log; halves without pending lines become free."""
        for half in (1 - self._active, self._active):
            step = min(size, self._used[half] - self._done[half])
            self._done[half] += step
            size -= step
            if self._done[half] == self._used[half]:
                self._free(half)
        self._measure()

    def _free(self, half: int) -> None:
        self._memory[self._base[half]] = 0
        self._done[half] = self._used[half] = self._base[half]

    def close(self) -> None:
        """Let go of the map and the lock; the lines stay in the file."""
        self._closed = True
        self._memory.close()
        os.close(self._descriptor)


def _nobody() -> None:
    """Before there is a writer, lines wait for it."""


def _lock(descriptor: int, path: Path) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise DoorwardError(
            f"{path}: another process writes this audit log; stop it, or give this one a log of its own (audit.sinks)"
        ) from None
