"""Reads the form of an OAuth request in the one way it can be meant; knows no parameter by name."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, final
from urllib.parse import parse_qsl

from aiohttp import web

from gateway.authority.refused import INVALID_REQUEST
from gateway.endpoints.answers import AnswerError

_FORM: Final = "application/x-www-form-urlencoded"
_FIELDS: Final = 64
_SECONDS: Final = 10.0


@final
@dataclass(frozen=True, slots=True)
class Form:
    """The parameters of one request. Those sent without a value count as left out (RFC 6749 §3.2)."""

    single: Mapping[str, str]
    repeated: frozenset[str]

    def get(self, name: str) -> str | None:
        """A parameter that stands at most once (RFC 6749 §3.2)."""
        if name in self.repeated:
            raise invalid(f"The parameter {name} stands more than once.")
        return self.single.get(name)

    def need(self, name: str) -> str:
        """A parameter that must be there."""
        value = self.get(name)
        if value is None:
            raise invalid(f"The parameter {name} is missing.")
        return value


def invalid(sentence: str) -> AnswerError:
    """The request itself is wrong."""
    return AnswerError(400, INVALID_REQUEST, sentence)


async def read_form(request: web.Request, *, repeatable: frozenset[str] = frozenset()) -> Form:
    """Read a form-encoded body. Whatever stands twice is an error here, save for `repeatable`. Raises `AnswerError`."""
    if request.content_type != _FORM or request.headers.get("Content-Encoding", "identity") != "identity":
        raise invalid(f"The body has to be {_FORM}.")
    try:
        async with asyncio.timeout(_SECONDS):
            body = await request.read()
        pairs = parse_qsl(
            body.decode("ascii"), keep_blank_values=True, strict_parsing=bool(body), errors="strict", max_num_fields=_FIELDS
        )
    except TimeoutError:
        raise web.HTTPRequestTimeout from None
    except ValueError:
        raise invalid("The form cannot be decoded.") from None
    single: dict[str, str] = {}
    repeated: set[str] = set()
    for name, value in pairs:
        if name in single or name in repeated:
            repeated.add(name)
        single[name] = value
    if repeated - repeatable:
        raise invalid("A parameter stands more than once.")
    return Form({name: value for name, value in single.items() if value}, frozenset(repeated))
