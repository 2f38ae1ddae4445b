"""The nonces that clients put into their proofs (RFC 9449 §8, §9): made of the time and a key, so that none is kept."""

import hmac
from base64 import urlsafe_b64encode
from hashlib import sha256
from typing import Final, final

from gateway.clock import Clock

PERIOD: Final = 30.0
"""Seconds after which there is a new nonce. The one before is accepted for as long again."""
_MARK_BYTES: Final = 16


@final
class Nonces:
    """Says which nonce holds now. Whoever has the same key on the same machine says the same, and nobody else."""

    def __init__(self, key: bytes, clock: Clock) -> None:
        """`key` is known to those alone who share their memory of proofs."""
        self._key: Final = key
        self._clock: Final = clock
        self._made: dict[int, str] = {}

    @property
    def period(self) -> int:
        """The number of the present period, counted in boot time: it cannot be set back."""
        return int(self._clock.boot() / PERIOD)

    def of(self, period: int) -> str:
        """The nonce of a period."""
        nonce = self._made.get(period)
        if nonce is None:
            number = period.to_bytes(8, "big")
            mark = hmac.digest(self._key, number, sha256)[:_MARK_BYTES]
            nonce = urlsafe_b64encode(number + mark).decode()
            self._made = {kept: self._made[kept] for kept in self._made if abs(kept - period) == 1} | {period: nonce}
        return nonce

    def period_of(self, nonce: str | None) -> int | None:
        """The period that a nonce is of, if it is still accepted. It tells how old the proof is at most."""
        if nonce is None:
            return None
        now = self.period
        for period in (now, now - 1):
            if hmac.compare_digest(nonce.encode(), self.of(period).encode()):
                return period
        return None
