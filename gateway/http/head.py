"""Heads of requests, parsed strictly in one pass (RFC 9112); knows no sockets, no time and no policy.

What two parsers could read differently is an error, not a repair. The heads keep the lines that go on as they came.
"""

import re
from typing import Final, final

from gateway.errors import Refusal
from gateway.http.fields import Field, MalformedLineError, Role, Vocabulary, canonical
from gateway.http.framing import (
    NO_BODY,
    UNTIL_CLOSE,
    AmbiguousFramingError,
    Delimiter,
    Framing,
    request_framing,
)
from gateway.http.hop import CONNECTION_OPTIONS, Hop, name_of
from gateway.http.target import Absolute, AmbiguousTargetError, Target, parse_target, query_names, split_absolute
from gateway.http.websocket import OPERATION, Handshake, read_handshake
from gateway.model import Permit, Upstream, Use

_METHOD: Final = re.compile(r"[A-Z]{1,20}(?:-[A-Z]{1,20})?").fullmatch
_HOST: Final = re.compile(
    rb"(?:[A-Za-z0-9._~!$&'()*+,;=-]|%[0-9A-Fa-f]{2})+(?::[0-9]{0,5})?|\[[0-9A-Fa-f:.]+\](?::[0-9]{0,5})?"
).fullmatch
_TRACEPARENT: Final = re.compile(rb"00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}").fullmatch
_USUAL: Final[dict[bytes, str]] = {name.encode(): name for name in ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")}
_NO_TRACE: Final = "0" * 32
_NO_PARENT: Final = "0" * 16
_UNSERVED: Final = {
    "TRACE": "",
    "CONNECT": "",
    OPERATION: "A WebSocket is opened with GET and Upgrade (RFC 6455, section 4.1).",
}
_REQUEST_LINE_PARTS: Final = 3


@final
class Recurring:
    """What was made of fields that come with one head after the other: it follows from their bytes and what it was made for."""

    __slots__ = ("forwarded",)

    def __init__(self) -> None:
        self.forwarded: tuple[Upstream, object, bool, bytes] | None = None
        """The lines that go on to this upstream with this credential, and whether they are those for a head with a trace."""


@final
class RequestHead:
    """One parsed request head.

    `forward` holds the lines that may go on, as they came; `watched` the lines that a step has to read first, by
    canonical name. `keep` is false when the caller wants the connection closed, or speaks HTTP/1.0, which `http_1_0` says.
    `trace` is the caller's trace id and flags if it sent a valid `traceparent`.
    """

    __slots__ = (
        "absolute",
        "expects_continue",
        "forward",
        "framing",
        "host",
        "http_1_0",
        "keep",
        "kept",
        "method",
        "path",
        "permit",
        "query_names",
        "raw",
        "recurring",
        "target",
        "token",
        "trace",
        "upgrade",
        "use",
        "wants_trailers",
        "watched",
    )

    def __init__(self, raw: bytes, method: str, target: Target) -> None:
        self.raw: Final = raw
        """The bytes that were parsed, without the final empty line."""
        self.token: bytes | None = None
        """The one token that was found in it, for a head that comes again; its presence proves nothing."""
        self.use: Use | None = None
        """What the request was found to be, for a head that comes again: it follows from these bytes and one snapshot."""
        self.permit: Permit | None = None
        """What that was permitted by last. Kept here and not with the use that it names: a circle would outlive its request."""
        self.path: Final = target.path
        """The path as it came."""
        self.query_names: Final = query_names(target.query)
        """The names in the query, without their values."""
        self.method = method
        """As it was sent, but `WEBSOCKET` for the upgrade to one."""
        self.upgrade: Handshake | None = None
        """What the request asks to open, if it does; no other upgrade is served."""
        self.target = target
        self.http_1_0 = False
        self.absolute: Absolute | None = None
        """What the target said besides path and query; None for the usual form."""
        self.forward: list[bytes] = []
        self.watched: dict[str, list[Field]] = {}
        self.framing: Framing = NO_BODY
        self.host = b""
        self.keep = True
        self.expects_continue = False
        self.wants_trailers = False
        """Whether the caller has said that it takes trailers (RFC 9110 §10.1.4)."""
        self.trace: tuple[str, str] | None = None
        self.recurring: Recurring | None = None
        """What is kept with its fields, if the very same had come before, so that they were not parsed again."""
        self.kept = False
        """Whether it is remembered for the next time that it comes."""

    def leave_out_of_query(self, query: str | None) -> None:
        """From now on the query is this one: a token that stood in it is for nobody else to see, in the log or upstream."""
        target = self.target
        self.target = Target(target.path, query, target.segments, plain=target.plain)

    def query_told(self, names: frozenset[str]) -> tuple[str, ...]:
        """The names in the query, these with their values."""
        return query_names(self.target.query, names)

    @property
    def trace_id(self) -> str | None:
        """The caller's trace id (W3C Trace Context), if it sent one."""
        return self.trace[0] if self.trace is not None else None


def parse_request(head: bytes, vocabulary: Vocabulary, *, most_lines: int) -> RequestHead:
    """Parse a request head without its final empty line. Raises `Refusal`, never repairs."""
    lines = head.split(b"\r\n")
    if len(lines) > most_lines + 1:
        raise Refusal("head_too_large", f"The request has more than {most_lines} header fields.")
    try:
        request = read_request_line(head, lines[0])
        _read_request_fields(request, lines, vocabulary)
        if request.absolute is not None:
            _require_one_host(request.absolute, request.host)
    except MalformedLineError:
        raise Refusal("request_malformed", "A header line is not one by RFC 9112, section 5.") from None
    except (AmbiguousFramingError, AmbiguousTargetError) as error:
        raise Refusal("request_malformed", str(error)) from None
    return request


def read_request_line(raw: bytes, line: bytes) -> RequestHead:
    """A head of which only the request line is read yet. Raises `Refusal` and `AmbiguousTargetError`."""
    parts = line.split(b" ")
    if len(parts) != _REQUEST_LINE_PARTS:
        raise Refusal("request_malformed", "The request line is not: method, space, target, space, version.")
    method, target, version = parts
    name = _USUAL.get(method) or _other_method(method)
    path = target.decode("latin-1")
    if version == b"HTTP/1.1" and path.startswith("/"):
        return RequestHead(raw, name, parse_target(path))
    return _unusual(raw, name, path, version)


def _other_method(method: bytes) -> str:
    name = method.decode("latin-1")
    if _METHOD(name) is None:
        raise Refusal("request_malformed", "The method is not one in capital letters.")
    if name in _UNSERVED:
        raise Refusal("method_refused", _UNSERVED[name])
    return name


def _unusual(raw: bytes, method: str, target: str, version: bytes) -> RequestHead:
    """What an older client sends, or one that takes us for a forward proxy; here, so that the others need not wait for it."""
    if version not in (b"HTTP/1.1", b"HTTP/1.0"):
        raise Refusal("request_malformed", "Only HTTP/1.1 and HTTP/1.0 are served here.")
    absolute = None
    if not target.startswith("/"):
        absolute, target = split_absolute(target)
    request = RequestHead(raw, method, parse_target(target))
    request.absolute = absolute
    request.http_1_0 = version == b"HTTP/1.0"
    return request


def _require_one_host(absolute: Absolute, host: bytes) -> None:
    """RFC 9112 §3.2.2 lets the target win over Host, but not every server in front of us does so: they have to agree."""
    if absolute.authority.lower() != host.decode("ascii").lower():
        raise AmbiguousTargetError("The target and Host name different hosts.")


def _read_request_fields(request: RequestHead, lines: list[bytes], vocabulary: Vocabulary) -> None:
    hop = Hop()
    known, forward = vocabulary.known, request.forward
    for at in range(1, len(lines)):
        line = lines[at]
        field = known.get(line)
        if field is None:
            field = vocabulary.classify(line)
        role = field.role
        if role == Role.FORWARD:
            forward.append(line)
        elif role == Role.WATCHED:
            request.watched.setdefault(field.name, []).append(field)
        elif role == Role.HOST and not request.host and _HOST(field.value) is not None:
            request.host = field.value
        elif role == Role.EXPECT and not request.expects_continue and field.value.lower() == b"100-continue":
            request.expects_continue = True
        elif role != Role.DROP and hop.take(field):
            _keep_single(request, field)
    if not request.host:
        raise Refusal("request_malformed", "The request names no host.")
    request.framing = request_framing(hop.length, chunked=hop.chunked)
    request.trace = _trace(request.watched.get("traceparent"))
    if hop.options:
        request.keep = "close" not in hop.options
        request.forward = _without(hop.options - CONNECTION_OPTIONS, request, vocabulary)
    request.wants_trailers = "trailers" in hop.trailers
    if request.http_1_0:
        _read_as_1_0(request)
    if hop.upgrade is not None:
        _read_upgrade(request, hop)


def _read_as_1_0(request: RequestHead) -> None:
    """What differs for an older client: no chunks (RFC 9112 §6.1), no expectations (RFC 9110 §10.1.1), one answer a connection.

    A keep-alive that it asks for is not granted: whoever relays its requests may pass that on unread (RFC 9112 §C.2.2).
    """
    if request.framing.by == Delimiter.CHUNKS:
        raise AmbiguousFramingError("Transfer-Encoding has no meaning in HTTP/1.0.")
    request.keep = False
    request.expects_continue = request.wants_trailers = False


def _read_upgrade(request: RequestHead, hop: Hop) -> None:
    """An upgrade that is asked for in full, or a refusal: to ignore one would leave what follows it open to two readings."""
    plain = request.method == "GET" and not request.http_1_0 and request.framing is NO_BODY and not request.expects_continue
    if hop.upgrade is None or not plain or "upgrade" not in hop.options:
        raise Refusal("request_malformed", "An upgrade takes a GET of HTTP/1.1 without a body, and a Connection that names it.")
    request.upgrade = read_handshake(hop.upgrade, request.forward)
    request.method = OPERATION
    request.framing = UNTIL_CLOSE
    request.wants_trailers = False


def _keep_single(request: RequestHead, field: Field) -> None:
    if field.role == Role.WATCHED_ONCE:
        request.watched[field.name] = [field]
    else:
        request.forward.append(field.line)


def _without(named: frozenset[str], request: RequestHead, vocabulary: Vocabulary) -> list[bytes]:
    """Remove what `Connection` names (RFC 9110 §7.6.1), unless a step relies on it: then somebody is stripping checks."""
    for name in named:
        if vocabulary.is_relied_on(name):
            raise Refusal("request_malformed", f"Connection names {name}, which is no hop-by-hop field.")
    return [line for line in request.forward if canonical(name_of(line)) not in named] if named else request.forward


def _trace(fields: list[Field] | None) -> tuple[str, str] | None:
    """The trace id and flags of exactly one valid traceparent; anything else starts a new trace (W3C Trace Context §2.3)."""
    if fields is None or len(fields) != 1:
        return None
    return read_trace(fields[0].value)


def read_trace(value: bytes) -> tuple[str, str] | None:
    """The trace id and flags of a traceparent (W3C Trace Context §3.2); None for one that starts no trace."""
    if _TRACEPARENT(value) is None:
        return None
    text = value.decode("ascii")
    trace, parent = text[3:35], text[36:52]
    return None if trace == _NO_TRACE or parent == _NO_PARENT else (trace, text[53:])
