"""Heads of responses, parsed strictly in one pass (RFC 9112); knows no sockets, no time and no policy.

What two parsers could read differently is an error, not a repair. The heads keep the lines that go on as they came.
"""

import re
from typing import Final, final

from gateway.errors import Refusal
from gateway.http.fields import FRAMING_ROLES, Field, MalformedLineError, Role, Vocabulary, canonical
from gateway.http.framing import CHUNKED, FIRST_FINAL, NO_BODY, AmbiguousFramingError, Framing, response_framing
from gateway.http.hop import CONNECTION_OPTIONS, Hop, name_of
from gateway.http.trailers import may_trail
from gateway.model import Upstream

_STATUS_LINE: Final = re.compile(rb"HTTP/1\.([01]) ([1-5][0-9]{2})(?: [\t\x20-\x7e\x80-\xff]*)?").fullmatch


@final
class ResponseHead:
    """One parsed response head. `reason` is the status line after the version, as it came.

    `trailers` are the canonical names of the trailers that it announces and that may come as such. `coded` says that the
    content is encoded (RFC 9110 §8.4), so that it cannot be read as it is.
    """

    __slots__ = (
        "answer",
        "clean_for",
        "coded",
        "forward",
        "framing",
        "keep",
        "reason",
        "status",
        "trailers",
        "upgrade",
        "watched",
    )

    def __init__(self, status: int, reason: bytes, *, keep: bool) -> None:
        self.status: Final = status
        self.reason: Final = reason
        self.forward: list[bytes] = []
        self.watched: dict[str, list[Field]] = {}
        self.framing: Framing = NO_BODY
        self.trailers: frozenset[str] = frozenset()
        self.keep = keep
        self.coded = False
        self.upgrade: bytes | None = None
        """What it switches to or offers, if its Connection names that."""
        self.clean_for: object = None
        """The scrubber that last found nothing in these bytes."""
        self.answer: tuple[Upstream, bytes] | None = None
        """What was made of it for callers of this upstream, for a head that comes again."""


def parse_response(head: bytes, vocabulary: Vocabulary, *, method: str, most_lines: int) -> ResponseHead:
    """Parse the head of a response to `method`. Raises `Refusal` with `upstream_failed`."""
    lines = head.split(b"\r\n")
    if len(lines) > most_lines + 1:
        raise Refusal(
            "upstream_failed",
            "The upstream's response has too many header fields.",
            error="http_response_header_section_size",
        )
    parts = _STATUS_LINE(lines[0])
    if parts is None:
        raise Refusal("upstream_failed", "The upstream did not answer in HTTP/1.1.")
    response = ResponseHead(int(parts[2]), lines[0][9:], keep=parts[1] == b"1")
    try:
        _read_response_fields(response, lines, vocabulary, method)
    except MalformedLineError:
        raise Refusal("upstream_failed", "The upstream sent a malformed header line.") from None
    except AmbiguousFramingError as error:
        raise Refusal("upstream_failed", f"The upstream's response cannot be delimited: {error}") from None
    return response


def _read_response_fields(response: ResponseHead, lines: list[bytes], vocabulary: Vocabulary, method: str) -> None:
    hop = Hop()
    known, forward = vocabulary.known, response.forward
    for at in range(1, len(lines)):
        line = lines[at]
        field = known.get(line)
        if field is None:
            field = vocabulary.classify(line)
        role = field.role
        if role == Role.FORWARD:
            forward.append(line)
        elif role == Role.WATCHED:
            response.watched.setdefault(field.name, []).append(field)
        elif role != Role.DROP and hop.take(field):
            forward.append(line)
    response.coded = hop.coded
    if hop.chunked and not response.keep:
        raise AmbiguousFramingError("Chunks in HTTP/1.0.")
    response.framing = response_framing(method, response.status, hop.length, chunked=hop.chunked)
    if hop.trailers and response.framing is CHUNKED:
        response.trailers = may_trail(hop.trailers - hop.options, vocabulary)
    if hop.options:
        response.keep = response.keep and "close" not in hop.options
        if "upgrade" in hop.options:
            response.upgrade = hop.upgrade
        named = hop.options - CONNECTION_OPTIONS
        if not named.isdisjoint(FRAMING_ROLES):
            raise AmbiguousFramingError("Connection names a field that delimits the body.")
        response.forward = [line for line in response.forward if canonical(name_of(line)) not in named]
    if response.status < FIRST_FINAL and not response.keep:
        raise AmbiguousFramingError("An interim response says that nothing follows it.")
