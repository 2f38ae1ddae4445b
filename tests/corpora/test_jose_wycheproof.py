"""The JOSE vectors of Project Wycheproof, each a test, through the reader and verifier of every token; knows no claim."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import orjson
import pytest
from cryptography.hazmat.primitives.serialization import load_der_public_key
from fakes.corpora import document, named

from gateway.identity.jose import ALGORITHMS, Envelope, TokenProblem, VerificationKey, take_apart, verify
from gateway.identity.keyset import KeySetProblem, read_key, read_key_set

EVERY = tuple(ALGORITHMS)
PRIVATE = ("d", "p", "q", "dp", "dq", "qi")

_OTHER_ALGORITHM = "the JWK is for PS256 and the header says PS384: a key serves one algorithm"
_NO_ALGORITHM = "the JWK is for ES521, which does not exist"
_EMPTY = "a JWT is never empty, so an empty payload is no token"
_ALPHABET = "a question mark is no character of base64url"
_SYMMETRIC = "a key for HMAC verifies nothing here"
REFUSED_ON_PURPOSE = (
    dict.fromkeys((346, 350), _OTHER_ALGORITHM)
    | dict.fromkeys((347, 351), _NO_ALGORITHM)
    | dict.fromkeys((259, 264, 268, 272, 320, 325), _EMPTY)
    | dict.fromkeys((372, 373), _ALPHABET)
)
"""Labelled valid, and refused here all the same, for the reason beside it."""
ROCA = 46
ACCEPTED_ON_PURPOSE = {7: "ROCA's weak primes are not looked for: the issuer chose its key, and no agent can"}
"""The one key set that is labelled invalid and used here; in the mixed file its number is `ROCA`."""


class Vector(NamedTuple):
    """One case with the key of its group; without one for a group that has only a symmetric key."""

    case: dict[str, Any]
    jwk: dict[str, Any] | None

    @property
    def name(self) -> str:
        return f"{self.case['tcId']} {self.case['comment']}"


def vectors(file: str) -> Iterator[Vector]:
    """All cases of a file."""
    for group in document(file).get("testGroups", ()):
        for case in group["tests"]:
            yield Vector(case, group.get("public"))


def accepted(jws: object, jwk: dict[str, Any]) -> bool:
    """Whether the key, bound to the algorithm of its JWK, verifies the token."""
    key = read_key({"kid": "the key", **jwk}, EVERY)
    if key is None or not isinstance(jws, str):
        return False
    try:
        verify(take_apart(jws.encode()), key)
    except TokenProblem:
        return False
    return True


SIGNATURES = list(vectors("jose-wycheproof/json_web_signature_test.json"))


@pytest.mark.parametrize("vector", named(SIGNATURES, lambda vector: vector.name))
def test_a_signature_is_judged_as_its_vector_says(vector: Vector) -> None:
    """Nothing invalid is accepted, and of what is valid only what has a reason is refused."""
    jwk = vector.jwk
    if jwk is None:  # a key for HMAC: whatever the vector says, it is no verification key
        groups = document("jose-wycheproof/json_web_signature_test.json")["testGroups"]
        (jwk,) = [group["private"] for group in groups if vector.case in group["tests"]]
        assert jwk["kty"] == "oct", _SYMMETRIC
        assert not accepted(vector.case["jws"], jwk)
        return
    expected = vector.case["result"] == "valid" and vector.case["tcId"] not in REFUSED_ON_PURPOSE
    assert accepted(vector.case["jws"], jwk) == expected


@pytest.mark.parametrize("number", named((346, 347, 350, 351), str))
def test_a_signature_whose_jwk_contradicts_its_header_is_right_in_itself(number: int) -> None:
    """It is refused for its JWK's alg alone: bound to the header's, the same key verifies it."""
    (vector,) = [vector for vector in SIGNATURES if vector.case["tcId"] == number]
    envelope = take_apart(vector.case["jws"].encode())
    key = read_key({"kid": "the key", **(vector.jwk or {}), "alg": envelope.algorithm}, EVERY)
    assert key is not None
    verify(envelope, key)


@pytest.mark.parametrize("number", named((372, 373), str))
def test_a_character_outside_the_alphabet_is_refused_by_its_form(number: int) -> None:
    """Two vectors call a question mark inside base64url valid; a strict reader refuses it before any key is looked up."""
    (vector,) = [vector for vector in SIGNATURES if vector.case["tcId"] == number]
    with pytest.raises(TokenProblem, match="form"):
        take_apart(vector.case["jws"].encode())


class KeySet(NamedTuple):
    """One case of a key set."""

    case: dict[str, Any]
    keys: dict[str, Any]


KEY_SETS = [
    KeySet(case, group.get("public", group["private"]))
    for group in document("jose-wycheproof/json_web_key_test.json").get("testGroups", ())
    for case in group["tests"]
]


@pytest.mark.parametrize("vector", named(KEY_SETS, lambda vector: f"{vector.case['tcId']} {vector.case['comment']}"))
def test_a_key_set_is_judged_as_its_vector_says(vector: KeySet) -> None:
    """Wrong use, wrong curve, small keys, exponent one and mixed sets are refused."""
    public = {"keys": [{name: value for name, value in key.items() if name not in PRIVATE} for key in vector.keys["keys"]]}
    try:
        envelope = take_apart(vector.case["jws"].encode())
        verify(envelope, read_key_set(orjson.dumps(public), EVERY)[envelope.kid or ""])
        accepted = True
    except (TokenProblem, KeySetProblem, KeyError):
        accepted = False
    symmetric = public["keys"][0]["kty"] == "oct"
    expected = (vector.case["result"] == "valid" and not symmetric) or vector.case["tcId"] in ACCEPTED_ON_PURPOSE
    assert accepted == expected


MIXED = list(vectors("jose-wycheproof/json_web_crypto_test.json"))


@pytest.mark.parametrize("vector", named(MIXED, lambda vector: vector.name))
def test_of_signed_and_encrypted_vectors_only_signatures_by_public_keys_are_accepted(vector: Vector) -> None:
    """An encrypted one has five parts and is no token; a key for HMAC is none here."""
    expected = vector.case["result"] == "valid" and vector.jwk is not None and "jws" in vector.case
    assert accepted(vector.case.get("jws", vector.case.get("jwe")), vector.jwk or {}) == (
        expected or vector.case["tcId"] == ROCA
    )


class Raw(NamedTuple):
    """One case of a bare signature."""

    algorithm: str
    der: bytes
    case: dict[str, Any]


RAW_FILES = {
    "ecdsa_secp256r1_sha256_p1363_test.json": "ES256",
    "ed25519_test.json": "EdDSA",
    "rsa_signature_2048_sha256_test.json": "RS256",
    "rsa_pss_2048_sha256_mgf1_32_test.json": "PS256",
}
RAW = [
    Raw(algorithm, bytes.fromhex(group["publicKeyDer"]), case)
    for file, algorithm in RAW_FILES.items()
    for group in document(f"jose-wycheproof/{file}").get("testGroups", ())
    for case in group["tests"]
]


@pytest.mark.parametrize(
    "vector", named(RAW, lambda vector: f"{vector.algorithm} {vector.case['tcId']} {vector.case['comment']}")
)
def test_a_bare_signature_is_judged_as_its_vector_says(vector: Raw) -> None:
    """The verifier under the token format accepts what is valid, and nothing invalid."""
    key = VerificationKey("the key", vector.algorithm, load_der_public_key(vector.der))
    signed, signature = bytes.fromhex(vector.case["msg"]), bytes.fromhex(vector.case["sig"])
    envelope = Envelope({"alg": vector.algorithm}, b"", signed, signature)
    if vector.case["result"] == "acceptable":
        return
    if vector.case["result"] == "valid":
        verify(envelope, key)
    else:
        with pytest.raises(TokenProblem, match="signature"):
            verify(envelope, key)


def test_the_vectors_are_all_there() -> None:
    """None was lost on the way, and each exception names one of them."""
    numbers = {vector.case["tcId"] for vector in SIGNATURES}
    assert (len(SIGNATURES), len(KEY_SETS), len(MIXED), len(RAW)) == (401, 26, 83, 780)
    assert set(REFUSED_ON_PURPOSE) <= numbers
    assert set(ACCEPTED_ON_PURPOSE) <= {vector.case["tcId"] for vector in KEY_SETS}
