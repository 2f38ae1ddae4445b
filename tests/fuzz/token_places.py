"""Target: header lines in which a token may stand, with h11 to say which lines those are; knows no signature.

Whoever gets in presented one token and no more, in one place, spelled plainly. Nothing but a `Refusal` ever comes out.
"""

import re
from collections.abc import Hashable

from fakes.dry_house import TOKEN
from fuzz.connections import house
from fuzz.witnesses import Headers, requests_by_h11

from gateway.errors import Refusal
from gateway.http.head import parse_request
from gateway.identity.authenticate import authenticate, still_good

FIRST = b"GET /api/x HTTP/1.1\r\nHost: h\r\n"
PLACES = frozenset((b"authorization", b"x-api-key", b"api-key"))
_BEARER = re.compile(rb"(?i:bearer) +(\S+)").fullmatch


def check(raw: bytes) -> Hashable:
    """Read the lines as a head and look for its token. What came of it; raises `AssertionError` where an invariant broke."""
    outcome = _outcome(raw)
    witness = requests_by_h11(FIRST + raw + b"\r\n\r\n").messages
    if outcome != "authenticated":
        if outcome == "token_missing":
            assert witness
            assert _presented(witness[0].headers) == []
        return outcome
    assert witness, "h11 sees no request"
    presented = _presented(witness[0].headers)
    assert len(presented) == 1, "more than one place is filled"
    assert presented == [TOKEN], "somebody else's token was taken"
    return outcome, len(witness[0].headers)


def verdict(raw: bytes) -> str:
    """In words, for a named case."""
    return _outcome(raw)


def _outcome(raw: bytes) -> str:
    refusal = _refusal(raw)
    if refusal is None:
        return "authenticated"
    assert refusal.code in {"request_malformed", "head_too_large", "token_missing", "token_invalid"}, refusal.code
    assert TOKEN.decode() not in repr(refusal)
    return refusal.code


def _refusal(raw: bytes) -> Refusal | None:
    now = house().snapshot
    try:
        head = parse_request(FIRST + raw, now.admission.vocabulary, most_lines=now.admission.limits.headers)
        upstream = now.routes.match(head)
        principal = authenticate(head, upstream, now.issuers, "192.0.2.1")
        still_good(principal, now.standing)
    except Refusal as refusal:
        return refusal
    return None


def _presented(headers: Headers) -> list[bytes]:
    """What stands in the places for tokens, empty ones left out, a scheme taken off."""
    found = []
    for name, value in headers:
        canonical = name.lower().replace(b"_", b"-")
        if canonical in PLACES and value:
            bearer = _BEARER(value) if canonical == b"authorization" else None
            found.append(bearer[1] if bearer else value)
    return found
