"""What is known of the claims of an identity after it was shown: no more than policy read then; knows no issuer and no rule."""

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any, Final, NamedTuple

_NONE: Final[Mapping[str, Any]] = MappingProxyType({})


class KnownClaims(NamedTuple):
    """Of the names that policy read: the claims that were `there`, and the names that were `lacking`.

    A name that is neither was not asked for at the time, and nobody can say any more whether the identity had it.
    """

    there: Mapping[str, Any] = _NONE
    lacking: frozenset[str] = frozenset()

    @property
    def had(self) -> dict[str, bool]:
        """For each name that is known whether the identity had it."""
        return dict.fromkeys(self.lacking, False) | dict.fromkeys(self.there, True)

    def of(self, names: Iterable[str]) -> "KnownClaims":
        """What is known of these names alone."""
        there = {name: self.there[name] for name in sorted(names) if name in self.there}
        return KnownClaims(there, self.lacking.intersection(names))


NOTHING_KNOWN: Final = KnownClaims()


def known_of(claims: Mapping[str, Any], names: Iterable[str]) -> KnownClaims:
    """What is kept of an identity that is at hand: of its claims these names, for the others are nobody's business."""
    there = {name: claims[name] for name in sorted(names) if name in claims}
    return KnownClaims(there, frozenset(names) - there.keys())
