"""The words for what is wrong: what they list, what they show, and what they keep back."""

import pytest

from gateway.settings.sentences import _LISTED, shown, unknown


@pytest.mark.parametrize(("known", "more"), [(1, False), (_LISTED, False), (_LISTED + 1, True), (5000, True)])
def test_only_so_many_known_names_are_listed(known: int, more: bool) -> None:
    """In alphabetical order; that there are more is said by three dots."""
    names = [f"name{number:04}" for number in range(known)]
    sentence = unknown("thing", "zzz", reversed(names))
    assert sentence == f"unknown thing 'zzz'; known: {', '.join(names[:_LISTED])}" + (", ..." if more else "")


def test_the_nearest_name_stands_in_place_of_a_list() -> None:
    """Who mistyped a name wants that one."""
    assert unknown("intent", "invoices.raed", ["tickets.read", "invoices.read"]) == (
        "unknown intent 'invoices.raed'; did you mean 'invoices.read'?"
    )


def test_where_there_is_nothing_yet_it_says_so() -> None:
    """An empty list would say less."""
    assert unknown("upstream", "x", []) == "unknown upstream 'x'; there is no upstream yet"


@pytest.mark.parametrize("name", ["x" * 65, "two\nlines", "\x1b[31m", "", 7, None])
def test_what_is_no_name_is_not_repeated(name: object) -> None:
    """It could be a secret that slipped, or would write on the terminal."""
    assert shown(name) == "(not shown)"
