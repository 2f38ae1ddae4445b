"""The core schema of YAML 1.2, compared with a naive reading of its table (§10.3.2)."""

import math
import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gateway.settings.scalars import NotAScalarError, UnsetVariableError, resolve, substitute
from gateway.settings.starter import scalar
from gateway.settings.yaml_file import parse_yaml

TABLE = [
    (r"null|Null|NULL|~|", lambda _: None),
    (r"true|True|TRUE", lambda _: True),
    (r"false|False|FALSE", lambda _: False),
    (r"[-+]?[0-9]+", int),
    (r"0o[0-7]+", lambda text: int(text, 0)),
    (r"0x[0-9a-fA-F]+", lambda text: int(text, 0)),
    (r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?", float),
    (r"[-+]?(\.inf|\.Inf|\.INF)", lambda text: -math.inf if text[0] == "-" else math.inf),
]


def naive(text: str) -> object:
    """The first row of the table that fits, else text."""
    return next((value(text) for pattern, value in TABLE if re.fullmatch(pattern, text)), text)


LOOKS_LIKE_SOMETHING = st.one_of(
    st.text(alphabet="0123456789+-.eExoabf_:", max_size=12),
    st.sampled_from(
        ["no", "off", "yes", "on", "y", "n", "No", "OFF", "1:30", "2027-01-31", "1_000", "0b1", "=", "<<", "~", ""]
    ),
    st.sampled_from(
        ["null", "Null", "NULL", "nUll", "true", "True", "TRUE", "tRue", "false", "FALSE", ".inf", "-.INF", "+.Inf"]
    ),
    st.text(max_size=20),
    st.integers().map(str),
    st.floats(allow_nan=False).map(str),
)


@given(LOOKS_LIKE_SOMETHING)
@example("012")
@example("٣")
def test_plain_scalars_follow_the_core_schema(text: str) -> None:
    """Every plain scalar has the type and value that the table of the standard gives it."""
    value = resolve(text, None, plain=True)
    assert (type(value), value) == (type(naive(text)), naive(text))


@given(LOOKS_LIKE_SOMETHING)
def test_quoted_scalars_are_text(text: str) -> None:
    """Quotes make text of whatever stands in them."""
    assert resolve(text, None, plain=False) == text


@given(st.text(st.characters(blacklist_categories=["Cs"], blacklist_characters="\0\x7f"), max_size=40))
def test_written_scalars_read_as_the_same_text(text: str) -> None:
    """Whatever `init` writes comes back as it was, and never as a variable, a comment or another type."""
    written = scalar(text)
    if re.search(r"[\x80-\x9f\ufffe\uffff\ufeff\u2028\u2029]", text):
        return
    root, flaws = parse_yaml(f"a: {written}\nb: [{written}]\n", "f", {})
    assert (root.value, flaws) == ({"a": text, "b": [text]}, [])


def test_not_a_number() -> None:
    """The one value that equals nothing."""
    value = resolve(".nan", None, plain=True)
    assert isinstance(value, float)
    assert math.isnan(value)


@pytest.mark.parametrize("name", ["int", "float", "bool", "null"])
def test_a_tag_that_does_not_fit_is_refused(name: str) -> None:
    """The sentence does not repeat the value."""
    with pytest.raises(NotAScalarError) as caught:
        resolve("canary", f"tag:yaml.org,2002:{name}", plain=False)
    assert "canary" not in str(caught.value)


@given(st.text(alphabet="a${}:-NV", max_size=20))
def test_substitution_shows_no_value(text: str) -> None:
    """An error names the variable at most."""
    try:
        value, names = substitute(text, {"V": "canary"})
    except UnsetVariableError as error:
        assert "canary" not in str(error)  # noqa: PT017 it need not fail
    else:
        assert ("canary" in value) == bool(names)
