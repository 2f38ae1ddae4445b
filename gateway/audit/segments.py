"""The files of one log: the one that grows and the full ones before it; knows lines only as bytes with a number in front.

`audit.jsonl` grows. When it is full it becomes `audit.jsonl.<number of its first line>` and a new one begins, so that names
sort in the order of the chain.
"""

import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final, NamedTuple

from gateway.audit.chain import seq_of

LONGEST_LINE: Final = 1 << 20
"""A longer line is read as several broken ones, so that reading a damaged log needs little memory."""

_DIGITS: Final = 12
_NUMBERED = re.compile(r"[0-9]{12,19}").fullmatch
_CHUNK: Final = 256 << 10
_LAST_LINES: Final = 64 << 10


class Located(NamedTuple):
    """A line and where it stands. Lines count from 1; `whole` says that a newline ends it."""

    file: Path
    number: int
    line: bytes
    whole: bool


def files(path: Path) -> list[Path]:
    """The files of the log in the order of the chain; the growing one is the last, if it exists."""
    start = len(path.name) + 1
    full = sorted(
        (int(other.name[start:]), other) for other in path.parent.glob(f"{path.name}.*") if _NUMBERED(other.name[start:])
    )
    return [other for _, other in full] + ([path] if path.exists() else [])


def lines(path: Path) -> Iterator[Located]:
    """All lines of one file."""
    with path.open("rb") as file:
        for number, line in enumerate(iter(lambda: file.readline(LONGEST_LINE), b""), 1):
            yield _located(path, number, line)


def all_lines(path: Path) -> Iterator[Located]:
    """All lines of the log, also while a gateway writes and rotates it."""
    seen: set[int] = set()
    while (following := _unseen(path, seen)) is not None:
        try:
            file = following.open("rb")
        except FileNotFoundError:
            continue  # it was renamed or removed meanwhile; look again
        with file:
            seen.add(os.fstat(file.fileno()).st_ino)
            number = 0
            held = b""
            while True:
                while line := file.readline(LONGEST_LINE):
                    number += not held
                    held += line
                    if held.endswith(b"\n") or len(held) >= LONGEST_LINE:
                        yield _located(following, number, held)
                        held = b""
                # Once a later file is there this one is full, and what was added while we read it can be read now.
                if _unseen(path, seen) is None or not (line := file.readline(LONGEST_LINE)):
                    break
                number += not held
                held += line
                if held.endswith(b"\n"):
                    yield _located(following, number, held)
                    held = b""
            if held:
                yield _located(following, number, held)


def _unseen(path: Path, seen: set[int]) -> Path | None:
    for file in files(path):
        try:
            if file.stat().st_ino not in seen:
                return file
        except FileNotFoundError:
            continue
    return None


def _located(path: Path, number: int, line: bytes) -> Located:
    whole = line.endswith(b"\n")
    return Located(path, number, line[:-1] if whole else line, whole)


def last_line(path: Path) -> bytes:
    """The last whole line of a full file, without its newline; empty if there is none."""
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - _LAST_LINES))
        whole, newline, _ = file.read().rpartition(b"\n")
    return whole.rpartition(b"\n")[2] if newline else b""


class Segments:
    """Appends lines to the growing file, and starts a new one when it is full. Used by one thread at a time."""

    def __init__(self, path: Path, *, rotate: int, keep: int, write: Callable[[int, memoryview], int] = os.write) -> None:
        """`rotate` is the size in bytes at which a file is full, `keep` how many full ones stay; `write` is for faults."""
        self._path = path
        self._rotate_at = rotate
        self._keep = keep
        self._write = write
        self._descriptor = -1
        self._size = 0
        self._first: int | None = None
        self._whole = True

    def open(self) -> None:
        """Open the growing file for appending; its last line must be whole. Raises `OSError`."""
        self._descriptor = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self._size = os.fstat(self._descriptor).st_size
        self._first = None
        if self._size:
            with self._path.open("rb") as file:
                self._first = seq_of(file.readline(LONGEST_LINE))

    def append(self, lines: memoryview) -> tuple[int, str | None]:
        """Write whole lines. Returns how many bytes are in the log, and the reason that kept the rest from it.

        After a failure the log can end in the middle of a line; the next call must go on exactly there.
        """
        written = 0
        try:
            while written < len(lines):
                chunk = _whole_lines(lines[written : written + _CHUNK])
                if self._whole:
                    self._make_room(chunk)
                step = self._write(self._descriptor, chunk)
                self._whole = chunk[step - 1] == ord("\n") if step else self._whole
                self._size += step
                written += step
        except OSError as error:
            # The error itself would hold on to this frame, and with it to views of the journal.
            return written, error.strerror
        return written, None

    def _make_room(self, chunk: memoryview) -> None:
        if self._size and self._size + len(chunk) > self._rotate_at:
            self._start_new_file()
        if self._first is None:
            self._first = seq_of(bytes(chunk[:_CHUNK]))

    def _start_new_file(self) -> None:
        os.fdatasync(self._descriptor)
        if self._path.exists():  # else an earlier attempt failed after this step
            self._path.rename(self._path.with_name(f"{self._path.name}.{self._first or 0:0{_DIGITS}d}"))
        fresh = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        os.close(self._descriptor)
        self._descriptor, self._size, self._first = fresh, 0, None
        for old in files(self._path)[: -self._keep - 1]:
            old.unlink(missing_ok=True)

    def sync(self) -> None:
        """Wait until what was written is on the disk. Raises `OSError`."""
        os.fdatasync(self._descriptor)

    def close(self) -> None:
        """Close the growing file."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


def _whole_lines(chunk: memoryview) -> memoryview:
    """As much of it as ends with a newline, or all of it if it holds none."""
    if chunk[-1] == ord("\n"):
        return chunk
    end = bytes(chunk).rfind(b"\n") + 1
    return chunk[:end] if end else chunk
