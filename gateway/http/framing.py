"""How a message's body is delimited (RFC 9112 §6): one reading or none; knows no sockets and no time."""

import re
from typing import Final, final

from gateway.http.fields import Field

FIRST_FINAL: Final = 200
_DIGITS: Final = re.compile(rb"0|[1-9][0-9]{0,14}").fullmatch


class Delimiter:
    """By what a body ends: plain numbers, for every message is asked."""

    NOTHING: Final = 0
    LENGTH: Final = 1
    """`Content-Length`"""
    CHUNKS: Final = 2
    """`Transfer-Encoding: chunked`"""
    CLOSE: Final = 3
    """The end of the connection."""


@final
class Framing:
    """How one body is delimited; `length` is in bytes and counts for `Delimiter.LENGTH`."""

    __slots__ = ("by", "length")

    def __init__(self, by: int, length: int = 0) -> None:
        self.by: Final = by
        self.length: Final = length


NO_BODY: Final = Framing(Delimiter.NOTHING)
CHUNKED: Final = Framing(Delimiter.CHUNKS)
UNTIL_CLOSE: Final = Framing(Delimiter.CLOSE)


class AmbiguousFramingError(Exception):
    """Two parsers could disagree on where the message ends; the sentence may be shown to the sender."""


def content_length(field: Field) -> int:
    """The value of a Content-Length line: digits alone, no sign, no list, no leading zero."""
    if _DIGITS(field.value) is None:
        raise AmbiguousFramingError("Content-Length is not a plain decimal number.")
    return int(field.value)


def is_chunked(field: Field) -> bool:
    """True for `Transfer-Encoding: chunked`; every other coding is refused, in whatever company `chunked` comes."""
    if field.value.lower() != b"chunked":
        raise AmbiguousFramingError("The only transfer coding that is served is chunked, alone.")
    return True


def request_framing(length: int | None, *, chunked: bool) -> Framing:
    """The framing of a request (RFC 9112 §6.3): with neither header there is no body, with both it is refused."""
    if chunked:
        if length is not None:
            raise AmbiguousFramingError("Content-Length and Transfer-Encoding stand side by side.")
        return CHUNKED
    return Framing(Delimiter.LENGTH, length) if length else NO_BODY


def response_framing(method: str, status: int, length: int | None, *, chunked: bool) -> Framing:
    """The framing of a response to `method` (RFC 9112 §6.3): HEAD, 204 and 304 have no body whatever they announce.

    An interim response has none either, and one that announces a body is refused: a reader that believed it would take the
    final head for content.
    """
    if chunked and length is not None:
        raise AmbiguousFramingError("Content-Length and Transfer-Encoding stand side by side.")
    if method == "HEAD" or status in (204, 304):
        return NO_BODY
    if status < FIRST_FINAL:
        if chunked or length:
            raise AmbiguousFramingError("An interim response announces a body.")
        return NO_BODY
    if chunked:
        return CHUNKED
    if length is None:
        return UNTIL_CLOSE
    return Framing(Delimiter.LENGTH, length) if length else NO_BODY
