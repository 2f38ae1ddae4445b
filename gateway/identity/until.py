"""Keeps millions of marks, each until a time of its own, and lets them go a few at a time; knows no clock."""

from math import ceil
from typing import Final, final

SLOT: Final = 10.0
"""Seconds by which a mark may be kept too long: those that end within one slot share what is kept of their time."""
MOST_AT_ONCE: Final = 5_000
"""How many marks are let go in one call, so that the end of a million does not stand in the way of requests."""


@final
class _Slot:
    """The marks that end by one moment, in Unix seconds. One that has got another end since is passed over here."""

    __slots__ = ("ends", "marks")

    def __init__(self, ends: float) -> None:
        self.ends: Final = ends
        self.marks: Final[list[str]] = []


@final
class Expiring:
    """The ends of the marks in a set that others read. A mark that is added again ends with the later of its ends."""

    def __init__(self, marks: set[str]) -> None:
        """Marks enter and leave `marks` by this object alone."""
        self._marks: Final = marks
        self._slot_of: Final[dict[str, _Slot]] = {}
        self._slots: Final[dict[float, _Slot]] = {}

    def add(self, mark: str, until: float) -> None:
        """Keep a mark until then, in Unix seconds."""
        ends = ceil(until / SLOT) * SLOT
        known = self._slot_of.get(mark)
        if known is None or ends > known.ends:
            slot = self._slots.get(ends)
            if slot is None:
                slot = self._slots[ends] = _Slot(ends)
            slot.marks.append(mark)
            self._slot_of[mark] = slot
            self._marks.add(mark)

    def remove(self, mark: str) -> None:
        """Keep a mark no longer."""
        if self._slot_of.pop(mark, None) is not None:
            self._marks.discard(mark)

    def clear(self) -> None:
        """Keep none."""
        self._marks.clear()
        self._slot_of.clear()
        self._slots.clear()

    def forget(self, past: float) -> None:
        """Let go of marks that ended before `past`, of at most `MOST_AT_ONCE` of them."""
        left = MOST_AT_ONCE
        for ends in sorted(ends for ends in self._slots if ends < past):
            slot = self._slots[ends]
            while slot.marks and left:
                mark = slot.marks.pop()
                left -= 1
                if self._slot_of.get(mark) is slot:
                    self.remove(mark)
            if slot.marks:
                return
            del self._slots[ends]
        if not self._marks:  # a set and a dict keep the room of what they once held until they are cleared
            self._marks.clear()
            self._slot_of.clear()
