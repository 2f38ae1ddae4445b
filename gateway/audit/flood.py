"""Counts the refusals of strangers beyond a rate for each source, so that nobody can push the past out of the log.

Knows nothing of who is no stranger: that is for whoever asks.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final, final

from gateway.site import site_of

RATE: Final = 20.0
"""Refusals a second of one source that are recorded one by one."""
BURST: Final = 200.0
"""How many may come at once before the rate counts."""
SOURCES: Final = 4096
"""How many sources are told apart; further ones are counted together."""
OTHERS: Final = "others"


@dataclass(slots=True)
class Counted:
    """Refusals of one source that were counted and not recorded; `since` is in Unix seconds."""

    source: str
    since: float
    codes: dict[str, int] = field(default_factory=dict)


@dataclass(slots=True)
class _Bucket:
    left: float
    filled: float


@final
class Flood:
    """A bucket for each source."""

    def __init__(self) -> None:
        self._buckets: dict[str, _Bucket] = {}
        self._counted: dict[str, Counted] = {}

    def takes(self, address: str, code: str, *, steady: float, now: float) -> bool:
        """Whether this refusal is beyond the rate of its source; then it is counted here and needs no record of its own."""
        source = site_of(address)
        bucket = self._buckets.get(source)
        if bucket is None:
            if len(self._buckets) >= SOURCES:
                self._forget_quiet(steady)
            if len(self._buckets) >= SOURCES:
                source = OTHERS
            bucket = self._buckets.setdefault(source, _Bucket(BURST, steady))
        bucket.left = min(BURST, bucket.left + (steady - bucket.filled) * RATE)
        bucket.filled = steady
        if bucket.left >= 1:
            bucket.left -= 1
            return False
        counted = self._counted.get(source)
        if counted is None:
            counted = self._counted[source] = Counted(source, now)
        counted.codes[code] = counted.codes.get(code, 0) + 1
        return True

    def drain(self) -> Iterator[Counted]:
        """What was counted since the last time, a source at a time; what is not taken stays."""
        while self._counted:
            source = next(iter(self._counted))
            yield self._counted[source]
            del self._counted[source]

    def _forget_quiet(self, steady: float) -> None:
        full = BURST / RATE
        for source in [source for source, bucket in self._buckets.items() if steady - bucket.filled > full]:
            del self._buckets[source]
