"""Counts how often upstreams repeat their own secret, and tells operators now and then; knows no secret."""

from typing import Final, final

from gateway import telemetry
from gateway.clock import Clock
from gateway.http.outbound import PoolKey

TOLD_EVERY: Final = 60.0
"""Seconds between two warnings about one credential at one upstream."""

_log = telemetry.logger("scrub")


@final
class Reflections:
    """One count for each upstream and credential; there are no more than the configuration names."""

    def __init__(self, clock: Clock) -> None:
        self._clock: Final = clock
        self.counts: Final[dict[tuple[str, str], int]] = {}
        """Masked places by names of upstream and credential, since the start."""
        self._told: Final[dict[tuple[str, str], float]] = {}

    def note(self, key: PoolKey, masked: int) -> None:
        """A response had the secret in so many places, and they were masked."""
        names = (key.upstream.name, key.credential)
        total = self.counts[names] = self.counts.get(names, 0) + masked
        now = self._clock.boot()
        if names not in self._told or now - self._told[names] >= TOLD_EVERY:
            self._told[names] = now
            _log.warning("secret_reflected", upstream=names[0], credential=names[1], masked=masked, since_start=total)
