"""What a YAML scalar means: the core schema of YAML 1.2 and `${NAME}` from the environment; knows nothing of places."""

import re
from collections.abc import Callable, Mapping
from typing import Final

Scalar = str | int | float | bool | None

_PREFIX: Final = "tag:yaml.org,2002:"
_NULLS: Final = frozenset(("", "~", "null", "Null", "NULL"))
_TRUTHS: Final = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
# YAML 1.2.2 §10.3.2; `[0-9]` rather than `\d`, which takes the digits of every script.
_INTEGER = re.compile(r"[-+]?[0-9]+").fullmatch
_OCTAL = re.compile(r"0o[0-7]+").fullmatch
_HEXADECIMAL = re.compile(r"0x[0-9a-fA-F]+").fullmatch
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?").fullmatch
_INFINITE = re.compile(r"[-+]?\.(?:inf|Inf|INF)").fullmatch
_NOT_A_NUMBER: Final = frozenset((".nan", ".NaN", ".NAN"))
_FIRST_OF_OTHERS: Final = frozenset("~nNtTfF.+-0123456789")
_DIGITS: Final = 300
_VARIABLE = re.compile(r"\$\$|\$\{(?:(?P<name>[A-Za-z_][A-Za-z0-9_]*)(?::-(?P<default>[^}]*))?\})?")


class NotAScalarError(Exception):
    """A scalar that is not what its tag or its form says; the text is a sentence without the value."""


class UnsetVariableError(Exception):
    """A `${NAME}` that cannot be replaced; the text is a sentence."""


def resolve(text: str, tag: str | None, *, plain: bool) -> Scalar:
    """The value of a scalar. `plain` says that it stands without quotes and without a tag. Raises `NotAScalarError`."""
    if tag is None or tag == "!":
        return _resolve_plain(text) if plain and tag is None else text
    if tag not in _BY_TAG:
        raise NotAScalarError(
            f"unknown tag {tag!r}; remove it" if tag not in TAGS else "this tag belongs to a list or a mapping"
        )
    return _BY_TAG[tag](text)


def _resolve_plain(text: str) -> Scalar:
    if text and text[0] not in _FIRST_OF_OTHERS:
        return text
    if text in _NULLS:
        return None
    if (truth := _TRUTHS.get(text)) is not None:
        return truth
    number = _number(text)
    return text if number is None else number


def _number(text: str) -> int | float | None:
    integer = _whole(text)
    if integer is not None:
        return integer
    if _FLOAT(text) is not None:
        return float(text)
    if _INFINITE(text) is not None:
        return float("-inf") if text[0] == "-" else float("inf")
    return float("nan") if text in _NOT_A_NUMBER else None


def _whole(text: str) -> int | None:
    for form, base in ((_INTEGER, 10), (_OCTAL, 8), (_HEXADECIMAL, 16)):
        if form(text) is None:
            continue
        if len(text) > _DIGITS:
            raise NotAScalarError(f"a number has at most {_DIGITS} digits; put text in quotes")
        return int(text if base == 10 else text[2:], base)  # noqa: PLR2004 base ten has no prefix
    return None


def _as_integer(text: str) -> Scalar:
    return _demand(_whole(text), "an integer")


def _as_float(text: str) -> Scalar:
    return float(_demand(_number(text), "a number"))


def _as_truth(text: str) -> Scalar:
    return bool(_demand(_TRUTHS.get(text), "true or false"))


def _as_null(text: str) -> Scalar:
    if text not in _NULLS:
        raise NotAScalarError("the tag says null, but there is a value")
    return None


def _demand(value: float | None, noun: str) -> int | float:
    if value is None:
        raise NotAScalarError(f"the tag says {noun}, but the value is none")
    return value


_BY_TAG: Final[Mapping[str, Callable[[str], Scalar]]] = {
    _PREFIX + "str": str,
    _PREFIX + "int": _as_integer,
    _PREFIX + "float": _as_float,
    _PREFIX + "bool": _as_truth,
    _PREFIX + "null": _as_null,
}

TAGS: Final = frozenset((*_BY_TAG, _PREFIX + "map", _PREFIX + "seq", "!"))
"""All tags that a file may use."""


def substitute(text: str, environment: Mapping[str, str]) -> tuple[str, tuple[str, ...]]:
    """Replace `${NAME}`, `${NAME:-default}` (when unset or empty) and `$$`; also returns the names of what was put in.

    A `$` before anything else stays. Raises `UnsetVariableError`.
    """
    if "$" not in text:
        return text, ()
    names: list[str] = []

    def replace(found: re.Match[str]) -> str:
        name, default = found["name"], found["default"]
        if found[0] == "$$":
            return "$"
        if name is None:
            raise UnsetVariableError("after ${ comes the name of a variable and }; for a plain ${ write $${")
        value = environment.get(name)
        if value is None or (not value and default is not None):
            if default is None:
                raise UnsetVariableError(f"the environment variable {name} is not set; set it, or write ${{{name}:-default}}")
            return str(default)
        names.append(name)
        return value

    return _VARIABLE.sub(replace, text), tuple(names)
