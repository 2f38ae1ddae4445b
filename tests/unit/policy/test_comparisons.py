"""Comparisons without CEL: the same answers as CEL gives, for what they are for, and nothing else is taken."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.expressions import BOOL, TEXTS, Environment, ExpressionError
from gateway.policy.comparisons import Comparisons

CEL = Environment({"path": TEXTS, "task.params": TEXTS})

TAKEN = [
    "path.x == task.params.x",
    "task.params.x == path.x",
    "path.x == 'c'",
    '"" == path.x',
    "path.x == path.y",
    'task.params.x == "1"',
    '  path.x=="a && b"\n &&\n task.params.y == path.y  ',
    'path.x == "it\'s" && path.x == \'a "b"\' && path.y == task.params.y',
]
LEFT = [
    "",
    "path.x",
    "path.x != 'c'",
    "path.x == task.params.x || path.y == 'c'",
    "!(path.x == 'c')",
    "path.x == 'c' &&",
    "&& path.x == 'c'",
    "path.x == 'c' == true",
    r"path.x == 'c\n'",
    r"path.x == r'c'",
    "path.x == '''c'''",
    "'a' == 'a'",
    "path.X == 'c'",
    "path.in == 'c'",
    "path.x.y == 'c'",
    "path['x'] == 'c'",
    "path.x() == 'c'",
    "task.id == 'c'",
    "path.x == 'c' // why",
    "path.x == 'c' & path.y == 'c'",
    "xpath.x == 'c'",
    "path.x == 'c' path.y == 'c'",
]


def outcome(evaluate: object, *values: object) -> bool | None:
    """What it says, None for nothing."""
    try:
        return evaluate(*values)
    except ExpressionError:
        return None


@pytest.mark.parametrize("text", LEFT)
def test_anything_else_is_left_to_cel(text: str) -> None:
    """One character more, and it is not taken."""
    assert Comparisons.parse(text) is None


texts = st.sampled_from(["", "c", "1", "it's", "a && b", "ä", 'a "b"'])
values = st.dictionaries(st.sampled_from(["x", "y", "z"]), texts)


@given(st.sampled_from(TAKEN), values, values)
def test_the_answer_is_that_of_cel(text: str, captures: dict[str, str], params: dict[str, str]) -> None:
    """Also where something lacks: a comparison that is false settles it, else nothing can be said."""
    comparisons = Comparisons.parse(text)
    assert comparisons is not None
    in_cel = CEL.compile(text, BOOL)
    assert outcome(comparisons.hold, captures, params) == outcome(in_cel.evaluate, {"path": captures, "task.params": params})


def test_what_is_compared_is_known() -> None:
    """The compiler can ask which facts decide."""
    comparisons = Comparisons.parse("path.x == task.params.y && path.z == 'c'")
    assert comparisons is not None
    assert (comparisons.captures, comparisons.params) == ({"x", "z"}, {"y"})
