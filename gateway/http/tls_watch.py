"""Keeps TLS contexts as their files are, by looking at the files once a second; knows nothing of what is said over TLS."""

import ssl
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, final

from gateway import telemetry
from gateway.clock import Clock
from gateway.http.tls_context import UnusableFileError, calling, ends, serving
from gateway.looks import Looks, look_at
from gateway.model import TlsFiles

LOOK_EVERY: Final = 1.0
"""Seconds between two looks at the files."""

Roots = Callable[[], Sequence[bytes] | None]

_log = telemetry.logger("tls")


@final
class LiveContext:
    """One side of TLS. `context` is for the next connection; those that are open stay as they are.

    Files that cannot be used leave the context as it was. That is logged once, and the files are read again when they
    change again.
    """

    __slots__ = ("_beside", "_files", "_make", "_seen", "context", "ends", "name")

    def __init__(
        self,
        name: str,
        files: TlsFiles,
        make: Callable[[TlsFiles, float], ssl.SSLContext],
        now: float,
        beside: Callable[[], object] = lambda: None,
    ) -> None:
        """`name` is for the log, `make` is `serving` or `calling`, `now` in Unix seconds. Raises `UnusableFileError`.

        `beside` gives what else the context is made of, to be compared.
        """
        self.name: Final = name
        self._files: Final = files
        self._make: Final = make
        self._beside: Final = beside
        # Looked at before they are read: what changes in between is seen as a change by the next look.
        self._seen = (_looks_of(files), beside())
        self.context = make(files, now)
        self.ends = _end_of(files)
        """When the certificate ends that is shown, in Unix seconds; None if none is."""

    def __repr__(self) -> str:
        return f"<LiveContext of {self.name}>"

    def look(self, now: float) -> None:
        """Make the context anew if a file, or what is beside the files, is not what it was made of."""
        seen = (_looks_of(self._files), self._beside())
        if seen == self._seen:
            return
        self._seen = seen
        try:
            self.context = self._make(self._files, now)
        except UnusableFileError as error:
            _log.error("tls_files_unusable", side=self.name, part=error.part, problem=str(error), using="the ones before")
        else:
            self.ends = _end_of(self._files)
            _log.info("tls_files_read", side=self.name)


class TlsWatch:
    """All TLS contexts of one process. Upstreams with the same files share one."""

    def __init__(self, clock: Clock) -> None:
        """Nothing is read yet."""
        self._clock: Final = clock
        self._live: Final[dict[tuple[Any, TlsFiles], LiveContext]] = {}

    def serve(self, name: str, files: TlsFiles, *, optional: bool = False, roots: Roots | None = None) -> LiveContext:
        """The context of one listener; its clients need show no certificate if it is `optional`. Raises `UnusableFileError`.

        `roots` gives the certificates (DER) that may stand above those of clients beside the file's, or None.
        """

        def make(files: TlsFiles, now: float) -> ssl.SSLContext:
            return serving(files, now, optional=optional, roots=None if roots is None else roots())

        live = LiveContext(name, files, make, self._clock.now(), roots or (lambda: None))
        self._live[name, files] = live
        return live

    def call(self, name: str, files: TlsFiles) -> LiveContext:
        """The context for an upstream, read when it is asked for the first time. Raises `UnusableFileError`."""
        live = self._live.get((calling, files))
        if live is None:
            live = self._live[calling, files] = LiveContext(name, files, calling, self._clock.now())
        return live

    def look(self) -> None:
        """Look at all files now."""
        now = self._clock.now()
        for live in self._live.values():
            live.look(now)

    def ends(self) -> Mapping[str, float]:
        """When the certificates end that are shown, in Unix seconds, by the side that shows them."""
        return {live.name: live.ends for live in self._live.values() if live.ends is not None}

    def keep(self, files: Collection[TlsFiles]) -> None:
        """Look no more at the files of upstreams that there are no more."""
        for key in [key for key in self._live if key[0] is calling and key[1] not in files]:
            del self._live[key]

    async def run(self) -> None:
        """Look again and again, until cancelled."""
        while True:
            await self._clock.sleep(LOOK_EVERY)
            self.look()


def _end_of(files: TlsFiles) -> float | None:
    """When the certificate of these files ends; None if there is none, or if it was taken away just now."""
    try:
        return None if files.certificate is None else ends(files.certificate)
    except UnusableFileError:
        return None


def _looks_of(files: TlsFiles) -> tuple[Looks | None, ...]:
    return tuple([None if file is None else look_at(Path(file)) for file in files])
