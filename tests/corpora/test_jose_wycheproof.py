"""The JSON Web Signature vectors of Project Wycheproof through the reader and verifier that every token passes."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import load_der_public_key

from gateway.identity.jose import ALGORITHMS, Envelope, TokenProblem, VerificationKey, take_apart, verify
from gateway.identity.keyset import KeySetProblem, read_key, read_key_set

EVERY = tuple(ALGORITHMS)

# Labelled valid, and refused here on purpose.
OTHER_ALGORITHM_THAN_ITS_KEY = {346, 350}  # the JWK says PS256, the header PS384
KEY_OF_NO_ALGORITHM = {347, 351}  # the JWK says ES521, which does not exist
EMPTY_PAYLOAD = {259, 264, 268, 272, 320, 325}  # a JWT is never empty, so an empty part is no token
REFUSED_ON_PURPOSE = OTHER_ALGORITHM_THAN_ITS_KEY | KEY_OF_NO_ALGORITHM | EMPTY_PAYLOAD


def load(corpora: Path, name: str) -> Any:
    """Read one file of the corpus."""
    return json.loads((corpora / "jose-wycheproof" / name).read_text())


def with_kid(jwk: dict[str, Any]) -> dict[str, Any]:
    """Name a key that its vector leaves without a kid."""
    return {"kid": "the key", **jwk}


def accepted(jws: object, jwk: dict[str, Any]) -> bool:
    """Whether the key, bound to the algorithm of its JWK, verifies the token."""
    key = read_key(with_kid(jwk), EVERY)
    if key is None or not isinstance(jws, str):
        return False
    try:
        verify(take_apart(jws.encode()), key)
    except TokenProblem:
        return False
    return True


def asymmetric(document: Any) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """Each case with the public key of its group."""
    for group in document["testGroups"]:
        if "public" in group:
            for case in group["tests"]:
                yield group["public"], case


def test_every_asymmetric_signature_is_judged_as_its_vector_says(corpora: Path) -> None:
    """Nothing invalid is accepted, and of what is valid only what this file lists is refused."""
    document = load(corpora, "json_web_signature_test.json")
    judged = {case["tcId"]: (case["result"], accepted(case["jws"], jwk)) for jwk, case in asymmetric(document)}
    assert len(judged) > 350
    assert [case for case, (result, ours) in judged.items() if ours and result != "valid"] == []
    assert {case for case, (result, ours) in judged.items() if not ours and result == "valid"} == REFUSED_ON_PURPOSE


def test_signatures_whose_jwk_contradicts_the_header_verify_once_the_key_is_bound_to_the_header(corpora: Path) -> None:
    """Vectors 346, 347, 350 and 351 are refused for their JWK's alg alone: the signatures themselves are right."""
    document = load(corpora, "json_web_signature_test.json")
    seen = set()
    for jwk, case in asymmetric(document):
        if case["tcId"] in OTHER_ALGORITHM_THAN_ITS_KEY | KEY_OF_NO_ALGORITHM:
            envelope = take_apart(case["jws"].encode())
            key = read_key({**with_kid(jwk), "alg": envelope.algorithm}, EVERY)
            assert key is not None
            verify(envelope, key)
            seen.add(case["tcId"])
    assert seen == OTHER_ALGORITHM_THAN_ITS_KEY | KEY_OF_NO_ALGORITHM


def test_a_character_outside_the_alphabet_is_refused_although_two_vectors_call_it_valid(corpora: Path) -> None:
    """Vectors 372 and 373 hold a question mark inside base64url; a strict reader refuses them before any key is looked up."""
    for group in load(corpora, "json_web_signature_test.json")["testGroups"]:
        for case in group["tests"]:
            if case["tcId"] in (372, 373):
                with pytest.raises(TokenProblem, match="form"):
                    take_apart(case["jws"].encode())


def test_no_symmetric_signature_is_ever_accepted(corpora: Path) -> None:
    """A key for HMAC is never a verification key, whether its vector is valid or not."""
    groups = [group for group in load(corpora, "json_web_signature_test.json")["testGroups"] if "public" not in group]
    cases = [(group["private"], case) for group in groups for case in group["tests"] if "private" in group]
    assert len(cases) >= 30
    assert not any(accepted(case["jws"], jwk) for jwk, case in cases if jwk["kty"] == "oct")


def test_key_sets_are_judged_as_their_vectors_say(corpora: Path) -> None:
    """Wrong use, wrong curve, small keys, exponent one and mixed sets are refused; ROCA's weak primes are not looked for."""
    wrong = []
    for group in load(corpora, "json_web_key_test.json")["testGroups"]:
        key_set = group.get("public", group["private"])
        for entry in key_set["keys"]:
            for private in ("d", "p", "q", "dp", "dq", "qi"):
                entry.pop(private, None)
        for case in group["tests"]:
            try:
                envelope = take_apart(case["jws"].encode())
                verify(envelope, read_key_set(json.dumps(key_set).encode(), EVERY)[envelope.kid or ""])
            except (TokenProblem, KeySetProblem, KeyError):
                if case["result"] == "valid" and key_set["keys"][0]["kty"] != "oct":
                    wrong.append(case["tcId"])
            else:
                if case["result"] != "valid":
                    wrong.append(case["tcId"])
    assert wrong == [7]


@pytest.mark.parametrize(
    ("name", "algorithm"),
    [
        ("ecdsa_secp256r1_sha256_p1363_test.json", "ES256"),
        ("ed25519_test.json", "EdDSA"),
        ("rsa_signature_2048_sha256_test.json", "RS256"),
        ("rsa_pss_2048_sha256_mgf1_32_test.json", "PS256"),
    ],
)
def test_raw_signatures_are_judged_as_their_vectors_say(corpora: Path, name: str, algorithm: str) -> None:
    """The verifier under the token format accepts what is valid, and nothing invalid."""
    wrong, count = [], 0
    for group in load(corpora, name)["testGroups"]:
        der = group.get("publicKeyDer")
        key = VerificationKey("the key", algorithm, load_der_public_key(bytes.fromhex(der)))
        for case in group["tests"]:
            signed, signature = bytes.fromhex(case["msg"]), bytes.fromhex(case["sig"])
            count += 1
            try:
                verify(Envelope({"alg": algorithm}, b"", signed, signature), key)
                ours = "valid"
            except TokenProblem:
                ours = "invalid"
            if case["result"] not in (ours, "acceptable"):
                wrong.append(case["tcId"])
    assert wrong == []
    assert count > 80
