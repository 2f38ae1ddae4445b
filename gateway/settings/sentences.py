"""Turns the failures of validation into sentences for operators; knows nothing of what the entries do.

No sentence shows a value from the file, save a short one where only known words may stand: what stands in a wrong place could
be a secret. What came from an environment variable is never shown.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from difflib import get_close_matches
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

from pydantic import ValidationError

from gateway.errors import Flaw
from gateway.settings.nodes import Found, Node, Where

if TYPE_CHECKING:
    from gateway.settings.schema import Known

_SHOWN = re.compile(r"[^\x00-\x1f\x7f-\x9f]{1,64}").fullmatch
_LISTED: Final = 24
_PART: Final = 4
"""So many characters of a value from the environment are too many to show."""
_OF_KEY: Final = "[key]"


def flaws_of(error: ValidationError, root: Node) -> Iterator[Flaw]:
    """One flaw for each failure, at the place of the value, or of the key when the key is what is wrong."""
    failures = error.errors(include_url=False)
    misspelt = {(one["loc"][:-1], _meant(one["loc"])) for one in failures if one["type"] == "extra_forbidden"}
    for failure in failures:
        where = tuple(failure["loc"])
        kind = failure["type"]
        found = root.nearest(where)
        if found.node.broken or kind == "default_factory_not_called":
            continue
        if kind == "missing" and (where[:-1], where[-1]) in misspelt:
            continue
        # A list with a wrong item is too short as well, since pydantic counts the right ones.
        if kind == "too_short" and len(failure["input"]) >= failure["ctx"]["min_length"]:
            continue
        about_key = kind in {"missing", "extra_forbidden"} or where[-1:] == (_OF_KEY,)
        place = found.of_key if about_key else found.of_value
        yield Flaw(found.node.file, place.line, place.column, _sentence(failure, where, found))


def nearest_name(name: str, known: Iterable[str]) -> str | None:
    """The known name that was probably meant."""
    return _nearest(name, tuple(known))


@lru_cache(maxsize=64)
def _nearest(name: str, known: tuple[str, ...]) -> str | None:
    return next(iter(get_close_matches(name, known, n=1)), None)


def shown(name: object) -> str:
    """A key or name in quotes; one that is too long or odd to be a name is not repeated."""
    return f"'{name}'" if isinstance(name, str) and _SHOWN(name) is not None else "(not shown)"


def unknown(noun: str, name: str, known: Iterable[str], *, always_list: bool = False) -> str:
    """What to say of a name that nobody knows: the nearest one, or all there are."""
    names = tuple(known)
    meant = nearest_name(name, names)
    sentence = f"unknown {noun} {shown(name)}"
    if meant is None or always_list:
        listed = ", ".join(sorted(names)[:_LISTED]) + (", ..." if len(names) > _LISTED else "")
        sentence += f"; known: {listed}" if names else f"; there is no {noun} yet"
    return sentence if meant is None else f"{sentence}; did you mean '{meant}'?"


def _sentence(failure: Mapping[str, Any], where: Where, found: Found) -> str:
    write = _SENTENCES.get(failure["type"])
    if write is not None:
        return write(failure, where, found)
    message = str(failure["ctx"]["error"]) if failure["type"] == "value_error" else str(failure["msg"])
    return without_environment(message.replace("Input should be", "expected"), found.node)


def without_environment(message: str, node: Node) -> str:
    """The message, unless it repeats a part of what came from an environment variable at or below this value."""
    for below in node.walk():
        if below.variables and _repeats(message, below.value):
            return f"what comes from the environment variable {below.variables[0]} does not fit here"
    return message


def _repeats(message: str, value: str) -> bool:
    return any(value[at : at + _PART] in message for at in range(max(1, len(value) - _PART + 1)) if value)


def _missing(_failure: Mapping[str, Any], where: Where, _found: Found) -> str:
    name = where[-1]
    about = _known_at(where[:-1]).names.get(str(name), "").partition(". ")[0]
    kind = "section" if len(where) == 1 else "key"
    if not about:
        return f"the {kind} {shown(name)} is missing"
    # A word such as SPIFFE stays as it is.
    first = about[0] if about[1:2].isupper() else about[0].lower()
    return f"the {kind} {shown(name)} is missing: {first}{about[1:].rstrip('.')}"


def _extra(_failure: Mapping[str, Any], where: Where, _found: Found) -> str:
    known = _known_at(where[:-1])
    if not known.names:
        return f"unknown {known.noun} {shown(where[-1])}; nothing belongs here"
    return unknown(known.noun, str(where[-1]), known.names, always_list=known.noun != "key")


def _known_at(where: Where) -> "Known":
    from gateway.settings.schema import known_at  # noqa: PLC0415 a configuration without mistakes needs no schema

    return known_at(where)


def _meant(where: Where) -> str | None:
    return nearest_name(str(where[-1]), _known_at(where[:-1]).names)


def _literal(failure: Mapping[str, Any], _where: Where, found: Found) -> str:
    expected = failure["ctx"]["expected"].replace("'", "")
    value = found.node.value
    if found.node.variables or not isinstance(value, str) or _SHOWN(value) is None:
        return f"expected {expected}"
    meant = nearest_name(value, expected.replace(" or ", ", ").split(", "))
    return f"expected {expected}, not '{value}'" + (f"; did you mean '{meant}'?" if meant else "")


def _expected(what: str) -> Callable[[Mapping[str, Any], Where, Found], str]:
    def write(failure: Mapping[str, Any], _where: Where, _found: Found) -> str:
        return f"expected {what}, found {_kind(failure['input'])}"

    return write


def _text(failure: Mapping[str, Any], _where: Where, _found: Found) -> str:
    value = failure["input"]
    scalar = isinstance(value, bool | int | float)
    return f"expected text, found {_kind(value)}" + ("; put it in quotes" if scalar else "")


def _bound(words: str, key: str) -> Callable[[Mapping[str, Any], Where, Found], str]:
    def write(failure: Mapping[str, Any], _where: Where, _found: Found) -> str:
        bound = failure["ctx"][key]
        return words.format(f"{bound:g}s" if isinstance(bound, float) else bound)

    return write


def _kind(value: object) -> str:
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return "true or false"
    for kind, words in (
        (str, "text"),
        (int, "a number"),
        (float, "a number with a fraction"),
        (dict, "a mapping"),
        (list, "a list"),
    ):
        if isinstance(value, kind):
            return words
    return "something else"


_MAPPING: Final = _expected("a mapping (`key: value`)")
_LIST: Final = _expected("a list (`- item`, or [item, item])")
_WHOLE: Final = _expected("a whole number")
_TRUTH: Final = _expected("true or false")

_SENTENCES: Final[Mapping[str, Callable[[Mapping[str, Any], Where, Found], str]]] = {
    "missing": _missing,
    "extra_forbidden": _extra,
    "literal_error": _literal,
    "model_type": _MAPPING,
    "model_attributes_type": _MAPPING,
    "dict_type": _MAPPING,
    "list_type": _LIST,
    "tuple_type": _LIST,
    "string_type": _text,
    "int_type": _WHOLE,
    "int_parsing": _WHOLE,
    "int_from_float": _WHOLE,
    "bool_type": _TRUTH,
    "bool_parsing": _TRUTH,
    "greater_than_equal": _bound("expected at least {}", "ge"),
    "less_than_equal": _bound("expected at most {}", "le"),
    "int_parsing_size": _WHOLE,
    "string_pattern_mismatch": _bound("expected text of the form {}", "pattern"),
    "string_too_short": _bound("the text is too short or empty; the least number of characters is {}", "min_length"),
    "string_too_long": _bound("expected text of at most {} characters", "max_length"),
    "too_short": _bound("the list is empty or too short; it takes at least {}", "min_length"),
}
