"""Notices when a configuration's files have changed and come to rest; knows nothing of what they say."""

import asyncio
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final, final

from gateway.aside import aside
from gateway.errors import ConfigurationError, DoorwardError
from gateway.looks import Looks, look_at
from gateway.settings.include import matching, patterns_of
from gateway.settings.yaml_file import parse_yaml, read_text

LOOK_EVERY: Final = 0.5
"""Seconds between two looks. What has changed is read when the next look finds it as it was: it may be half written."""

Seen = Mapping[Path, Looks | None]


@final
class Watch:
    """Looks at the main file, at all that it includes, and for new files that its patterns match."""

    def __init__(self, file: Path, patterns: Iterable[str]) -> None:
        """`patterns` are those of `include`."""
        self._file: Final = file
        self._patterns = tuple(patterns)
        # What was read before there was a watch is read once more, for it may have changed meanwhile.
        self._read: Seen = {}
        self._last: Seen = {}

    async def settled(self) -> bool:
        """Whether the files are others than those that were read, and have been left alone since the last look."""
        now = await asyncio.to_thread(self._look)
        rested, self._last = now == self._last, now
        return rested and now != self._read

    async def begin(self) -> Seen:
        """Remember the looks of what is going to be read, for `still`."""
        return await asyncio.to_thread(self._look)

    async def done(self, began: Seen, patterns: Iterable[str] | None) -> bool:
        """What `begin` saw was read, whether it could be used or not.

        False if it changed meanwhile, or if other files belong to it than were looked at; then it has to be read again.
        `patterns` are those that it holds; None if that is not known, for it could not be used.
        """
        if patterns is None:
            found = await aside(self._patterns_now)
            patterns = dict.fromkeys((*self._patterns, *found))
        known, self._patterns = self._patterns, tuple(patterns)
        if known != self._patterns or await asyncio.to_thread(self._look) != began:
            return False
        self._read = self._last = began
        return True

    def _look(self) -> Seen:
        files = {path for pattern in self._patterns for path in matching(pattern, self._file.parent)}
        return {path: look_at(path) for path in (self._file, *sorted(files))}

    def _patterns_now(self) -> tuple[str, ...]:
        """What the main file includes, as far as it can be read: a mistake may be in a file that was never used before."""
        try:
            root, _ = parse_yaml(read_text(self._file), str(self._file), {})
        except (ConfigurationError, DoorwardError):
            return ()
        found = patterns_of(root)
        root.take_apart()
        return found
