"""Published JOSE examples: the RFC 7520 cookbook, RFC 7797 and 8037, and the fixtures of joserfc and PyJWT."""

import json
from pathlib import Path
from typing import Any

import pytest

from gateway.identity.jose import ALGORITHMS, TokenProblem, form_of, read, take_apart, verify
from gateway.identity.keyset import read_key, read_key_set

EVERY = tuple(ALGORITHMS)
PRIVATE = ("d", "p", "q", "dp", "dq", "qi")


def load(path: Path) -> Any:
    """Read one file of a corpus."""
    return json.loads(path.read_text())


def public(jwk: dict[str, Any]) -> dict[str, Any]:
    """The public half of a JWK, with a kid if it has none."""
    return {"kid": "the key", **{name: value for name, value in jwk.items() if name not in PRIVATE}}


@pytest.mark.parametrize(
    "name",
    ["jws/4_1.rsa_v15_signature.json", "jws/4_2.rsa-pss_signature.json", "jws/4_3.ecdsa_signature.json", "curve25519/jws.json"],
)
def test_the_cookbook_s_compact_signatures_verify(corpora: Path, name: str) -> None:
    """RFC 7520 §4.1 to §4.3 and RFC 8037 A.4: the signature verifies, and not after one bit of it is turned."""
    example = load(corpora / "jose-rfc7520" / name)
    key = read_key({**public(example["input"]["key"]), "alg": example["input"]["alg"]}, EVERY)
    assert key is not None
    envelope = take_apart(example["output"]["compact"].encode())
    verify(envelope, key)
    head, payload, signature = example["output"]["compact"].split(".")
    turned = ("B" if signature[0] != "B" else "C") + signature[1:]
    with pytest.raises(TokenProblem, match="signature"):
        verify(take_apart(f"{head}.{payload}.{turned}".encode()), key)


def test_the_cookbook_s_other_serialisations_are_no_tokens(corpora: Path) -> None:
    """Every JSON serialisation and every detached payload of RFC 7520 §4 is refused by its form."""
    refused = 0
    for path in sorted((corpora / "jose-rfc7520" / "jws").glob("*.json")):
        output = load(path)["output"]
        for name, form in output.items():
            if name != "compact":
                with pytest.raises(TokenProblem, match="form"):
                    take_apart(json.dumps(form).encode())
                refused += 1
    assert refused >= 8


def test_unencoded_payloads_are_refused(corpora: Path) -> None:
    """RFC 7797: a header with b64 or crit is refused whatever it says, detached or not."""
    refused = []
    for case in load(corpora / "jose-joserfc" / "jws_rfc7797.json")["tests"]:
        if "b64" in case["protected"]:
            with pytest.raises(TokenProblem) as caught:
                take_apart(case["compact"].encode())
            refused.append(caught.value.code)
    assert sorted(refused) == ["critical", "critical", "form"]


def test_the_cookbook_s_keys_are_read_or_passed_over_by_their_type(corpora: Path) -> None:
    """RFC 7520 §3: the public EC and RSA keys are usable, symmetric and private ones are not."""
    folder = corpora / "jose-rfc7520" / "jwk"
    usable = {path.name[:3] for path in folder.glob("*.json") if read_key(load(path), EVERY) is not None}
    assert usable == {"3_1", "3_3"}


def test_no_symmetric_example_of_joserfc_is_accepted(corpora: Path) -> None:
    """HS256 tokens come apart, but no public key will take their algorithm."""
    tokens = [case["token"] for case in load(corpora / "jose-joserfc" / "jwt_use_jws.json")["tests"] if "token" in case]
    keys = [
        read_key(load(path), EVERY)
        for path in sorted((corpora / "jose-pyjwt").glob("jwk_*_pub*.json"))
        if "256k" not in path.name
    ]
    symmetric = [token for token in tokens if read(token.encode()).algorithm.startswith("HS")]
    assert len(symmetric) >= 3
    for token in symmetric:
        for key in keys:
            if key is not None:
                with pytest.raises(TokenProblem, match="algorithm"):
                    verify(read(token.encode()), key)


def test_joserfc_s_compact_examples_come_apart_into_what_was_signed(corpora: Path) -> None:
    """Header and payload are exactly those of the fixture."""
    fixture = load(corpora / "jose-joserfc" / "jws_examples.json")
    count = 0
    for case in fixture["tests"]:
        if "compact" in case:
            envelope = take_apart(case["compact"].encode())
            assert envelope.header == case["protected"]
            assert envelope.payload == fixture["payload"].encode()
            count += 1
    assert count >= 3


@pytest.mark.parametrize(
    ("name", "algorithm", "form"),
    [
        ("jwk_ec_pub_P-256.json", "ES256", "EC P-256"),
        ("jwk_ec_pub_P-384.json", "ES384", "EC P-384"),
        ("jwk_ec_pub_P-521.json", "ES512", "EC P-521"),
        ("jwk_okp_pub_Ed25519.json", "EdDSA", "OKP Ed25519"),
        ("jwk_rsa_pub.json", "RS256", "RSA"),
    ],
)
def test_pyjwt_s_public_keys_are_bound_to_their_algorithm(corpora: Path, name: str, algorithm: str, form: str) -> None:
    """A key without an alg gets the first configured algorithm that fits its type and curve."""
    key = read_key({"kid": "the key", **load(corpora / "jose-pyjwt" / name)}, EVERY)
    assert key is not None
    assert (key.algorithm, form_of(key.key)) == (algorithm, form)


@pytest.mark.parametrize(
    "name",
    [
        "jwk_hmac.json",
        "jwk_ec_pub_secp256k1.json",
        "jwk_okp_pub_Ed448.json",
        "jwk_rsa_key.json",
        "jwk_ec_key_P-256.json",
        "jwk_okp_key_Ed25519.json",
    ],
)
def test_pyjwt_s_other_keys_are_passed_over(corpora: Path, name: str) -> None:
    """Symmetric and private keys and unsupported curves never verify anything."""
    assert read_key({"kid": "the key", **load(corpora / "jose-pyjwt" / name)}, EVERY) is None


def test_pyjwt_s_key_sets_keep_only_keys_with_a_known_algorithm(corpora: Path) -> None:
    """A key of an unknown algorithm is passed over and does not spoil its neighbours."""
    folder = corpora / "jose-pyjwt"
    mixed = read_key_set((folder / "jwk_keyset_with_unknown_alg.json").read_bytes(), EVERY)
    assert [key.algorithm for key in mixed.values()] == ["RS256"]
    assert read_key_set((folder / "jwk_keyset_only_unknown_alg.json").read_bytes(), EVERY) == {}
