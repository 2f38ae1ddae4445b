"""The request target: one strict reading of a path."""

import pytest

from gateway.http.target import Absolute, AmbiguousTargetError, parse_target, query_names, split_absolute


@pytest.mark.parametrize(
    ("target", "segments"),
    [
        ("/", ("",)),
        ("/a", ("a",)),
        ("/a/", ("a", "")),
        ("/v1/customers/42/invoices?limit=3", ("v1", "customers", "42", "invoices")),
        ("/a%20b", ("a b",)),
        ("/a%3Ab", ("a:b",)),
        ("/caf%C3%A9", ("café",)),
        ("/a%3Bb=c", ("a;b=c",)),
        ("/.well-known/x", (".well-known", "x")),
        ("/...", ("...",)),
        ("/100%25", ("100%",)),
    ],
)
def test_a_plain_path_is_decoded_once(target: str, segments: tuple[str, ...]) -> None:
    """What templates are compared with is the path's segments, decoded exactly once."""
    assert parse_target(target).segments == segments


@pytest.mark.parametrize(
    "target",
    [
        "",
        "a",
        "*",
        "//a",
        "/a//b",
        "/a//",
        "/.",
        "/..",
        "/a/../b",
        "/a/./b",
        "/a/..",
        "/%2e%2e/a",
        "/a/%2E%2e",
        "/a/.%2e/b",
        "/..;/a",
        "/..;x=y/a",
        "/.;/a",
        "/a;b=c",
        "/admin;x=1/y",
        "/a%2fb",
        "/a%2Fb",
        "/a%5cb",
        "/a\\b",
        "/a%00b",
        "/a%0d%0ab",
        "/a%7fb",
        "/%61",
        "/a%7Eb",
        "/a%",
        "/a%4",
        "/a%zz",
        "/a%252e%252e/b",
        "/a%252fb",
        "/a%2541",
        "/a%ff",
        "/a%c0%ae",
        "/a%ed%a0%80",
        "/a b",
        "/a\x00",
        "/a\xe9",
        "/a#b",
        "/a?b\x00",
        "/a?b c",
        "/a?<x>",
    ],
)
def test_a_path_that_could_be_read_twice_is_refused(target: str) -> None:
    """Dot segments, escapes of slashes, needless or double escapes, empty segments and foreign bytes have one answer: no."""
    with pytest.raises(AmbiguousTargetError):
        parse_target(target)


@pytest.mark.parametrize(
    ("query", "names"),
    [(None, ()), ("", ()), ("a=1&b=2&a=3", ("a", "b", "a")), ("a&b=", ("", "b")), ("=x&&b=1", ("", "b"))],
)
def test_of_a_query_only_the_names_are_told(query: str | None, names: tuple[str, ...]) -> None:
    """Values never leave the request."""
    assert query_names(query) == names


def test_an_absolute_target_falls_into_its_parts() -> None:
    """The scheme in lower case, the authority as it came, and a path that is then read like any other."""
    assert split_absolute("HTTP://Host:80/a?b=/c") == (Absolute("http", "Host:80"), "/a?b=/c")


@pytest.mark.parametrize(
    "target", ["*", "a", "http://", "http://h", "http://h?a", "http:///a", "ftp://h/a", "http:/h/a", "http://u@h/a"]
)
def test_what_is_no_absolute_target_is_refused(target: str) -> None:
    """It has a scheme that is served, an authority without user, and a path."""
    with pytest.raises(AmbiguousTargetError):
        split_absolute(target)


def test_of_a_query_only_names_are_told_and_of_these_the_values():
    """What stands without an equals sign could be a value, whatever is asked for."""
    query = "limit=50&token=abc&limit=%20&limit&=x"
    assert query_names(query) == ("limit", "token", "limit", "", "")
    assert query_names(query, frozenset({"limit"})) == ("limit=50", "token", "limit=%20", "", "")
    assert query_names(None, frozenset({"limit"})) == ()
