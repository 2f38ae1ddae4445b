"""Keeps TLS contexts as their files are, by looking at the files once a second; knows nothing of what is said over TLS."""

import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, final

from gateway import telemetry
from gateway.clock import Clock
from gateway.http.tls_context import UnusableFileError, calling, serving
from gateway.model import TlsFiles

LOOK_EVERY: Final = 1.0
"""Seconds between two looks at the files."""

_log = telemetry.logger("tls")


@final
class LiveContext:
    """One side of TLS. `context` is for the next connection; those that are open stay as they are.

    Files that cannot be used leave the context as it was. That is logged once, and the files are read again when they
    change again.
    """

    __slots__ = ("_files", "_make", "_name", "_seen", "context")

    def __init__(self, name: str, files: TlsFiles, make: Callable[[TlsFiles, float], ssl.SSLContext], now: float) -> None:
        """`name` is for the log, `make` is `serving` or `calling`, `now` in Unix seconds. Raises `UnusableFileError`."""
        self._name: Final = name
        self._files: Final = files
        self._make: Final = make
        # Looked at before they are read: what changes in between is seen as a change by the next look.
        self._seen = _looks_of(files)
        self.context = make(files, now)

    def __repr__(self) -> str:
        return f"<LiveContext of {self._name}>"

    def look(self, now: float) -> None:
        """Make the context anew if a file is not the one it was made of."""
        seen = _looks_of(self._files)
        if seen == self._seen:
            return
        self._seen = seen
        try:
            self.context = self._make(self._files, now)
        except UnusableFileError as error:
            _log.error("tls_files_unusable", side=self._name, part=error.part, problem=str(error), using="the ones before")
        else:
            _log.info("tls_files_read", side=self._name)


class TlsWatch:
    """All TLS contexts of one process. Upstreams with the same files share one."""

    def __init__(self, clock: Clock) -> None:
        """Nothing is read yet."""
        self._clock: Final = clock
        self._live: Final[dict[tuple[Any, TlsFiles], LiveContext]] = {}

    def serve(self, name: str, files: TlsFiles) -> LiveContext:
        """The context for those who call us. Raises `UnusableFileError`."""
        return self._open(name, files, serving)

    def call(self, name: str, files: TlsFiles) -> LiveContext:
        """The context for an upstream, read when it is asked for the first time. Raises `UnusableFileError`."""
        return self._open(name, files, calling)

    def look(self) -> None:
        """Look at all files now."""
        now = self._clock.now()
        for live in self._live.values():
            live.look(now)

    async def run(self) -> None:
        """Look again and again, until cancelled."""
        while True:
            await self._clock.sleep(LOOK_EVERY)
            self.look()

    def _open(self, name: str, files: TlsFiles, make: Callable[[TlsFiles, float], ssl.SSLContext]) -> LiveContext:
        live = self._live.get((make, files))
        if live is None:
            live = self._live[make, files] = LiveContext(name, files, make, self._clock.now())
        return live


def _looks_of(files: TlsFiles) -> tuple[tuple[int, int, int] | None, ...]:
    """What changes with each file's content: its inode, time and size; following links, as mounted secrets are exchanged."""
    return tuple([None if file is None else _looks(file) for file in files])


def _looks(file: str) -> tuple[int, int, int] | None:
    try:
        status = Path(file).stat()
    except OSError:
        return None
    return status.st_ino, status.st_mtime_ns, status.st_size
