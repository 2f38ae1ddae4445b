"""Adding entries to a file by hand's rules: nothing else in it moves."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import DoorwardError
from gateway.settings.insertion import insert, is_only_extended
from gateway.settings.yaml_file import parse_yaml

ADDITIONS = {"a": "new: 1\n", "b": "- name: new\n"}
NAMES = {"a": ("new",), "b": ("new",)}


def added(text: str) -> str:
    """The text with an entry more in both sections."""
    return insert(text, parse_yaml(text, "f", {})[0], ADDITIONS)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("a:\n  x: 1\nb:\n  - name: y\n", "a:\n  x: 1\n  new: 1\nb:\n  - name: y\n  - name: new\n"),
        ("a:\n    x: 1\nb:\n- name: y", "a:\n    x: 1\n    new: 1\nb:\n- name: y\n- name: new\n"),
        ("a:\r\n  x: 1\r\nb:\r\n  - name: y\r\n", "a:\r\n  x: 1\r\n  new: 1\r\nb:\r\n  - name: y\r\n  - name: new\r\n"),
        (
            "b:\n  - name: y\n    # of y\n\n# of a\na: # here\n  x: 1 # one\n\n\n",
            "b:\n  - name: y\n    # of y\n  - name: new\n\n# of a\na: # here\n  x: 1 # one\n  new: 1\n\n\n",
        ),
        (
            "a:\n  # first\n  x: |\n    text\nb:\n  # first\n  -   name: y\nx-c: 1\n",
            "a:\n  # first\n  x: |\n    text\n  new: 1\nb:\n  # first\n  -   name: y\n  - name: new\nx-c: 1\n",
        ),
    ],
)
def test_entries_come_last_in_their_section(before: str, after: str) -> None:
    """In the section's own indentation and the file's own line ends, before comments that belong to what follows."""
    assert added(before) == after


@pytest.mark.parametrize("section", ["a: {x: 1}", "a:\n  {x: 1}", "a: &n\n  x: 1", "x-n: &n {x: 1}\na: *n", "a:", "c: 1"])
def test_a_section_in_another_form_is_refused(section: str) -> None:
    """The sentence names the section; nothing is guessed."""
    with pytest.raises(DoorwardError, match="section 'a'"):
        added(f"{section}\nb:\n  - name: y\n")


LINES = st.sampled_from(["", "# note", "  # note", "  y: 1", "  z: |", "    text", "    # text", "c: 1", "d:", "  - 1", "..."])


@given(st.lists(LINES, max_size=6), st.lists(LINES, max_size=6))
def test_only_additions_or_an_alarm(first: list[str], second: list[str]) -> None:
    """Whatever the layout: all old lines stay in order, and a change of meaning is noticed."""
    text = "\n".join(["a:", "  x: 1", *first, "b:", "  - name: y", *second]) + "\n"
    try:
        before, flaws = parse_yaml(text, "f", {})
        extended = added(text)
        after, _ = parse_yaml(extended, "f", {})
    except DoorwardError:
        return
    new = extended.splitlines()
    new.remove("  new: 1")
    new.remove("  - name: new")
    assert new == text.splitlines()
    if not flaws and is_only_extended(before.value, after.value, NAMES):
        assert after.value["a"]["new"] == 1
        assert after.value["b"][-1] == {"name": "new"}
        assert after.value["a"]["x"] == before.value["a"]["x"]


def test_a_change_of_meaning_is_noticed() -> None:
    """Entries that vanish, move or change are no addition."""
    before = {"a": {"x": 1}, "b": [{"name": "y"}]}
    after = {"a": {"x": 1, "new": 1}, "b": [{"name": "y"}, {"name": "new"}]}
    assert is_only_extended(before, after, NAMES)
    assert not is_only_extended(before, {**after, "a": {"x": 2, "new": 1}}, NAMES)
    assert not is_only_extended(before, {**after, "a": {"x": 1}}, NAMES)
    assert not is_only_extended(before, {**after, "b": [{"name": "new"}, {"name": "y"}]}, NAMES)
    assert not is_only_extended(before, {**after, "c": 1}, NAMES)
