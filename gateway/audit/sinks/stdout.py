"""Copies audit lines to standard output for whoever collects it; knows nothing of the chain and keeps nothing.

stdout: {}
"""

import os
import select
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Final

from gateway import telemetry
from gateway.audit.checkpoint import VerifierKey
from gateway.audit.pump import Pump
from gateway.clock import Clock
from gateway.kind import Config as BaseConfig

_log = telemetry.logger("audit")

_MOST_WAITING: Final = 4 << 20
_STANDARD_OUTPUT: Final = 1
_PATIENCE: Final = 1000
"""Milliseconds that a thread waits for a reader, which bounds how long the end of the program can take."""


class Config(BaseConfig):
    """Standard output. Nothing says whether anybody reads it, so it cannot be a required sink."""


class StdoutSink:
    """A bounded queue before standard output. When nobody reads, whole lines are dropped and counted."""

    def __init__(self, clock: Clock, *, descriptor: int, most: int = _MOST_WAITING) -> None:
        """`most` is how many bytes may wait."""
        self._descriptor = descriptor
        self._most = most
        self._waiting: deque[bytes] = deque()
        self._batch = b""
        self._size = 0
        self._pump = Pump(clock, "audit-stdout", self._step)
        self.dropped = 0

    def __repr__(self) -> str:
        """Shows how many lines wait and how many were dropped."""
        return f"StdoutSink({len(self._waiting)} waiting, {self.dropped} dropped)"

    async def start(self) -> None:
        """Begin to write."""
        self._pump.start()

    async def stop(self) -> None:
        """Write what waits, unless the reader is stuck."""
        await self._pump.stop()

    def put(self, line: bytes) -> None:
        """Queue the line."""
        if self._size + len(line) + 1 > self._most:
            self.dropped += 1
            return
        self._size += len(line) + 1
        self._waiting.append(line)
        self._pump.poke()

    async def _step(self) -> bool:
        if self.dropped:
            _log.warning("audit_copies_dropped", sink="stdout", lines=self.dropped)
            self.dropped = 0
        if self._waiting:
            self._batch += b"\n".join(self._waiting) + b"\n"
            self._waiting.clear()
        batch = self._batch
        written, error = await self._pump.in_thread(lambda: _write(self._descriptor, batch))
        if error is not None:
            _log.error("audit_copies_failed", sink="stdout", error=error)
            written = len(batch)
        self._batch = batch[written:]
        self._size -= written
        return not self._batch


def _write(descriptor: int, batch: bytes) -> tuple[int, str | None]:
    """Write for as long as there is a reader. No more than PIPE_BUF at once, for which a writable pipe never blocks."""
    reader = select.poll()
    reader.register(descriptor, select.POLLOUT)
    written = 0
    try:
        while written < len(batch) and reader.poll(_PATIENCE):
            written += os.write(descriptor, batch[written : written + select.PIPE_BUF])
    except OSError as error:
        return written, error.strerror
    return written, None


def build(_config: Config, clock: Clock, _resolve: Callable[[str], Path], _key: VerifierKey | None = None) -> StdoutSink:
    """Nothing of the configuration is needed."""
    return StdoutSink(clock, descriptor=_STANDARD_OUTPUT)
