"""The ninth step: a new request head with the upstream's credential in it; the inbound head is read and never edited."""

import re
from typing import Final, Protocol

from gateway.credentials.obtain import Credential
from gateway.errors import Refusal
from gateway.http.fields import MAX_FORWARDS, Field
from gateway.http.framing import Delimiter
from gateway.http.head import RequestHead
from gateway.http.outbound import Outbound
from gateway.http.websocket import SWITCH
from gateway.model import Permit, Upstream

_HOPS: Final = re.compile(rb"[0-9]{1,9}").fullmatch


class Traced(Protocol):
    """The ids of the exchange, which the upstream gets to see."""

    @property
    def request_id(self) -> str:
        """32 hexadecimal digits, ours."""

    @property
    def trace_id(self) -> str:
        """32 hexadecimal digits, the caller's if it sent a valid one."""

    @property
    def span_id(self) -> str:
        """16 hexadecimal digits, ours."""


def apply(credential: Credential, permit: Permit, head: RequestHead, traced: Traced) -> Outbound:
    """Build the outbound head. Its lines are ours, or lines of the caller's that are neither hop-by-hop nor a credential.

    Raises `Refusal` for a request that says itself that it may go no further.
    """
    kept = permit.outbound
    if kept is None or kept[0] is not credential:
        kept = permit.outbound = (credential, _constant_part(credential, permit, head))
    scrubber = None if permit.upstream.scrub == "none" else credential.scrubber
    flags = head.trace[1] if head.trace is not None else "01"
    rest = (
        f"X-Request-Id: {traced.request_id}\r\ntraceparent: 00-{traced.trace_id}-{traced.span_id}-{flags}\r\n".encode("ascii")
        + credential.lines.reveal()
        + b"\r\n"
    )
    return Outbound(kept[1] + rest, head.method, credential.key_for(permit.upstream), scrubber)


def _constant_part(credential: Credential, permit: Permit, head: RequestHead) -> bytes:
    """Everything that is the same whenever this head comes with this permit; the secret is not in it."""
    query = head.target.query
    method = head.method if head.upgrade is None else "GET"
    line = f"{method} {permit.upstream.base_path}{permit.use.operation.path}{'' if query is None else '?' + query} HTTP/1.1\r\n"
    asks = permit.use.operation.asks
    opened = b"" if asks is None else b"".join([own + b"\r\n" for own in asks.lines])
    return line.encode("latin-1") + opened + _fields(credential, permit.upstream, head)


def _fields(credential: Credential, upstream: Upstream, head: RequestHead) -> bytes:
    """The lines below the request line. They are the same for all heads with the same fields, but for one of an OPTIONS."""
    recurring, traced = head.recurring, head.trace is not None
    if recurring is None or head.method == "OPTIONS":
        return _put_together(credential, upstream, head)
    known = recurring.forwarded
    if known is None or known[0] is not upstream or known[1] is not credential or known[2] is not traced:
        known = recurring.forwarded = (upstream, credential, traced, _put_together(credential, upstream, head))
    return known[3]


def _put_together(credential: Credential, upstream: Upstream, head: RequestHead) -> bytes:
    lines = [b"Host: " + _authority(upstream).encode("latin-1")]
    lines += head.forward
    for name, fields in head.watched.items():
        if name not in upstream.emptied and name not in credential.places:
            lines += [field.line for field in fields] if name != MAX_FORWARDS else [_one_fewer(fields[0], head.method)]
    if head.trace is not None:  # the caller's trace goes on, and with it what its vendors noted (W3C Trace Context §3.3)
        lines += [field.line for field in head.watched.get("tracestate", ())]
    if upstream.scrub == "full":  # what is encoded cannot be searched; what the caller wanted is among the emptied
        lines.append(b"Accept-Encoding: identity")
    if head.framing.by == Delimiter.CHUNKS:
        lines.append(b"Transfer-Encoding: chunked")
    if head.upgrade is not None:
        lines += SWITCH
    if head.wants_trailers:
        lines += [b"TE: trailers", b"Connection: TE"]
    lines.append(b"Via: 1.0 doorward\r\n" if head.http_1_0 else b"Via: 1.1 doorward\r\n")  # as received: RFC 9110 §7.6.3
    return b"\r\n".join(lines)


def _one_fewer(field: Field, method: str) -> bytes:
    """The line that says how far an OPTIONS may still go (RFC 9110 §7.6.2); for other methods it means nothing, and stays.

    Raises `Refusal` for one that may go no further: the gateway has to answer it, and has no operation of its own.
    """
    if method != "OPTIONS":
        return field.line
    if _HOPS(field.value) is None:
        raise Refusal("request_malformed", "Max-Forwards is not a plain decimal number.")
    left = int(field.value)
    if not left:
        raise Refusal("method_refused", "With Max-Forwards: 0 the gateway is asked itself, and it serves no OPTIONS.")
    return b"Max-Forwards: %d" % (left - 1)


def _authority(upstream: Upstream) -> str:
    scheme, host, port = upstream.origin
    name = f"[{host}]" if ":" in host else host
    return name if port == (443 if scheme == "https" else 80) else f"{name}:{port}"
