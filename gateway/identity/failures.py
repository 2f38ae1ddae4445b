"""Counts proofs of identity that failed, by where they came from, and says when one source has had enough; knows no proof.

A failure costs a signature. A source has an allowance of them, which refills: what is left of a flood costs a small part of a
core. Whoever has proved an identity from there before has an allowance of its own, so that a stranger behind the same address
does not use it up; and a proof that has verified is always looked at again.
"""

from collections import OrderedDict
from typing import Final, TypeVar, final

from gateway.clock import Clock

ALLOWANCE: Final = 100
"""Failed proofs that one source has at once."""
REFILL: Final = 50.0
"""Failed proofs a second that it gets back."""
SOURCES: Final = 16_384
"""Sources that are remembered; of more, the one that failed longest ago is forgotten."""
GOOD: Final = 16_384
"""Proofs that have verified, and as many names that were proved, are remembered; of more, the oldest is like a new one."""

_Key = TypeVar("_Key")
_Value = TypeVar("_Value")


@final
class Failures:
    """What each source has left."""

    def __init__(self, clock: Clock) -> None:
        """Nobody has failed yet."""
        self._clock = clock
        self._spent: Final[OrderedDict[tuple[str, str], tuple[float, float]]] = OrderedDict()
        """How many failures a source, or one name there, has not got back, as of a time."""
        self._good: Final[OrderedDict[bytes, float]] = OrderedDict()
        """Until when the proofs that have verified are good, in Unix seconds, by their digests."""
        self._proved: Final[OrderedDict[tuple[str, str], None]] = OrderedDict()
        """Who has proved its name from where."""

    def wait(self, source: str, name: str, proof: bytes = b"") -> float:
        """How many seconds the source has to wait before a new proof of it is looked at; 0 if it may be now.

        `name` is whom the proof names, which nobody has verified yet. Without a digest of it the `proof` is always new.
        """
        if proof in self._good:
            self._good.move_to_end(proof)
            if self._good[proof] > self._clock.now():
                return 0.0
        left = ALLOWANCE - self._owed(self._purse(source, name))
        return 0.0 if left >= 1 else (1 - left) / REFILL

    def failed(self, source: str, name: str) -> None:
        """One more failure of the source."""
        purse = self._purse(source, name)
        _keep(self._spent, purse, (min(ALLOWANCE, self._owed(purse) + 1), self._clock.boot()), SOURCES)

    def verified(self, source: str, name: str, proof: bytes, until: float) -> None:
        """A proof has verified, and is good until then, in Unix seconds."""
        _keep(self._good, proof, until, GOOD)
        self.proved(source, name)

    def proved(self, source: str, name: str) -> None:
        """This name was proved from there."""
        _keep(self._proved, (source, name), None, GOOD)

    def _purse(self, source: str, name: str) -> tuple[str, str]:
        """Whose allowance it is: that of the name if it was proved from there, or that of all the others there."""
        return (source, name) if (source, name) in self._proved else (source, "")

    def _owed(self, purse: tuple[str, str]) -> float:
        if purse not in self._spent:
            return 0.0
        self._spent.move_to_end(purse)
        spent, at = self._spent[purse]
        return max(0.0, spent - (self._clock.boot() - at) * REFILL)


def _keep(kept: OrderedDict[_Key, _Value], key: _Key, value: _Value, most: int) -> None:
    """Keep it as the newest; beyond `most` the oldest makes room."""
    kept[key] = value
    kept.move_to_end(key)
    if len(kept) > most:
        kept.popitem(last=False)
