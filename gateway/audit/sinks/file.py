"""Keeps the chain in JSON-lines files, and every line safe before a request is forwarded; knows nothing of what lines say.

file: {path: var/audit.jsonl, rotate: 100MiB, keep: 30, durability: written}
"""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Final, Literal

from pydantic import AfterValidator, Field, model_validator

from gateway import telemetry
from gateway.audit.checkpoint import VerifierKey
from gateway.audit.journal import HALF, Journal
from gateway.audit.pump import Pump
from gateway.audit.recover import recover
from gateway.audit.segments import Segments
from gateway.audit.sink import Tail
from gateway.clock import Clock
from gateway.errors import DoorwardError
from gateway.kind import Config as BaseConfig
from gateway.kind import Count, Size, shorthand

_log = telemetry.logger("audit")

_SMALLEST_FILE: Final = 1 << 20


def _large_enough(size: int) -> int:
    if size < _SMALLEST_FILE:
        raise ValueError("a file of the log holds at least 1MiB")
    return size


def _names_a_file(text: str) -> str:
    if not Path(text).name or text.endswith("/"):
        raise ValueError("expected the path of a file such as var/audit.jsonl")
    return text


class Config(BaseConfig):
    """A log of JSON lines on a local disk."""

    path: Annotated[str, AfterValidator(_names_a_file)] = "var/audit.jsonl"
    """The file that grows. Its journal, its newest checkpoint and its older files stand beside it."""
    rotate: Annotated[Size, AfterValidator(_large_enough)] = 100 << 20
    """The size at which a new file begins; the chain runs on."""
    keep: Count = Field(default=30, ge=1, le=100_000)
    """How many full files stay; older ones are removed."""
    durability: Literal["written"] = "written"
    """`written`: a record survives the death of Doorward before its request is forwarded."""

    _expand = model_validator(mode="before")(shorthand("path"))


class FileSink:
    """The log on a disk: a journal that takes lines at once, and files that one thread fills from it."""

    def __init__(
        self,
        config: Config,
        clock: Clock,
        path: Path,
        *,
        key: VerifierKey | None = None,
        half: int = HALF,
        write: Callable[[int, memoryview], int] = os.write,
    ) -> None:
        """`key` verifies the checkpoint kept beside the log, `half` is half the journal in bytes, `write` is for faults."""
        self._path = path
        self._checkpoint = path.with_name(path.name + ".checkpoint")
        self._key = key
        self._half = half
        self._segments = Segments(path, rotate=config.rotate, keep=config.keep, write=write)
        self._journal: Journal | None = None
        self._pump = Pump(clock, "audit-file", self._step)
        self._failed = False
        self._open = False
        self._note: str | None = None
        self._clock = clock
        self._waiting: list[Callable[[bool], None]] = []
        """Who waits for what was put before to be on the disk."""

    def __repr__(self) -> str:
        """Shows where the log is and whether it can be written."""
        return f"FileSink({self._path}, {'available' if self.available else 'unavailable'})"

    @property
    def available(self) -> bool:
        """Whether lines are taken and can be written."""
        return self._open and not self._failed

    def recover(self) -> Tail:
        """Lock the log, complete it from the journal, and check its end."""
        try:
            self._path.parent.mkdir(parents=True, mode=0o711, exist_ok=True)
            journal = Journal(self._path.with_name(self._path.name + ".journal"), self._half)
            try:
                tail = recover(self._path, journal.lines(), self._checkpoint, self._key)
                self._segments.open()
                journal.clear()
            except BaseException:
                journal.close()
                raise
        except OSError as error:
            raise DoorwardError(f"{self._path}: the audit log cannot be opened: {error.strerror}") from None
        self._journal = journal
        journal.wake = self._pump.poke
        return tail

    async def start(self) -> None:
        """Take lines, after `recover`."""
        self._open = True
        self.journal.taking = True
        self._pump.start()

    @property
    def journal(self) -> Journal:
        """The journal that `recover` opened."""
        if self._journal is None:
            raise DoorwardError(f"{self._path}: the audit log is not open")
        return self._journal

    def put(self, line: bytes) -> None:
        """Take a line as any sink does. The book puts its lines into the journal itself."""
        if self._journal is not None:
            self._journal.put(line)

    def attest(self, note: str) -> None:
        """Keep the checkpoint with the next batch."""
        self._note = note
        self._pump.poke()

    def sync(self, done: Callable[[bool], None]) -> None:
        """Bring what was put to the disk; all who ask while a step runs share the next one."""
        self._waiting.append(done)
        if len(self._waiting) == 1:
            self._clock.spawn(self._pump.run_step(), "audit-sync")

    async def flush(self) -> bool:
        """Write now."""
        return await self._pump.run_step()

    async def stop(self) -> None:
        """Write what is left; what cannot be written stays in the journal for the next start."""
        self._open = False
        if self._journal is not None:
            self._journal.taking = False
        await self._pump.stop()
        if self._journal is not None:
            self._journal.close()
            self._journal = None
        self._segments.close()

    async def _step(self) -> bool:
        journal, note = self._journal, self._note
        if journal is None:
            return True
        pending = journal.pending()
        waiting, self._waiting = self._waiting, []
        size, error = await self._pump.in_thread(lambda: self._write(pending, note, sync=bool(waiting)))
        for lines in pending:
            lines.release()
        journal.written(size)
        if error is None and self._note is note:
            self._note = None
        self._tell(error)
        for done in waiting:
            done(error is None)
        return error is None

    def _write(self, pending: list[memoryview], note: str | None, *, sync: bool) -> tuple[int, str | None]:
        """In the pump's thread: lines first, so that a checkpoint never attests what is not there."""
        total = 0
        for lines in pending:
            size, error = self._segments.append(lines)
            total += size
            if error is not None:
                return total, error
        try:
            if note is not None or sync:
                self._segments.sync()
            if note is not None:
                _replace(self._checkpoint, note)
        except OSError as error:
            return total, error.strerror
        return total, None

    def _tell(self, error: str | None) -> None:
        if error is not None and not self._failed:
            _log.error("audit_log_failed", path=str(self._path), error=error)
        elif error is None and self._failed:
            _log.info("audit_log_resumed", path=str(self._path))
        self._failed = error is not None
        if self._journal is not None:
            self._journal.taking = self.available


def _replace(path: Path, text: str) -> None:
    fresh = path.with_name(path.name + ".new")
    fresh.write_text(text)
    fresh.chmod(0o600)
    fresh.replace(path)


def build(config: Config, clock: Clock, resolve: Callable[[str], Path], key: VerifierKey | None = None) -> FileSink:
    """`resolve` makes a path of the configuration absolute."""
    return FileSink(config, clock, resolve(config.path), key=key)
