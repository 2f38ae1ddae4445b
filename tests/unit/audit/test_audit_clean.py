"""Tests of cleaning callers' strings."""

import orjson
import pytest

from gateway.audit.clean import Quoted, QuotedList, QuotedMap, clean

JWT = "eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJhIn0.c2lnbmF0dXJl"


@pytest.mark.parametrize(
    "text",
    [
        f"dwt_{JWT}",
        JWT,
        f"Bearer {JWT}",
        f"/v1/{JWT}/x",
        "/v1/dwt%5FeyJ",
        "/v1/%64wt_" + JWT,
        "/v1/%2564wt_" + JWT,
        "sk-proj-abcdefghijklmnop",
        "ghp_abcdefghijklmnopqrst",
        "AKIAIOSFODNN7EXAMPLE",
        "x" * 3000 + JWT,
        JWT + "x" * 3000,
    ],
)
def test_tokens_are_replaced(text):
    """Whatever has the form of a token does not come out, in whole or in part, also under percent encoding."""
    cleaned = clean(text, 8192)
    assert "[token]" in cleaned
    assert "eyJ" not in cleaned
    assert "c2lnbmF0dXJl" not in cleaned
    assert "abcdefgh" not in cleaned
    assert "EXAMPLE" not in cleaned


@pytest.mark.parametrize("text", ["/v1/task-0123456789abcdef", "/desk-0123456789abcdef", "close March", "eyJ", "/%7Buser"])
def test_words_stay(text):
    """What only resembles a token stays as it is."""
    assert clean(text, 8192) == text


def test_control_characters_are_replaced():
    """Line breaks, escapes, direction marks and lone surrogates cannot forge or hide anything in a terminal."""
    cleaned = clean("a\r\nb\x1b[2J\u202e\u2028\ud800\x7fc", 100)
    assert cleaned.isprintable()
    assert cleaned.startswith("a")
    assert cleaned.endswith("c")


@pytest.mark.parametrize("letter", ["a", '"', "\\", "é", "€", "😀", "\x00"])
def test_a_cap_holds_in_bytes_of_json(letter):
    """However a character is encoded, the JSON form has at most the limit of bytes between its quotes."""
    made = Quoted(64).of(letter * 5000)
    assert len(made.encode()) <= 66
    assert orjson.loads(made).endswith("…")


def test_nothing_is_null():
    """None becomes null."""
    assert Quoted(8).of(None) == "null"


def test_a_string_with_a_token_is_not_remembered():
    """The cache holds no token."""
    quoted = Quoted(256)
    quoted.of(JWT)
    quoted.of("plain")
    quoted.of('not " plain')
    assert quoted._known.keys() == {"plain", 'not " plain'}


def test_the_cache_is_bounded():
    """A caller that never repeats itself cannot fill the memory."""
    quoted = Quoted(64)
    for number in range(10_000):
        quoted.of(str(number))
    assert len(quoted._known) <= 4097


def test_lists_and_maps_are_bounded():
    """Too many elements are cut; of a map as of a list."""
    assert orjson.loads(QuotedList(3, 8).of(("a", "b", "c", "d"))) == ["a", "b", "…"]
    assert orjson.loads(QuotedMap(2, 8, 8).of({"a": "1", "b": "2", "c": "3"})) == {"a": "1", "b": "2"}
    assert QuotedList(3, 8).of(()) == "[]"
    assert QuotedMap(2, 8, 8).of({}) == "{}"
