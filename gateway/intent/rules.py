"""Intents as operators write them: named business actions and the operations they cover; knows nothing of who may hold them."""

import re
from typing import Annotated, Final, NamedTuple
from urllib.parse import unquote

from pydantic import AfterValidator, Field

from gateway.http.target import AmbiguousTargetError, parse_target
from gateway.http.websocket import OPERATION
from gateway.kind import Config

METHODS: Final = frozenset(("GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE", OPERATION))

_CAPTURES = re.compile(r"\{[a-z][a-z0-9_]*(?:\.\.\.)?\}")
_CAPTURE = re.compile(r"\{([a-z][a-z0-9_]*)(\.\.\.)?\}").fullmatch
_LITERAL = re.compile(r"(?:[A-Za-z0-9._~!$&'()*+,;=:@-]|%[0-9A-Fa-f]{2})*").fullmatch


class Template(NamedTuple):
    """One operation: a method and a path whose segments are literals or captures.

    `segments` holds, for each segment, its literal (percent-decoded) and None, or None and the name of its capture.
    With `rest` set, the last capture takes all remaining segments.
    """

    method: str
    segments: tuple[tuple[str | None, str | None], ...]
    rest: bool

    @classmethod
    def parse(cls, text: str) -> "Template":
        """Read `GET /v1/customers/{customer}/invoices` or `GET /files/{path...}`. Raises `ValueError`."""
        method, space, path = text.partition(" ")
        if method not in METHODS:
            raise ValueError(f"an operation begins with a method ({', '.join(sorted(METHODS))}), then a space and a path")
        if not space or not path.startswith("/"):
            raise ValueError("the path of an operation begins with a slash")
        try:
            parse_target(_CAPTURES.sub("x", path))
        except AmbiguousTargetError as error:
            raise ValueError(f"no request with this path is let in, so the operation could never be: {error}") from None
        segments: list[tuple[str | None, str | None]] = []
        names: set[str] = set()
        rest = False
        for segment in path[1:].split("/"):
            if rest:
                raise ValueError("a capture with ... takes the rest of the path and stands last")
            capture = _CAPTURE(segment)
            if capture is None:
                segments.append((_literal(segment), None))
                continue
            if capture[1] in names:
                raise ValueError(f"the capture {{{capture[1]}}} stands twice")
            names.add(capture[1])
            segments.append((None, capture[1]))
            rest = capture[2] is not None
        for literal, _ in segments[:-1]:
            if literal == "":
                raise ValueError("a path has no empty segments except a trailing slash")
        return cls(method, tuple(segments), rest)


def _literal(segment: str) -> str:
    if _LITERAL(segment) is None:
        raise ValueError(f"{segment!r} is neither a literal segment nor a capture such as {{customer}} or {{rest...}}")
    if segment in (".", ".."):
        raise ValueError("dot segments are refused in requests, so no operation can have one")
    return unquote(segment, errors="strict")


def _check_operation(text: str) -> str:
    Template.parse(text)
    return text


OperationText = Annotated[str, AfterValidator(_check_operation)]


class IntentRule(Config):
    """A named business action, and the operations on one upstream that it covers."""

    upstream: str
    """The upstream on which the operations are."""
    operations: Annotated[list[OperationText], Field(min_length=1)]
    """Method and path template each: `GET /v1/customers/{customer}/invoices`; `{rest...}` takes the rest of the path.
    `WEBSOCKET /v1/events` is the opening of a WebSocket, which no `GET` covers."""
    touches: tuple[str, ...] = ()
    """Data classes that a use touches, for the audit log."""
