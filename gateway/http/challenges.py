"""The `WWW-Authenticate` lines of a refusal: which schemes there are, and what was wrong with the one used; judges nothing.

Both schemes are offered, and an error stands with the one that the request came with (RFC 9449 §7.2). Without a token there is
no error, so that a caller can tell "who are you" from "not with this" (RFC 6750 §3.1). Each says where the metadata of the
resource are (RFC 9728 §5.1).
"""

import re
from typing import Final

from gateway.errors import Refusal
from gateway.model import Upstream

WELL_KNOWN: Final = "/.well-known/oauth-protected-resource"
"""Where the metadata of a resource are found, between its host and its path (RFC 9728 §3.1)."""
PROOF_ALGORITHMS: Final = "ES256 ES384 EdDSA PS256 RS256"
"""By which proofs may be signed, for `algs`; a test compares them with those that are accepted."""

_UNAUTHORIZED: Final = 401
_BY_PROOF: Final = re.compile(rb"\r\nauthorization:[ \t]*dpop ", re.IGNORECASE).search
# A token with other intents would help (RFC 6750 §3.1); of what policy forbids this is not true.
_INSUFFICIENT: Final = "intent_not_granted"


def challenges(refusal: Refusal, upstream: Upstream | None, raw: bytes) -> bytes:
    """Whole lines of the answer's head; empty where no other token would help. `raw` is the head of the request."""
    row = refusal.problem
    if row.status != _UNAUTHORIZED and row.code != _INSUFFICIENT:
        return b""
    by_proof = _BY_PROOF(raw) is not None
    error = (
        "" if row.code == "token_missing" else f', error="{_error(refusal, by_proof=by_proof)}", error_description="{row.code}"'
    )
    place = "" if upstream is None else f', resource_metadata="{metadata_address(upstream)}"'
    bearer = f'WWW-Authenticate: Bearer realm="doorward"{"" if by_proof else error}{place}\r\n'
    proof = f'WWW-Authenticate: DPoP realm="doorward", algs="{PROOF_ALGORITHMS}"{error if by_proof else ""}{place}\r\n'
    nonce = f"DPoP-Nonce: {refusal.nonce}\r\n" if refusal.nonce else ""
    return (bearer + proof + nonce).encode("ascii")


def metadata_address(upstream: Upstream) -> str:
    """Where the metadata of an upstream are."""
    origin = upstream.resource[: len(upstream.resource) - len(upstream.prefix)]
    return origin + WELL_KNOWN + upstream.prefix


def _error(refusal: Refusal, *, by_proof: bool) -> str:
    code = refusal.code
    if code == _INSUFFICIENT:
        return "insufficient_scope"
    if refusal.nonce_wanted:
        return "use_dpop_nonce"
    return "invalid_dpop_proof" if by_proof and code in ("proof_missing", "proof_invalid") else "invalid_token"
