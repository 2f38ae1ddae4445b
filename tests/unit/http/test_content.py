"""What rules read of a body has one meaning or none."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import Refusal
from gateway.http.content import DEEPEST, Content
from gateway.http.query import MOST_PAIRS, AmbiguousPairsError, read_pairs, spelled_otherwise

JSON = b"application/json"
FORM = b"application/x-www-form-urlencoded"


def json_of(body: bytes, kind: bytes | None = JSON, *, coded: bool = False) -> object:
    return Content(body, kind, coded=coded).json


def form_of(body: bytes, kind: bytes | None = FORM) -> dict[str, list[str]]:
    return Content(body, kind, coded=False).form


@pytest.mark.parametrize(
    "kind", [JSON, b"Application/JSON;charset=UTF-8", b"application/problem+json", b'application/json; charset="utf-8"']
)
def test_json_is_read_where_its_type_says_so(kind: bytes) -> None:
    """Every type of JSON in UTF-8 will do."""
    assert json_of(b'{"a": [1, "x", null]}', kind) == {"a": [1, "x", None]}


@pytest.mark.parametrize(
    "body",
    [
        b'{"a":1,"a":2}', b'{"a":1,"A":2}', b'{"a":1,"\\u0061":2}', b'{"x":{"a":1,"a":1}}', b'[{"k":1,"\xe2\x84\xaa":2}]',
        b'{"a":NaN}', b'{"a":Infinity}', b"{'a':1}", b'{"a":1,}', b"{} {}", b"\xef\xbb\xbf{}", b'{"a":"\xff"}',
        b'{"a":"\\ud800"}',
        '{"a":1}'.encode("utf-16"), b"{", b"/**/{}", b'{"a":01}',
    ],
)  # fmt: skip
def test_json_that_readers_read_differently_is_refused(body: bytes) -> None:
    """Twice the same member in whatever letters, what only some parsers take, and what is no JSON."""
    with pytest.raises(Refusal, match="request_malformed"):
        json_of(body)


@pytest.mark.parametrize(
    "kind",
    [None, b"text/plain", FORM, b"application/json; charset=utf-16", b"application/jsonp", b"application/json, text/plain"],
)
def test_what_does_not_say_that_it_is_json_is_refused(kind: bytes | None) -> None:
    """The upstream would read it as something else than the rule has."""
    with pytest.raises(Refusal, match="request_malformed"):
        json_of(b'{"a":1}', kind)


def test_an_encoded_body_is_refused() -> None:
    """What is compressed cannot be judged as it stands."""
    with pytest.raises(Refusal, match="request_malformed"):
        json_of(b"{}", coded=True)


def test_no_body_is_an_empty_object_and_an_empty_form() -> None:
    """So a rule can ask with `has()` of requests with and without a body."""
    assert json_of(b"", None) == {}
    assert form_of(b"", None) == {}


def test_json_stands_only_so_deep_in_itself() -> None:
    """Deeper than `DEEPEST` is refused, however much deeper."""
    assert json_of(b"[" * DEEPEST + b"]" * DEEPEST) is not None
    for depth in (DEEPEST + 1, 1000, 30_000):
        with pytest.raises(Refusal, match="request_malformed"):
            json_of(b"[" * depth + b"]" * depth)


def test_a_form_is_decoded_once() -> None:
    """Plus is a space, and an escape is resolved one time."""
    assert form_of(b"a=1+2&b=%2541&a=3") == {"a": ["1 2", "3"], "b": ["%41"]}


@pytest.mark.parametrize(
    "body",
    [
        b"a=1;b=2", b"a=%zz", b"a=%ff", b"a=\xc3\xbc",
        b"a=1&A=2", b"a=1&a[]=2", b"a=1&[a]=2", b"a.b=1&a_b=2", b"a_b=1&a[b=2",
    ],
)  # fmt: skip
def test_a_form_that_servers_read_differently_is_refused(body: bytes) -> None:
    """Semicolons, broken escapes, bytes that should be escaped, and names that some servers take for one."""
    with pytest.raises(Refusal, match="request_malformed"):
        form_of(body)


@pytest.mark.parametrize(
    "name",
    [
        "Force", "FORCE", " force", "force ", "+force", "force\0x", "force[]", "force[0]", "force[a][b]", "force [0]",
        "force[0", "[force]", "[force", "]force", "[]force", "[][force]", "force]", "force]0", " [force]", "[ force]",
    ],
)  # fmt: skip
def test_other_spellings_of_a_name_are_seen(name: str) -> None:
    """What PHP, Rails, Express or a server that ignores case would take for the name."""
    assert spelled_otherwise([name], ["force"])
    assert spelled_otherwise(["force"], [name])
    assert not spelled_otherwise(["force", "forced", "[forced]", "en[force]", "force_x"], ["force"])


@pytest.mark.parametrize("name", ["a.b", "a b", "a[b", "A[b", " a[b", "a_b[]", "[a_b]", "[a.b", "a_b]"])
def test_what_php_makes_one_word_of_is_seen(name: str) -> None:
    """A dot and a space become an underscore, and so does a bracket that nothing closes."""
    assert spelled_otherwise([name], ["a_b"])
    assert not spelled_otherwise(["a_b", "a_bc", "a", "a-b", "a[b]"], ["a_b"])


def test_a_space_behind_a_name_is_seen_as_either_reading() -> None:
    """Some servers cut it off, and PHP makes an underscore of it."""
    assert spelled_otherwise(["a "], ["a"])
    assert spelled_otherwise(["a "], ["a_"])


def test_a_name_that_two_names_are_taken_for_is_another_spelling() -> None:
    """Of the names that are read, too."""
    assert spelled_otherwise(["a_b"], ["a_b", "a.b"])
    assert not spelled_otherwise(["a_b"], ["a_b", "a-b"])


def test_many_names_are_compared_in_one_pass() -> None:
    """If each were compared with each other one, this would take hours."""
    names = [f"a{number}" for number in range(100_000)]
    assert not spelled_otherwise(names, names)
    assert spelled_otherwise([*names, "A99999"], names)


@pytest.mark.parametrize("part", ["", "a=1", "a[]=1", "b"])
def test_only_so_many_pairs_are_read(part: str) -> None:
    """A server drops what is beyond its own number, counting as it likes, and with it what a rule goes by."""
    filling = f"{part}&" * (MOST_PAIRS - 1)
    assert read_pairs(f"{filling}z=1")["z"] == ["1"]
    for text in (f"{filling}z=1&", f"{filling}z=1&z=2"):
        with pytest.raises(AmbiguousPairsError, match="holds more than 100 pairs"):
            read_pairs(text)
    with pytest.raises(Refusal, match="request_malformed"):
        form_of(f"{filling}z=1&y=2".encode())


@given(st.text("ab=&%+;1", max_size=20))
def test_pairs_are_read_or_refused(text: str) -> None:
    """Nothing but the one error comes out of a text, and what is read holds every name at least once."""
    try:
        pairs = read_pairs(text)
    except AmbiguousPairsError:
        return
    assert sum(map(len, pairs.values())) == len([part for part in text.split("&") if part])
