"""The request target: the one strict reading of a path and a query; knows nothing of routes and operations."""

import re
from collections.abc import Collection
from typing import Final, NamedTuple, final
from urllib.parse import unquote

# Almost every path is plain. What has escapes, dots at a segment's start or a trailing slash meets the longer check.
_PLAIN: Final = re.compile(r"(?:/[A-Za-z0-9_~!$&'()*+,=:@-][A-Za-z0-9_.~!$&'()*+,=:@-]*)+").fullmatch
_LEGAL: Final = re.compile(r"(?:/(?:[A-Za-z0-9_.~!$&'()*+,=:@-]|%[0-9A-Fa-f]{2})+)*/?").fullmatch
_ABSOLUTE: Final = re.compile(r"(https?)://([^/?]+)(/.*)", re.IGNORECASE).fullmatch
_QUERY: Final = re.compile(r"[A-Za-z0-9_.~!$&'()*+,;=:@/?%\[\]-]*").fullmatch
_ESCAPED: Final = re.compile(r"%(..)").findall
_UNRESERVED: Final = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")
_FORBIDDEN: Final = frozenset(b"/\\\x7f") | frozenset(range(0x20))


@final
class Target:
    """A request target in origin form. `path` and `query` are as they came, `segments` percent-decoded once.

    A path is `plain` if nothing in it is escaped, so that its segments are parts of it as they stand.
    """

    __slots__ = ("path", "plain", "query", "segments")

    def __init__(self, path: str, query: str | None, segments: tuple[str, ...], *, plain: bool) -> None:
        self.path: Final = path
        self.query: Final = query
        self.segments: Final = segments
        self.plain: Final = plain


class Absolute(NamedTuple):
    """What a target in absolute form says besides its origin form. `authority` is host and port as they came."""

    scheme: str
    authority: str


class AmbiguousTargetError(Exception):
    """A path that the gateway and an upstream could read differently; the sentence may be shown to the caller."""


def split_absolute(target: str) -> tuple[Absolute, str]:
    """Take the origin form out of a target that begins with no slash (RFC 9112 §3.2.2). Raises `AmbiguousTargetError`.

    It has to have a path: without one OPTIONS would mean the server as a whole (§3.2.4), and GET the root.
    """
    parts = _ABSOLUTE(target)
    if parts is None:
        if target == "*":
            raise AmbiguousTargetError("The asterisk stands for the gateway as a whole, on which there is no operation.")
        raise AmbiguousTargetError("The target is neither a path nor an http or https URL with a path.")
    if "@" in parts[2]:
        raise AmbiguousTargetError("The target names a user.")
    return Absolute(parts[1].lower(), parts[2]), parts[3]


def parse_target(target: str) -> Target:
    """Read an origin-form target (RFC 9112 §3.2.1). Raises `AmbiguousTargetError`."""
    path, mark, query = target.partition("?")
    if mark and _QUERY(query) is None:
        raise AmbiguousTargetError("The query holds bytes that a URL may not hold.")
    plain = _PLAIN(path) is not None
    segments = path[1:].split("/") if plain else _checked_segments(path)
    return Target(path, query if mark else None, tuple(segments), plain=plain)


def _checked_segments(path: str) -> list[str]:
    if not path or _LEGAL(path) is None:
        raise AmbiguousTargetError(
            "The path must begin with a slash and hold no empty segment, semicolon, backslash or byte outside RFC 3986."
        )
    for digits in _ESCAPED(path):
        byte = int(digits, 16)
        if byte in _UNRESERVED:
            raise AmbiguousTargetError("The path escapes a character that needs no escape.")
        if byte in _FORBIDDEN:
            raise AmbiguousTargetError("The path escapes a slash, a backslash or a control byte.")
    segments = [_decoded(segment) for segment in path[1:].split("/")]
    for segment in segments:
        if segment in (".", ".."):
            raise AmbiguousTargetError("The path has a dot segment.")
    return segments


def _decoded(segment: str) -> str:
    if "%" not in segment:
        return segment
    try:
        decoded = unquote(segment, errors="strict")
    except UnicodeDecodeError:
        raise AmbiguousTargetError("The path escapes bytes that are not UTF-8.") from None
    if _ESCAPED(decoded) and re.search(r"%[0-9A-Fa-f]{2}", decoded) is not None:
        raise AmbiguousTargetError("The path is escaped twice.")
    return decoded


def query_names(query: str | None, told: Collection[str] = ()) -> tuple[str, ...]:
    """The names in a query, as they came and in order; those in `told` with an equals sign and their values.

    What stands without an equals sign could be a value, so its name is empty.
    """
    if not query:
        return ()
    if not told:
        return tuple(pair.partition("=")[0] if "=" in pair else "" for pair in query.split("&") if pair)
    pairs = [(pair, pair.partition("=")[0] if "=" in pair else "") for pair in query.split("&") if pair]
    return tuple(pair if name in told else name for pair, name in pairs)
