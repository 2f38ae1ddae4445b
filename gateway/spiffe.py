"""The grammar of SPIFFE IDs and trust domains, in one spelling for each; knows nothing of whom they name."""

import re
from typing import Final

_TRUST_DOMAIN = re.compile(r"[a-z0-9._-]{1,255}").fullmatch
_SEGMENT = re.compile(r"[A-Za-z0-9._-]+").fullmatch
_SPIFFE_ID_BYTES: Final = 2048


def spiffe_id(text: str) -> str:
    """Check a workload's SPIFFE ID and return it (SPIFFE-ID §2): `spiffe://<trust domain>/<path>`.

    Stricter than the standard in one point: upper case in scheme and trust domain is refused rather than folded, so
    that two spellings of one identity cannot exist. Raises `ValueError` with a sentence for an operator.
    """
    if len(text) > _SPIFFE_ID_BYTES:
        raise ValueError("a SPIFFE ID has at most 2048 characters")
    if not text.startswith("spiffe://"):
        raise ValueError("a SPIFFE ID begins with spiffe://")
    trust_domain, slash, path = text[9:].partition("/")
    if _TRUST_DOMAIN(trust_domain) is None:
        raise ValueError("the trust domain of a SPIFFE ID holds only lower-case letters, digits, dots, dashes and underscores")
    if not slash:
        raise ValueError("the SPIFFE ID of a workload has a path")
    for segment in path.split("/"):
        if _SEGMENT(segment) is None or segment in (".", ".."):
            raise ValueError("a path segment of a SPIFFE ID holds letters, digits, dots, dashes and underscores")
    return text


def trust_domain(text: str) -> str:
    """Check the name of a trust domain and return it (SPIFFE-ID §2.1). Raises `ValueError` with a sentence for an operator."""
    if _TRUST_DOMAIN(text) is None:
        raise ValueError("expected a trust domain such as acme.example: lower-case letters, digits, dots, dashes, underscores")
    return text
