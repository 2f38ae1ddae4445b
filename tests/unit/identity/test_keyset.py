"""Sets of JSON Web Keys: what becomes a verification key and what never does."""

import base64
import json
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from gateway.identity.keyset import KEY_SET_BYTES, KEYS, KeySetProblem, read_key_set

ALGORITHMS = ("RS256", "ES256", "EdDSA")


def b64(octets: bytes) -> str:
    """Base64url without padding."""
    return base64.urlsafe_b64encode(octets).rstrip(b"=").decode()


def rsa_jwk(bits: int, **other: Any) -> dict[str, Any]:
    """A public RSA key of this size."""
    numbers = rsa.generate_private_key(65537, bits).public_key().public_numbers()
    return {"kty": "RSA", "kid": "r", "n": b64(numbers.n.to_bytes(bits // 8, "big")), "e": "AQAB", **other}


def keys(*entries: Any, algorithms: tuple[str, ...] = ALGORITHMS) -> dict[str, str]:
    """The algorithms of the usable keys, by kid."""
    read = read_key_set(json.dumps({"keys": entries}).encode(), algorithms)
    return {kid: key.algorithm for kid, key in read.items()}


def test_a_key_is_bound_to_its_own_alg_or_else_to_the_first_that_fits(issuer: Any) -> None:
    """One key serves one algorithm, however many its type could serve."""
    plain = rsa_jwk(2048)
    assert keys(plain, issuer.jwk()) == {"r": "RS256", "first": "ES256"}
    assert keys(plain, algorithms=("PS256", "RS256")) == {"r": "PS256"}
    assert keys({**plain, "alg": "RS256"}, algorithms=("PS256", "RS256")) == {"r": "RS256"}


def test_ed25519_keys_are_read() -> None:
    """RFC 8037."""
    public = ed25519.Ed25519PrivateKey.generate().public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    assert keys({"kty": "OKP", "crv": "Ed25519", "x": b64(public), "kid": "e"}) == {"e": "EdDSA"}


@pytest.mark.parametrize(
    "change",
    [
        {"use": "enc"},
        {"use": None},
        {"key_ops": ["encrypt"]},
        {"key_ops": "verify"},
        {"key_ops": []},
        {"alg": "ES384"},
        {"alg": "HS256"},
        {"alg": "none"},
        {"alg": 1},
        {"kid": None},
        {"kid": ""},
        {"kid": 1},
        {"kty": "oct"},
        {"kty": "ec"},
        {"kty": "RSA"},
        {"kty": None},
        {"crv": "P-384"},
        {"crv": "secp256k1"},
        {"crv": None},
        {"x": "AAAA"},
        {"x": "A" * 43},
        {"x": None},
        {"x": "***"},
        {"x": 1},
        {"d": "AAAA"},
    ],
)
def test_a_key_that_cannot_verify_is_passed_over_and_its_neighbours_stay(issuer: Any, change: dict[str, Any]) -> None:
    """Wrong use, unknown or contradicting type and algorithm, a point off the curve, no kid, or a private key."""
    other = {**issuer.jwk(), "kid": "other"}
    assert keys({**issuer.jwk(), **change}, other, None, "x", []) == {"other": "ES256"}


def test_rsa_keys_are_neither_weak_nor_endless() -> None:
    """Below 2048 bits is forgeable, above 8192 is only slow, and an exponent of one verifies anything."""
    assert keys(rsa_jwk(1024)) == {}
    assert keys(rsa_jwk(2048)) == {"r": "RS256"}
    assert keys({**rsa_jwk(2048), "n": b64(b"\xff" * 1025)}) == {}
    assert keys({**rsa_jwk(2048), "e": "AQ"}) == {}


def test_two_usable_keys_of_one_kid_spoil_the_set(issuer: Any) -> None:
    """Nobody could say which is meant; a key for encryption of the same kid is no rival."""
    with pytest.raises(KeySetProblem, match="same kid"):
        keys(issuer.jwk(), issuer.jwk())
    assert keys(issuer.jwk(), {**issuer.jwk(), "use": "enc"}) == {"first": "ES256"}


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        (b"", "not one JSON object"),
        (b"[]", "not one JSON object"),
        (b'{"keys":[],"keys":[]}', "not one JSON object"),
        (b"{}", "no list of keys"),
        (b'{"keys":{}}', "no list of keys"),
        (json.dumps({"keys": [{}] * (KEYS + 1)}).encode(), "more than 100 keys"),
        (b" " * (KEY_SET_BYTES + 1), "larger than 256 KiB"),
    ],
)
def test_what_is_no_bounded_key_set_is_a_problem(text: bytes, complaint: str) -> None:
    """Each bound and each form has its own clause for the operator."""
    with pytest.raises(KeySetProblem, match=complaint):
        read_key_set(text, ALGORITHMS)


def test_an_empty_set_holds_no_key() -> None:
    """An issuer that withdraws every key is believed."""
    assert keys() == {}
