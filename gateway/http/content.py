"""The content of one request as rules read it: JSON or a form, each with one meaning or none; knows no rule and no socket."""

import json
import re
from typing import Any, Final, final

import orjson

from gateway.errors import Refusal
from gateway.http.query import AmbiguousPairsError, read_pairs, spelled_otherwise

DEEPEST: Final = 64
"""How many objects and lists may stand within each other in JSON that rules read."""

_JSON: Final = re.compile(
    rb"application/(?:[a-z0-9.!#$&^_-]+\+)?json(?:[ \t]*;[ \t]*charset=\"?utf-8\"?)?", re.IGNORECASE
).fullmatch
_FORM: Final = re.compile(rb"application/x-www-form-urlencoded(?:[ \t]*;[ \t]*charset=\"?utf-8\"?)?", re.IGNORECASE).fullmatch
_UNREAD: Final = object()


@final
class Content:
    """A request body that has come in whole, with what its head says of it. It is parsed once, when the first rule reads it."""

    __slots__ = ("_form", "_json", "_kind", "body", "coded")

    def __init__(self, body: bytes, kind: bytes | None, *, coded: bool) -> None:
        """`kind` is the value of Content-Type; `coded` says that the content is compressed or otherwise encoded."""
        self.body: Final = body
        self.coded: Final = coded
        self._kind: Final = kind
        self._json: object = _UNREAD
        self._form: dict[str, list[str]] | None = None

    @property
    def json(self) -> Any:
        """The value that it holds; of no content an empty object. Raises `Refusal` for what cannot be read in one way only."""
        if self._json is _UNREAD:
            self._json = {} if not self.body else self._read_json()
        return self._json

    @property
    def form(self) -> dict[str, list[str]]:
        """The names and values of a form; of no content none. Raises `Refusal` as `json` does."""
        if self._form is None:
            self._form = {} if not self.body else self._read_form()
        return self._form

    @property
    def is_form(self) -> bool:
        """Whether its head says that it is a form."""
        return self._kind is not None and _FORM(self._kind) is not None

    def _read_json(self) -> Any:
        self._require(_JSON, "application/json")
        try:
            orjson.loads(self.body)  # the stricter of the two: no other encoding, no NaN, no half of a surrogate pair
            value = json.loads(self.body.decode(), object_pairs_hook=_once)
        except RecursionError:
            raise _unreadable("stands too deep in itself") from None
        except ValueError:
            raise _unreadable("is not JSON in UTF-8") from None
        if _depth(value) > DEEPEST:
            raise _unreadable("stands too deep in itself")
        return value

    def _read_form(self) -> dict[str, list[str]]:
        self._require(_FORM, "application/x-www-form-urlencoded")
        try:
            form = read_pairs(self.body.decode("ascii"))
        except AmbiguousPairsError as error:
            raise _unreadable(str(error)) from None
        except UnicodeDecodeError:
            raise _unreadable("holds bytes that a form has to escape") from None
        if spelled_otherwise(form, form):
            raise _unreadable("holds two names that some servers take for one")
        return form

    def _require(self, kind: Any, named: str) -> None:
        if self.coded:
            raise _unreadable("is encoded")
        if self._kind is None or kind(self._kind) is None:
            raise _unreadable(f"is not of the type {named}")


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Each member once, in whatever letters: readers differ in which of two counts, and some see no difference of case."""
    if len({name.casefold() for name, _ in pairs}) != len(pairs):
        raise _unreadable("holds two members of one name")
    return dict(pairs)


def _depth(value: Any) -> int:
    deepest, pending = 0, [(value, 1)]
    while pending:
        each, depth = pending.pop()
        deepest = max(deepest, depth)
        if depth > DEEPEST:
            break
        if isinstance(each, dict):
            pending += [(member, depth + 1) for member in each.values()]
        elif isinstance(each, list):
            pending += [(member, depth + 1) for member in each]
    return deepest


def _unreadable(why: str) -> Refusal:
    return Refusal("request_malformed", f"A rule reads the body, which {why}.")
