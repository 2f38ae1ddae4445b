"""Renewals of tasks: the newest counts, what is over leaves, and there are never too many."""

from gateway.identity.renewals import MOST_RENEWALS, Renewals

NOW = 1_800_000_000.0


def test_the_newest_renewal_counts() -> None:
    """Also if it is shorter; a task that was never renewed has no time at all."""
    renewals = Renewals()
    renewals.note("a", NOW + 300, NOW)
    renewals.note("a", NOW + 100, NOW)
    assert renewals.until("a") == NOW + 100
    assert renewals.until("b") == 0


def test_a_time_that_is_over_takes_it_back() -> None:
    """Nothing counts any more, and nothing is kept."""
    renewals = Renewals()
    renewals.note("a", NOW + 300, NOW)
    renewals.note("a", NOW, NOW)
    assert renewals.until("a") == 0
    assert list(renewals.live(NOW)) == []


def test_what_is_over_leaves() -> None:
    """From the oldest on; what is over behind one that is not is passed over by those who ask for live ones."""
    renewals = Renewals()
    for task, seconds in (("a", 10), ("b", 300), ("c", 10)):
        renewals.note(task, NOW + seconds, NOW)
    assert list(renewals.live(NOW + 20)) == [("b", NOW + 300)]
    renewals.forget(NOW + 20)
    assert renewals.until("a") == 0
    assert renewals.until("c") == NOW + 10
    renewals.forget(NOW + 300)
    assert renewals.until("c") == 0


def test_there_are_never_too_many() -> None:
    """The oldest makes room, which can only end an exchange too early."""
    renewals = Renewals()
    for number in range(MOST_RENEWALS + 1):
        renewals.note(f"task {number}", NOW + 300, NOW)
    assert renewals.until("task 0") == 0
    assert renewals.until("task 1") == NOW + 300
    assert sum(1 for _ in renewals.live(NOW)) == MOST_RENEWALS
