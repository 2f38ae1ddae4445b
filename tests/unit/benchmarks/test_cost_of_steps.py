"""The stamped copy of `handle_request` times every step of the original, in order; knows no figure."""

from benchmarks.cost_of_steps import BACK, BEGIN, END, OUT, names_of, stamped_copy

ORDER = [
    BEGIN,
    "open the record",
    "admit",
    "route",
    "authenticate",
    "read the intent",
    "authenticate",
    "read the intent",
    "decide",
    "remember the head",
    "spend",
    "record",
    "obtain",
    "apply",
    OUT,
    BACK,
    "spend",
    "close",
    END,
]


def test_every_step_is_timed_in_its_place():
    """A statement that nobody knows would show as a step of its own, and the order is that of the function.

    What was waited for is followed by another look at the token, and then by what the authority says of the task.
    """
    _, steps = stamped_copy(lambda _stamp: None)
    names = names_of(steps)
    assert [name for place, name in enumerate(names) if place == 0 or name != names[place - 1]] == ORDER
