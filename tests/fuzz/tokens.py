"""Target: signed tokens in compact form, with PyJWT and the standard library as second readers; knows no issuer.

What comes apart here comes apart there into the same header, claims and signed bytes. Only the bytes that a key signed
verify by it. Nothing but a `TokenProblem` ever comes out.
"""

import base64
import json
import zlib
from collections.abc import Hashable
from functools import cache

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature
from jwt.api_jws import PyJWS

from gateway.identity.jose import Jws, TokenProblem, VerificationKey, read, verify

CLAIMS = {"iss": "https://issuer.example", "sub": "somebody", "exp": 1_900_000_000}
_SIGNED = b"@SIGNED@"


@cache
def _key() -> ec.EllipticCurvePrivateKey:
    return ec.derive_private_key(zlib.crc32(b"a key for tests alone"), ec.SECP256R1())


@cache
def signed() -> bytes:
    """A token that verifies. In a case, `@SIGNED@` stands for it."""
    head, payload = (_b64(json.dumps(part).encode()) for part in ({"alg": "ES256", "kid": "k", "typ": "at+jwt"}, CLAIMS))
    r, s = decode_dss_signature(_key().sign(head + b"." + payload, ec.ECDSA(hashes.SHA256())))
    return b".".join((head, payload, _b64(r.to_bytes(32, "big") + s.to_bytes(32, "big"))))


def check(raw: bytes) -> Hashable:
    """Read the token and try the key on it. What came of it; raises `AssertionError` where an invariant broke."""
    token = raw.replace(_SIGNED, signed())
    try:
        jws = read(token)
    except TokenProblem as problem:
        return problem.code
    _check_reading(token, jws)
    try:
        verify(jws, VerificationKey("k", "ES256", _key().public_key()))
    except TokenProblem as problem:
        return problem.code, jws.algorithm == "ES256", jws.kind == "at+jwt"
    _check_signature(jws)
    return "verified"


def verdict(raw: bytes) -> str:
    """In words, for a named case."""
    outcome = check(raw)
    return outcome if isinstance(outcome, str) else str(outcome[0])  # type: ignore[index]


def _check_reading(token: bytes, jws: Jws) -> None:
    """No other reader finds anything else in it."""
    payload, signing_input, header, signature = PyJWS()._load(token)
    assert (payload, signing_input, header, signature) == (jws.payload, jws.signing_input, jws.header, jws.signature)
    assert json.loads(payload) == jws.claims
    assert b".".join((*signing_input.split(b"."), _b64(signature))) == token, "its base64url has a second spelling"
    assert _b64(payload) == token.split(b".")[1]
    assert all(secret not in repr(jws) for secret in (token.decode(), payload.decode("latin-1")))
    assert "crit" not in jws.header
    assert "jwk" not in jws.header


def _check_signature(jws: Jws) -> None:
    """What verifies says what was signed, and says it to another verifier too."""
    assert jws.signing_input == signed().rpartition(b".")[0], "something was verified that nobody signed"
    assert jws.claims == CLAIMS
    r, s = jws.signature[:32], jws.signature[32:]
    try:
        _key().public_key().verify(
            encode_dss_signature(int.from_bytes(r, "big"), int.from_bytes(s, "big")),
            jws.signing_input,
            ec.ECDSA(hashes.SHA256()),
        )
    except InvalidSignature:
        raise AssertionError("a forged signature verifies") from None


def _b64(octets: bytes) -> bytes:
    return base64.urlsafe_b64encode(octets).rstrip(b"=")
