"""What entries say of each other: the sentences about unknown names, and what they may cost."""

from gateway.settings.references import _COMPARED, broken_references


def document(credentials: list[str]) -> dict:
    """Upstreams that name these credentials, where only `billing-key` exists."""
    return {
        "upstreams": {f"up{number}": {"credential": name} for number, name in enumerate(credentials)},
        "credentials": {"billing-key": {}},
    }


def test_a_wrong_name_is_compared_with_the_known_ones() -> None:
    """And told at the place where it stands."""
    assert list(broken_references(document(["billing-kye", "billing-key"]))) == [
        (("upstreams", "up0", "credential"), "unknown credential 'billing-kye'; did you mean 'billing-key'?")
    ]


def test_only_so_many_names_are_compared() -> None:
    """Every wrong name is told; beyond the bound without a hint, so that a large file costs no minutes."""
    told = [sentence for _, sentence in broken_references(document([f"billing-ke{number}" for number in range(2 * _COMPARED)]))]
    assert len(told) == 2 * _COMPARED
    assert [sentence.endswith("; did you mean 'billing-key'?") for sentence in told] == [True] * _COMPARED + [False] * _COMPARED
    assert told[-1] == f"unknown credential 'billing-ke{2 * _COMPARED - 1}'"


def test_the_same_wrong_name_counts_once() -> None:
    """One mistake in a thousand entries does not use up the hints."""
    told = [sentence for _, sentence in broken_references(document(["billing-kye"] * 200 + ["biling-key"]))]
    assert all(sentence.endswith("; did you mean 'billing-key'?") for sentence in told)
