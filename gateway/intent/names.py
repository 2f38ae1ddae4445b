"""The names of what a server of MCP offers, each in one spelling and no other; knows neither messages nor intents.

A tool or a prompt has a name, a resource a URI. They are compared as segments, like the segments of a path, so that one tree
holds all operations.
"""

import re
from typing import Final
from urllib.parse import unquote

KINDS: Final = ("tool", "prompt", "resource")
"""What an operation of MCP may be of, as operators write it: `tool add_issue`."""
LONGEST_NAME: Final = 128
"""The longest name of a tool or a prompt, in characters."""
LONGEST_URI: Final = 2048
"""The longest URI of a resource, in characters."""

_NAME: Final = re.compile(r"[A-Za-z0-9_./:@+-]+").fullmatch
_URI: Final = re.compile(r"[a-z][a-z0-9+.-]*:(?:[A-Za-z0-9._~!$&'()*+,;=:@/?#\[\]-]|%[0-9A-Fa-f]{2})+").fullmatch
_ESCAPED: Final = re.compile(r"%(..)").findall
_NEEDLESSLY: Final = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~/\\\x7f") | frozenset(
    range(0x20)
)


class UnfitNameError(ValueError):
    """A name that two readers could take for different ones; the clause may be shown to the caller."""


def segments_of(kind: str, name: str) -> tuple[str, ...]:
    """What is compared with the templates of operations. Raises `UnfitNameError`."""
    if kind != "resource":
        if len(name) > LONGEST_NAME or _NAME(name) is None:
            raise UnfitNameError(f"a {kind} has a name of up to {LONGEST_NAME} letters, digits and _ . / : @ + -")
        return (name,)
    if len(name) > LONGEST_URI or _URI(name) is None:
        raise UnfitNameError("a resource has a URI with its scheme in lower case, as in RFC 3986")
    return checked_segments(name.split("/"))


def checked_segments(raw: list[str]) -> tuple[str, ...]:
    """The segments of a URI, percent-decoded once. Raises `UnfitNameError`."""
    for digits in _ESCAPED("/".join(raw)):
        if int(digits, 16) in _NEEDLESSLY:
            raise UnfitNameError(
                "the URI of a resource escapes what needs no escape, or a slash, a backslash or a control byte"
            )
    if "" in raw[3:-1]:  # the two before are the slashes of an authority, which may be empty, as in file:///a
        raise UnfitNameError("the URI of a resource has an empty segment")
    segments = []
    for segment in raw:
        try:
            decoded = unquote(segment, errors="strict") if "%" in segment else segment
        except UnicodeDecodeError:
            raise UnfitNameError("the URI of a resource escapes bytes that are not UTF-8") from None
        if decoded in (".", "..") or ("%" in decoded and re.search(r"%[0-9A-Fa-f]{2}", decoded) is not None):
            raise UnfitNameError("the URI of a resource has a dot segment, or is escaped twice")
        segments.append(decoded)
    return tuple(segments)
