"""The gateway's own answers: refusals as problem documents (RFC 9457) in finished bytes; knows nothing of why."""

from http import HTTPStatus
from typing import Final

import orjson

from gateway.errors import DOCUMENTATION, Refusal

CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"

# RFC 9209: with this a machine tells our answer from the upstream's, whatever stands in the body.
_HEAD: Final = (
    b"HTTP/1.1 %d %b\r\nContent-Type: application/problem+json\r\nContent-Length: %d\r\nCache-Control: no-store\r\n"
    b"Proxy-Status: doorward; error=%b\r\n"
)

# RFC 6750 §3.1: no error code when no token came, so that a caller can tell "who are you" from "not with this".
_CHALLENGE: Final = b'WWW-Authenticate: Bearer realm="doorward"\r\n'
_INVALID_TOKEN: Final = b'WWW-Authenticate: Bearer realm="doorward", error="invalid_token", error_description="%b"\r\n'
_UNAUTHORIZED: Final = 401


def problem(refusal: Refusal, request_id: str, *, keep: bool, without_body: bool) -> tuple[bytes, int]:
    """The whole answer and the size of its body in bytes. `without_body` is for HEAD."""
    row = refusal.problem
    body = orjson.dumps(
        {
            "type": f"{DOCUMENTATION}#{row.code}",
            "title": row.title,
            "status": row.status,
            "detail": refusal.detail,
            "code": row.code,
            "request_id": request_id,
            "remedy": row.remedy,
        }
    )
    head = _HEAD % (row.status, HTTPStatus(row.status).phrase.encode("ascii"), len(body), refusal.error.encode("ascii"))
    if row.status == _UNAUTHORIZED:
        head += _CHALLENGE if row.code == "token_missing" else _INVALID_TOKEN % row.code.encode("ascii")
    if row.code == "method_refused":
        head += b"Allow: GET, HEAD, OPTIONS, POST, PUT, PATCH, DELETE\r\n"
    if refusal.retry_after is not None:
        head += b"Retry-After: %d\r\n" % refusal.retry_after
    if not keep:
        head += b"Connection: close\r\n"
    return head + b"\r\n" + (b"" if without_body else body), 0 if without_body else len(body)
