"""Intents as operators write them: named business actions and the operations they cover; knows nothing of who may hold them."""

import re
from collections.abc import Callable
from typing import Annotated, Final, Literal, NamedTuple
from urllib.parse import unquote

from pydantic import AfterValidator, Field, StrictBool, StrictInt, StrictStr, model_validator

from gateway.http.target import AmbiguousTargetError, parse_target
from gateway.http.websocket import OPERATION
from gateway.intent.names import KINDS, segments_of
from gateway.kind import Config, shorthand

METHODS: Final = frozenset(("GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE", OPERATION))

TYPES: Final[dict[str, Callable[[str], object]]] = {
    "int": re.compile(r"0|-?[1-9][0-9]{0,17}").fullmatch,
    "uuid": re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}").fullmatch,
    "date": re.compile(r"[0-9]{4}-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12][0-9]|3[01])").fullmatch,
    "hex": re.compile(r"[0-9a-f]{1,128}").fullmatch,
    "word": re.compile(r"[A-Za-z0-9_-]{1,128}").fullmatch,
}
"""What a capture with a type takes: one spelling for each value, so that what is compared is what the upstream reads."""

_CAPTURES = re.compile(r"\{[a-z][a-z0-9_]*(?:\.\.\.|:[a-z]+)?\}")
_CAPTURE = re.compile(r"\{([a-z][a-z0-9_]*)(\.\.\.)?(?::([a-z]+))?\}").fullmatch
_LITERAL = re.compile(r"(?:[A-Za-z0-9._~!$&'()*+,;=:@-]|%[0-9A-Fa-f]{2})*").fullmatch


class Template(NamedTuple):
    """One operation: a method and a path whose segments are literals or captures, or a kind of MCP and what has this name.

    `segments` holds, for each segment, its literal (percent-decoded) and None, or None and the name of its capture.
    With `rest` set, the last capture takes all remaining segments. `types` holds the place and type of each capture that
    has one.
    """

    method: str
    segments: tuple[tuple[str | None, str | None], ...]
    rest: bool
    types: tuple[tuple[int, str], ...] = ()

    @classmethod
    def parse(cls, text: str) -> "Template":
        """Read `GET /v1/customers/{customer}/invoices`, `GET /files/{path...}` or `tool add_issue`. Raises `ValueError`."""
        method, space, path = text.partition(" ")
        if method in KINDS:
            return cls(method, *_segments_named(method, path))
        if method not in METHODS:
            known = ", ".join((*sorted(METHODS), *KINDS))
            raise ValueError(f"an operation begins with a method or a kind ({known}), then a space and a path or a name")
        if not space or not path.startswith("/"):
            raise ValueError("the path of an operation begins with a slash")
        try:
            parse_target(_CAPTURES.sub("x", path))
        except AmbiguousTargetError as error:
            raise ValueError(f"no request with this path is let in, so the operation could never be: {error}") from None
        raw = path[1:].split("/")
        segments, rest, types = _read_segments(raw, [None if _CAPTURE(segment) else _literal(segment) for segment in raw])
        for literal, _ in segments[:-1]:
            if literal == "":
                raise ValueError("a path has no empty segments except a trailing slash")
        return cls(method, segments, rest, types)


_Segments = tuple[tuple[tuple[str | None, str | None], ...], bool, tuple[tuple[int, str], ...]]


def _segments_named(kind: str, text: str) -> _Segments:
    """What follows `tool`, `prompt` or `resource`: a name, a URI with captures, or one capture for all of them."""
    if _CAPTURE(text) is not None:
        return _read_segments([text], [None])
    literals = segments_of(kind, _CAPTURES.sub("x", text) if kind == "resource" else text)
    raw = text.split("/") if kind == "resource" else [text]
    return _read_segments(raw, [None if _CAPTURE(segment) else literal for segment, literal in zip(raw, literals, strict=True)])


def _read_segments(raw: list[str], literals: list[str | None]) -> _Segments:
    """Segments, whether the last one takes the rest, and types; `literals` holds None where a capture stands."""
    segments: list[tuple[str | None, str | None]] = []
    types: list[tuple[int, str]] = []
    names: set[str] = set()
    rest = False
    for segment, literal in zip(raw, literals, strict=True):
        if rest:
            raise ValueError("a capture with ... takes the rest and stands last")
        capture = _CAPTURE(segment)
        if capture is None:
            if "{" in segment:
                raise ValueError(f"{segment!r} has a capture in it that is no whole segment")
            segments.append((literal, None))
            continue
        if capture[1] in names:
            raise ValueError(f"the capture {{{capture[1]}}} stands twice")
        if capture[3] is not None and capture[3] not in TYPES:
            raise ValueError(f"unknown type of a capture '{capture[3]}'; known: {', '.join(sorted(TYPES))}")
        if capture[3] is not None:
            types.append((len(segments), capture[3]))
        names.add(capture[1])
        segments.append((None, capture[1]))
        rest = capture[2] is not None
    return tuple(segments), rest, tuple(types)


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


Scalar = StrictStr | StrictInt | StrictBool
Values = Scalar | Annotated[list[Scalar], Field(min_length=1, max_length=100)]
"""What a name may be equal to: one value, or one of a list."""


LabelText = Annotated[str, Field(pattern=r"^[a-z][a-z0-9._-]{0,63}$")]


class OperationRule(Config):
    """One operation: a method and a path template alone, or with what its query and its body have to say."""

    _expand = model_validator(mode="before")(shorthand("operation"))

    operation: OperationText
    """Method and path template."""
    query: Annotated[dict[str, Values], Field(max_length=20)] = Field(default_factory=dict)
    """Names that the query must hold, each once, with one of these values: `{format: [pdf, csv]}`."""
    body: Annotated[dict[str, Values], Field(max_length=20)] = Field(default_factory=dict)
    """Members that the body must hold, JSON or a form, with one of these values: `{payment.currency: EUR}`."""


class IntentRule(Config):
    """A named business action, and the operations on one upstream that it covers."""

    upstream: str
    """The upstream on which the operations are."""
    operations: Annotated[list[OperationRule], Field(min_length=1)]
    """Method and path template each: `GET /v1/customers/{customer}/invoices`; `{rest...}` takes the rest of the path, and
    `{id:int}` only a segment of that type: int, uuid, date, hex or word. `WEBSOCKET /v1/events` is the opening of a
    WebSocket, which no `GET` covers. `{operation: POST /v1/reports, query: {format: pdf}, body: {kind: [summary]}}` covers
    only what says so. On an upstream of MCP `tool add_issue`, `prompt review` or
    `resource file:///projects/{project}/{path...}`; `tool {any}` is every tool."""
    touches: tuple[str, ...] = ()
    """Data classes that a use touches, for the audit log."""
    risk: Literal["low", "high"] = "low"
    """Of `high` the request record is on the disk before the request is forwarded."""
    adds: Annotated[tuple[LabelText, ...], Field(max_length=8)] = ()
    """Labels that a use leaves on its task, and on its whole family of tasks, before the request is forwarded: `untrusted` for
    what strangers wrote. Conditions read them as `task.labels`."""
    log_arguments: Annotated[tuple[Annotated[str, Field(min_length=1)], ...], Field(max_length=4)] = ()
    """Names of arguments of tools and prompts whose values are recorded; of all others only a keyed digest is."""
    log_query: Annotated[tuple[Annotated[str, Field(min_length=1)], ...], Field(max_length=16)] = ()
    """Names in the query whose values are recorded; of all others only the names are."""

    @property
    def templates(self) -> list[str]:
        """The operations as they are written, without what they demand besides."""
        return [rule.operation for rule in self.operations]
