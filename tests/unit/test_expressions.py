"""CEL expressions: what compiles, what they give, and what an operator reads when they do not."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.expressions import (
    BOOL,
    CLAIMS,
    EXPRESSION_CHARACTERS,
    MESSAGE_CHARACTERS,
    STRING,
    Environment,
    Expression,
    ExpressionError,
)
from gateway.spiffe import spiffe_id

ENVIRONMENT = Environment({"claims": CLAIMS})


def text(expression: str, claims: Any) -> Any:
    """The text that an expression gives."""
    return ENVIRONMENT.compile(expression, STRING).evaluate({"claims": claims})


def failure(expression: Expression, claims: Any) -> str:
    """The message of an evaluation that fails."""
    with pytest.raises(ExpressionError) as caught:
        expression.evaluate({"claims": claims})
    assert (caught.value.line, caught.value.column) == (0, 0)
    return caught.value.message


def test_an_expression_gives_a_text_or_a_truth() -> None:
    """Claims are read at any depth, by member or by index."""
    claims = {"kubernetes.io": {"namespace": "agents"}, "list": [1, 2.5, None, "x"], "flag": True}
    assert text('"ns/" + claims["kubernetes.io"].namespace', claims) == "ns/agents"
    assert text("claims.list[3]", claims) == "x"
    condition = ENVIRONMENT.compile('claims.flag && claims["kubernetes.io"].namespace in ["agents"]', BOOL)
    assert condition.evaluate({"claims": claims}) is True
    assert ENVIRONMENT.compile("has(claims.other)", BOOL).evaluate({"claims": claims}) is False


@pytest.mark.parametrize(
    ("expression", "message", "line", "column"),
    [
        ("1 +", "Syntax error: mismatched input the end", 1, 4),
        ("", "Syntax error: mismatched input the end", 1, 1),
        ("a + 1", "undeclared reference to 'a'", 1, 1),
        ('"x" +\n  b', "undeclared reference to 'b'", 2, 3),
        ("segment('a', 'b')", "undeclared reference to 'segment'", 1, 8),
        ("segment(1)", "found no matching overload for 'segment' applied to '(int)'", 1, 8),
        ("1 + 1", "the expression gives int, but string is needed", 1, 1),
        ("claims", "the expression gives map, but string is needed", 1, 1),
        ("true", "the expression gives bool, but string is needed", 1, 1),
        ("(" * 200 + "1" + ")" * 200, "Expression recursion limit exceeded. limit: 32", 1, 1),
        ("'" + "a" * EXPRESSION_CHARACTERS + "'", "the expression is longer than 8192 characters", 1, 1),
        ("'\ud800'", "the expression is not valid Unicode", 1, 1),
        ("'a'\0 + b", "the expression holds the character U+0000", 1, 1),
    ],
)
def test_a_mistake_is_said_with_its_place_and_without_noise(expression: str, message: str, line: int, column: int) -> None:
    """Line and column are those of the expression, so that a configuration's reader can add its own."""
    with pytest.raises(ExpressionError) as caught:
        ENVIRONMENT.compile(expression, STRING)
    assert (caught.value.message, caught.value.line, caught.value.column) == (message, line, column)


@pytest.mark.parametrize(
    ("expression", "claims", "message"),
    [
        ("claims.missing", {}, 'Key not found in map : "missing"'),
        ("claims.a", {"a": 1}, "the expression gave int, not string"),
        ("claims.a", {"a": None}, "the expression gave null, not string"),
        ("claims.a", {"a": True}, "the expression gave bool, not string"),
        ("claims.a", {"a": ["x"]}, "the expression gave list, not string"),
        ("claims.a", {"a": 10**30}, "a variable holds a value that expressions cannot read"),
        ("claims.a", {"a": "\ud800"}, "the expression cannot read its variables"),
        ("claims.a", {"a": object()}, "a variable holds a value that expressions cannot read"),
        ("claims.a", {1: "x"}, "a variable holds a value that expressions cannot read"),
        ("claims.a + 'x'", {"a": 1}, "No matching overloads found : _+_(int64, string)"),
        ("string(1 / 0)", {}, "divide by zero"),
    ],
)
def test_a_value_that_is_missing_or_of_another_type_is_an_error(expression: str, claims: Any, message: str) -> None:
    """There is no default, no conversion and no truth of things that are none."""
    assert failure(ENVIRONMENT.compile(expression, STRING), claims) == message


