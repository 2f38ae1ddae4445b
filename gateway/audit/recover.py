"""Finds the end of an existing log, proves that it fits, and completes it from the journal; knows nothing of new records."""

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from gateway.audit import segments
from gateway.audit.chain import FIRST, continues, digest, seq_of
from gateway.audit.checkpoint import Checkpoint, CheckpointError, VerifierKey
from gateway.audit.sink import Tail
from gateway.audit.verify import Follower
from gateway.errors import DoorwardError


@dataclass(frozen=True, slots=True)
class _Read:
    follower: Follower
    torn: bytes


def recover(path: Path, journalled: Iterable[bytes], checkpoint: Path, key: VerifierKey | None) -> Tail:
    """Check the last files of the log, cut a torn last line, and append the lines of the journal that continue the chain.

    Nothing on the disk is changed before everything was checked. Raises `DoorwardError` if the log is not as it was left.
    """
    waiting = {seq: line for line in journalled if (seq := seq_of(line)) is not None}
    read = _read_end(path, _attested(checkpoint, key))
    follower = read.follower
    appended = []
    while (line := waiting.get(follower.seq + 1)) is not None and continues(line, follower.prev):
        follower.feed(line, "the journal")
        appended.append(line)
    follower.finish()
    if follower.findings:
        raise DoorwardError(
            f"{follower.findings[0]}. Doorward does not continue an audit log that is not as it was left. Keep its files for "
            f"an investigation: move {path}* elsewhere, all together, and the next start begins a new log"
        )
    torn_elsewhere = read.torn if not (appended and appended[0].startswith(read.torn)) else b""
    _repair(path, follower.seq, read.torn, torn_elsewhere, appended)
    return Tail(
        seq=follower.seq,
        prev=follower.prev,
        unclosed=tuple(record for _, record in follower.opened.values()),
        recovered=len(appended),
        set_aside=len(torn_elsewhere),
    )


def _attested(checkpoint: Path, key: VerifierKey | None) -> list[Checkpoint]:
    try:
        note = checkpoint.read_text()
    except FileNotFoundError:
        return []
    try:
        if key is not None:
            key.verify(note)
        return [Checkpoint.read(note, str(checkpoint))]
    except CheckpointError as error:
        raise DoorwardError(
            f"{checkpoint}: {error}. If the key of the checkpoints was replaced on purpose, move the log and this file away "
            "together, and the next start begins a new log"
        ) from None


def _read_end(path: Path, attested: list[Checkpoint]) -> _Read:
    """Follow the chain from the file that holds the oldest exchange that can still be open."""
    found = [file for file in segments.files(path) if file.stat().st_size]
    start = max(0, len(found) - 1)
    while True:
        read = _follow(path, found[:start], found[start:], attested)
        needed = read.follower.oldest_needed
        if start == 0 or read.follower.findings or (needed is not None and needed >= read.follower.first_seq):
            return read
        start -= 1
        while needed is not None and start > 0 and _first_seq(found[start]) > needed:
            start -= 1


def _follow(path: Path, before: list[Path], found: list[Path], attested: list[Checkpoint]) -> _Read:
    """Only the last file can end with a torn line; anywhere else it is fed like a line, and found."""
    follower = Follower(attested=attested)
    if before:
        link = segments.last_line(before[-1])
        follower.begin_after(seq_of(link) or 0, digest(link))
    elif not found:
        follower.begin_after(0, FIRST)
    torn = b""
    for file in found:
        for located in segments.lines(file):
            if located.whole or file != path:
                follower.feed(located.line, f"{file}:{located.number}")
            else:
                torn = located.line
    return _Read(follower, torn)


def _first_seq(file: Path) -> int:
    with file.open("rb") as opened:
        return seq_of(opened.readline(segments.LONGEST_LINE)) or 0


def _repair(path: Path, seq: int, torn: bytes, torn_elsewhere: bytes, appended: list[bytes]) -> None:
    if torn_elsewhere:
        aside = os.open(path.with_name(f"{path.name}.torn-{seq}"), os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
        with os.fdopen(aside, "wb") as file:
            file.write(torn_elsewhere)
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        if torn:
            file.truncate(os.fstat(descriptor).st_size - len(torn))
        file.writelines(line + b"\n" for line in appended)
        file.flush()
        os.fsync(descriptor)
