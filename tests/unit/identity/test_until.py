"""Marks that end: each at its time, a few at a time, and none too early."""

import sys

from gateway.identity.until import MOST_AT_ONCE, SLOT, Expiring

END = 1_800_000_000.0


def test_a_mark_ends_at_its_time_and_no_earlier() -> None:
    """It may be kept for a slot too long, and is never let go before its end."""
    marks: set[str] = set()
    kept = Expiring(marks)
    kept.add("task:a", END + 3)
    for past in (END, END + 3):
        kept.forget(past)
        assert marks == {"task:a"}
    kept.forget(END + 3 + SLOT)
    assert marks == set()


def test_the_later_end_counts() -> None:
    """In whichever order the two come; the earlier one takes nothing away."""
    for ends in ((END, END + 1000), (END + 1000, END)):
        marks: set[str] = set()
        kept = Expiring(marks)
        for until in ends:
            kept.add("task:a", until)
        kept.forget(END + 500)
        assert marks == {"task:a"}
        kept.forget(END + 1000 + SLOT)
        assert marks == set()


def test_what_was_removed_and_added_again_lives_by_its_new_end() -> None:
    """An agent that is restored and stopped once more is not let go when the first stop would have ended."""
    marks: set[str] = set()
    kept = Expiring(marks)
    kept.add("agent:a", END)
    kept.remove("agent:a")
    kept.remove("agent:never")
    assert marks == set()
    kept.add("agent:a", END + 1000)
    kept.forget(END + 500)
    assert marks == {"agent:a"}


def test_the_same_mark_again_takes_no_room() -> None:
    """A gateway that connects anew hears everything again; what it knows does not grow by that."""
    marks: set[str] = set()
    kept = Expiring(marks)
    for _ in range(3):
        for number in range(100):
            kept.add(f"task:{number}", END)
    assert sum(len(slot.marks) for slot in kept._slots.values()) == 100


def test_a_million_leave_a_few_at_a_time() -> None:
    """However many end at once, one call lets go of a bounded number; in the end nothing is left, and no room is kept."""
    marks: set[str] = set()
    kept = Expiring(marks)
    for number in range(1_000_000):
        kept.add(f"task:{number}", END + number % 900)
    assert len(marks) == 1_000_000
    full, left = sys.getsizeof(marks), len(marks)
    while marks:
        kept.forget(END + 2000)
        assert left - len(marks) <= MOST_AT_ONCE
        assert len(marks) < left
        left = len(marks)
    assert sys.getsizeof(marks) < full / 1000
    assert not kept._slots
    assert not kept._slot_of
