"""Reads pairs of names and values as queries and forms hold them, in the one way there is; knows not what they are for."""

import re
from collections.abc import Iterable
from typing import Final
from urllib.parse import unquote

MOST_PAIRS: Final = 100
"""How many parts ampersands may make, empty ones too. Servers drop what is beyond a number of their own: OpenResty 100."""

_ESCAPES_RIGHT: Final = re.compile(r"(?:[^%]|%[0-9A-Fa-f]{2})*").fullmatch
_BLANK: Final = " \t\r\n+"
_UNDERSCORED: Final = str.maketrans("[]. ", "____")


class AmbiguousPairsError(Exception):
    """Two readers could find other names or values in it; the clause may be shown to the caller."""


def read_pairs(text: str) -> dict[str, list[str]]:
    """Names and values, decoded once as forms are. Raises `AmbiguousPairsError` for what could be read differently."""
    if text.count("&") >= MOST_PAIRS:
        raise AmbiguousPairsError(f"holds more than {MOST_PAIRS} pairs")
    if ";" in text or _ESCAPES_RIGHT(text) is None:
        raise AmbiguousPairsError("holds a semicolon or a broken escape")
    found: dict[str, list[str]] = {}
    try:
        for part in filter(None, text.split("&")):
            name, _, value = part.partition("=")
            found.setdefault(_decoded(name), []).append(_decoded(value))
    except UnicodeDecodeError:
        raise AmbiguousPairsError("is not UTF-8 when its escapes are resolved") from None
    return found


def spelled_otherwise(found: Iterable[str], names: Iterable[str]) -> bool:
    """Whether some server would take a name that was found for another one of `names`."""
    meant: dict[str, str | None] = {}
    for name in names:
        for reading in readings(name):
            meant[reading] = name if meant.get(reading, name) == name else None  # of two names each is another one
    return any(meant.get(reading, name) != name for name in found for reading in readings(name))


def readings(name: str) -> tuple[str, str]:
    """What servers take a decoded name for, in small letters: for its first word, or for one word as a whole.

    Of `[scope]`, `scope[]` and `scope[a` the first word is `scope`: so Rails reads them, and PHP a list. Of what is no list PHP
    makes one word, with `_` for a bracket, a dot or a space: `scope_a`.
    """
    whole = name.partition("\0")[0].lstrip(_BLANK).casefold()
    first = whole.lstrip(_BLANK + "[]").replace("]", "[").partition("[")[0].rstrip(_BLANK)
    return first.translate(_UNDERSCORED), whole.translate(_UNDERSCORED)


def _decoded(text: str) -> str:
    return unquote(text.replace("+", " "), errors="strict")
