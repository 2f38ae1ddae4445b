"""Reads pairs of names and values as queries and forms hold them, in the one way there is; knows not what they are for."""

import re
from collections.abc import Iterable
from typing import Final
from urllib.parse import unquote

_ESCAPES_RIGHT: Final = re.compile(r"(?:[^%]|%[0-9A-Fa-f]{2})*").fullmatch


class AmbiguousPairsError(Exception):
    """Two readers could find other names or values in it; the clause may be shown to the caller."""


def read_pairs(text: str) -> dict[str, list[str]]:
    """Names and values, decoded once as forms are. Raises `AmbiguousPairsError` for what could be read differently."""
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
        plain = plain_name(name)
        meant[plain] = name if meant.get(plain, name) == name else None  # of two names each is another one
    return any(meant.get(plain_name(name), name) != name for name in found)


def plain_name(name: str) -> str:
    """What a decoded name has in common with all that some server would take for it."""
    return name.partition("[")[0].partition("\0")[0].strip(" \t\r\n+").replace(".", "_").replace(" ", "_").casefold()


def _decoded(text: str) -> str:
    return unquote(text.replace("+", " "), errors="strict")
