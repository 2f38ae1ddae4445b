"""Remembers what was worked out from bytes that come again, by exactly these bytes; knows nothing of what they say."""

from typing import Final, Generic, TypeVar, final

V = TypeVar("V")

ENTRIES: Final = 4096
"""How many byte strings one memory knows; then it starts anew."""
DATED: Final = 1024
"""How many byte strings are known of a kind that says a date: each comes again only within a second."""
LARGEST: Final = 4096
"""Longer byte strings are not remembered, in bytes."""
_SEEN: Final = 16_384


@final
class Memory(Generic[V]):
    """What is kept under a key must follow from the key's bytes alone, and from what lives as long as this memory.

    A byte string enters when it comes the second time, so that strings which never come again leave only their hash.
    """

    __slots__ = ("_entries", "_seen", "known")

    def __init__(self, entries: int = ENTRIES) -> None:
        """`entries` is how many byte strings it knows at most; with 0 it remembers nothing."""
        self._entries: Final = entries
        self._seen: Final[set[int]] = set()
        self.known: Final[dict[bytes, V]] = {}
        """What was kept, to look up and not to change."""

    def keep(self, key: bytes, value: V) -> bool:
        """Keep the value if the key has come before; returns whether it is kept."""
        if len(key) > LARGEST or not self._entries:
            return False
        mark = hash(key)
        if mark not in self._seen:
            if len(self._seen) >= _SEEN:
                self._seen.clear()
            self._seen.add(mark)
            return False
        if len(self.known) >= self._entries:
            self.known.clear()
        self.known[key] = value
        return True