@pytest.mark.parametrize(
    "claims", [{"a": "x\0y"}, {"a": "x", "b": "\0"}, {"a": "x", "b\0": 1}, {"a": "x", "b": [{"c": [1, "\0"]}]}]
)
def test_a_text_cannot_be_cut_short_by_a_nul(claims: Any) -> None:
    """The library ends a text at U+0000, so that one claim could pass for another; such values are refused as a whole."""
    for expression in ("claims.a", "segment(claims.a)"):
        assert failure(ENVIRONMENT.compile(expression, STRING), claims) == "a variable holds the character U+0000"
    assert "U+0000" in failure(ENVIRONMENT.compile('claims.a == "x"', BOOL), claims)


def test_a_truth_is_a_boolean() -> None:
    """Neither a number nor a text counts as true."""
    condition = ENVIRONMENT.compile("claims.a", BOOL)
    for value in (1, "true", "x", [True], None):
        assert "not bool" in failure(condition, {"a": value})
    assert condition.evaluate({"claims": {"a": False}}) is False


def test_messages_are_bounded_and_hold_no_value_of_a_variable() -> None:
    """What an expression was given may be private, and it is foreign text."""
    condition = ENVIRONMENT.compile("claims[claims.a] == 1", BOOL)
    message = failure(condition, {"a": "\x1b[31m" + "long" * 1000})
    assert len(message) <= MESSAGE_CHARACTERS
    assert "\x1b" not in message
    for value in (10**30, ("canary",), "canary"):
        assert "canary" not in failure(ENVIRONMENT.compile("string(int(claims.a))", STRING), {"a": value})


def test_what_an_error_quotes_costs_no_more_than_its_length() -> None:
    """It is read once. If an end were looked for from each beginning in it, that would take minutes."""
    expression = ENVIRONMENT.compile("claims.known[claims.key]", STRING)
    assert len(failure(expression, {"known": {}, "key": " expecting {" * 100_000})) <= MESSAGE_CHARACTERS


def test_the_variables_that_matter_are_known() -> None:
    """An expression that mentions no variable gives the same for everybody; a name bound inside is not the variable."""
    two = Environment({"claims": CLAIMS, "other": STRING})
    assert ENVIRONMENT.compile('"x"', STRING).reads == frozenset()
    assert ENVIRONMENT.compile("[1].exists(claims, claims == 1)", BOOL).reads == frozenset()
    assert two.compile("claims.a + other", STRING).reads == {"claims", "other"}
    assert two.compile("other", STRING).reads == {"other"}


@pytest.mark.parametrize("value", ["a", "a.b", "..a", "A-Z_0", "a" * 2000])
def test_a_legal_segment_passes(value: str) -> None:
    """SPIFFE-ID §2.2."""
    assert text("segment(claims.a)", {"a": value}) == value


@pytest.mark.parametrize("value", ["", ".", "..", "a/b", "/", "a b", "a%2f", "ä", "a\n", "*", "a" * 2048])
def test_what_is_no_one_segment_is_refused(value: str) -> None:
    """No claim can climb, descend or smuggle a character into an id, and none is quoted in the message."""
    message = failure(ENVIRONMENT.compile("segment(claims.a)", STRING), {"a": value})
    assert message.startswith("segment() was given")


@given(st.text(max_size=20))
def test_what_segment_lets_through_never_changes_the_path(value: str) -> None:
    """Naive model: the id built with it is legal and has exactly the segments that were written."""
    try:
        built = text('"spiffe://acme/ns/" + segment(claims.a) + "/sa"', {"a": value})
    except ExpressionError:
        return
    assert spiffe_id(built).split("/") == ["spiffe:", "", "acme", "ns", value, "sa"]


@given(st.text(max_size=60))
def test_any_text_is_an_expression_or_an_error_with_a_place(expression: str) -> None:
    """No input of an operator leads to another error."""
    mistake = None
    try:
        ENVIRONMENT.compile(expression, STRING)
    except ExpressionError as error:
        mistake = error
    assert mistake is None or (min(mistake.line, mistake.column) >= 1 and mistake.message.isprintable())
