"""Names of epochs: which of two is over, and what comes after the last number."""

import pytest

from gateway.stores import epochs
from gateway.stores.store import StoreUnavailableError

DRAWN = "0123456789abcdef" * 2


@pytest.mark.parametrize(
    ("name", "number"),
    [("0000000a" + "f" * 24, 10), ("f" * 32, 2**32 - 1), ("epoch of before", 0), ("", 0), ("+1234567", 0), ("1_000_00", 0)],
)
def test_a_name_says_its_number(name: str, number: int):
    """What an earlier build has drawn has one, too; whatever else has none."""
    assert epochs.number(name) == number


@pytest.mark.parametrize("name", ["", "epoch of before", "00000001" + "a" * 24, "9abcdef0" * 4])
def test_what_comes_after_is_not_over(name: str):
    """The rest of its name is what was drawn."""
    following = epochs.after(name, DRAWN)
    assert epochs.number(following) == epochs.number(name) + 1
    assert following[8:] == DRAWN[8:]
    assert not epochs.is_past(following, name)
    assert epochs.is_past(name, following)


def test_of_two_after_the_same_one_each_is_over_for_the_other():
    """Who knows one of them cannot tell which began first, and takes neither for the other."""
    one, other = epochs.after("", DRAWN), epochs.after("", DRAWN[::-1])
    assert epochs.is_past(one, other)
    assert epochs.is_past(other, one)
    assert not epochs.is_past(one, one)


def test_nothing_comes_after_the_last_number():
    """It would look like an epoch that is over, again and again: everything is refused instead."""
    with pytest.raises(StoreUnavailableError, match="no number"):
        epochs.after("f" * 32, DRAWN)
