"""The gateway's own answers: refusals as problem documents (RFC 9457) in finished bytes; knows nothing of why."""

from http import HTTPStatus
from typing import Final

import orjson

from gateway.errors import DOCUMENTATION, Refusal
from gateway.http.read_body import Answers
from gateway.model import Upstream

CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"
GOES_ON: Final = b"\r\n\r\n"
ENDS: Final = b"\r\nConnection: close\r\n\r\n"
"""The end of a head after which the connection goes on, or ends."""

# RFC 9209: with this a machine tells our answer from the upstream's, whatever stands in the body.
_HEAD: Final = (
    b"HTTP/1.1 %d %b\r\nContent-Type: %b\r\nContent-Length: %d\r\nCache-Control: no-store\r\n"
    b"Proxy-Status: doorward; error=%b\r\n"
)


_CALL_CODES: Final[dict[str, int]] = {
    "header_mismatch": -32020,
    "method_unknown": -32601,
    "request_malformed": -32600,
}
"""The codes of JSON-RPC and MCP for what they have one for. Others are the HTTP status, for all below -32000 is spoken for."""


def problem(
    refusal: Refusal, request_id: str, challenges: bytes = b"", call: bytes | None = None, *, keep: bool, without_body: bool
) -> tuple[bytes, int]:  # fmt: skip
    """The whole answer and the size of its body in bytes. `challenges` are lines of the head; `without_body` is for HEAD.

    `call` is the id of the JSON-RPC request that is refused, as JSON, or a list of ids; None for plain HTTP.
    """
    row = refusal.problem
    document = {
        "type": f"{DOCUMENTATION}#{row.code}",
        "title": row.title,
        "status": row.status,
        "detail": refusal.detail,
        "code": row.code,
        "request_id": request_id,
        "remedy": row.remedy,
    }
    body = orjson.dumps(document) if call is None else _call_error(refusal, document, call)
    kind = b"application/problem+json" if call is None else b"application/json"
    phrase = HTTPStatus(row.status).phrase.encode("ascii")
    head = _HEAD % (row.status, phrase, kind, len(body), refusal.error.encode("ascii"))
    head += challenges
    if row.code == "method_refused":
        head += b"Allow: GET, HEAD, OPTIONS, POST, PUT, PATCH, DELETE\r\n"
    if refusal.retry_after is not None:
        head += b"Retry-After: %d\r\n" % refusal.retry_after
    if not keep:
        head += b"Connection: close\r\n"
    return head + b"\r\n" + (b"" if without_body else body), 0 if without_body else len(body)


def call_of(upstream: Upstream | None, answers: Answers | None) -> bytes | None:
    """How the refused request was called, as `problem` takes it."""
    if upstream is None or upstream.protocol != "mcp":
        return None
    return b"null" if answers is None else answers.asked


def _call_error(refusal: Refusal, document: dict[str, object], call: bytes) -> bytes:
    """The problem as an error of JSON-RPC 2.0, with the document as its `data`; for a batch one for each request in it."""
    code = _CALL_CODES.get(refusal.code, refusal.problem.status)
    error = {"code": code, "message": f"{refusal.detail} {refusal.problem.remedy}", "data": document}
    ids = orjson.loads(call)
    if isinstance(ids, list) and ids:
        return orjson.dumps([{"jsonrpc": "2.0", "id": each, "error": error} for each in ids])
    return orjson.dumps({"jsonrpc": "2.0", "id": None if isinstance(ids, list) else ids, "error": error})
