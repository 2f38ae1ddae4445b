"""The benchmark of decisions decides what it says, and tells the sizes apart."""

from benchmarks.decisions import Installation, measure, principal, rows_of
from gateway.clock import Clock


def test_the_measured_request_concerns_one_grant_in_every_size() -> None:
    """So that the others are what their number says: entries that do not concern it."""
    for size in (10, 100):
        assert Installation(size).decide(principal(), Clock()) == "grant 7"


def test_each_size_is_beside_the_smallest() -> None:
    """The ratio is that of the rounds, not of the medians."""
    taken = measure(1, 2, (10, 20))
    assert {size: len(each) for size, each in taken.items()} == {"10": 2, "20": 2}
    rows = rows_of({"10": [1000.0, 4000.0], "10000": [1500.0, 6000.0]})
    assert rows[1:] == [["10 of each", "2.50", "1.00"], ["10,000 of each", "3.75", "1.50"]]
