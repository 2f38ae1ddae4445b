"""Target: request targets, against what other libraries make of paths; knows no routes.

A path that is accepted is already what every one of them would make of it: nothing is left to normalise, and decoding it
once gives the same segments everywhere.
"""

import posixpath
from collections.abc import Hashable
from urllib.parse import parse_qsl, unquote, unquote_to_bytes, urljoin, urlsplit

from yarl import URL

from gateway.http.target import AmbiguousTargetError, Target, parse_target, query_names

BASE = "http://upstream.test"


def check(raw: bytes) -> Hashable:
    """Read the target. What came of it; raises `AssertionError` where an invariant broke."""
    text = raw.decode("latin-1")
    try:
        target = parse_target(text)
    except AmbiguousTargetError as error:
        return str(error)
    assert text == target.path + ("" if target.query is None else "?" + target.query)
    assert text.isascii()
    _check_path(target)
    _check_query(target)
    return len(target.segments) > 1, target.path.endswith("/"), "%" in target.path, target.query is not None


def verdict(raw: bytes) -> str:
    """In words, for a named case."""
    try:
        parse_target(raw.decode("latin-1"))
    except AmbiguousTargetError:
        return "refused"
    return "read"


def _check_path(target: Target) -> None:
    path = target.path
    decoded = unquote(path, errors="strict")
    assert path.startswith("/")
    assert tuple(unquote(segment, errors="strict") for segment in path[1:].split("/")) == target.segments
    assert tuple(decoded[1:].split("/")) == target.segments, "an escape hides a slash"
    assert unquote(decoded) == decoded, "decoding twice gives another path"
    slash = "/" if path.endswith("/") and path != "/" else ""
    assert posixpath.normpath(decoded) + slash == decoded, "posixpath would change it"
    assert posixpath.normpath(path) + slash == path
    split = urlsplit(BASE + path)
    assert (split.path, split.query, split.fragment, split.netloc) == (path, "", "", "upstream.test")
    assert urljoin(BASE + "/other/page", path) == BASE + path, "urljoin would change it"
    assert URL(BASE + path).path == decoded, "yarl would change it"
    assert "\\" not in decoded
    assert min(unquote_to_bytes(path)) > 0x1F


def _check_query(target: Target) -> None:
    """The names are those that everybody finds, with what could be a value left out; no value is told."""
    if target.query is None:
        assert query_names(None) == ()
        return
    assert urlsplit(BASE + target.path + "?" + target.query).query == target.query
    pairs = [pair for pair in target.query.split("&") if pair]
    assert len(query_names(target.query)) == len(pairs)
    for name, pair in zip(query_names(target.query), pairs, strict=True):
        assert name == "" or parse_qsl(pair, keep_blank_values=True, encoding="latin-1")[0][0] == unquote(
            name.replace("+", " "), encoding="latin-1"
        )
