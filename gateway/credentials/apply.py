"""The ninth step: a new request head with the upstream's credential in it; the inbound head is read and never edited."""

from typing import Protocol

from gateway.credentials.obtain import Credential
from gateway.http.framing import Delimiter
from gateway.http.head import RequestHead
from gateway.http.outbound import Outbound
from gateway.http.websocket import SWITCH
from gateway.model import Permit, Upstream


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
    """Build the outbound head. Its lines are ours, or lines of the caller's that are neither hop-by-hop nor a credential."""
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
    upstream = permit.upstream
    target = head.target
    query = "" if target.query is None else "?" + target.query
    method = head.method if head.upgrade is None else "GET"
    lines = [
        f"{method} {upstream.base_path}{permit.use.operation.path}{query} HTTP/1.1\r\nHost: {_authority(upstream)}".encode(
            "latin-1"
        )
    ]
    lines += head.forward
    for name, fields in head.watched.items():
        if name not in upstream.emptied and name not in credential.places:
            lines += [field.line for field in fields]
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


def _authority(upstream: Upstream) -> str:
    scheme, host, port = upstream.origin
    name = f"[{host}]" if ":" in host else host
    return name if port == (443 if scheme == "https" else 80) else f"{name}:{port}"
