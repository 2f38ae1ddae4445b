"""Published JOSE examples, each a test: the RFC 7520 cookbook, RFC 7797 and 8037, joserfc's and PyJWT's; knows no claim."""

import json
from pathlib import Path
from typing import Any

import pytest
from fakes.corpora import FOLDER, document, named

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


OTHER_FORMS = [
    (f"{path.stem} {name}", form)
    for path in sorted((FOLDER / "jose-rfc7520" / "jws").glob("*.json"))
    for name, form in load(path)["output"].items()
    if name != "compact"
]


@pytest.mark.parametrize("form", named(OTHER_FORMS, lambda named_form: named_form[0]))
def test_the_cookbook_s_other_serialisations_are_no_tokens(form: tuple[str, Any]) -> None:
    """Every JSON serialisation of RFC 7520 §4, with its payload or detached from it, is refused by its form."""
    with pytest.raises(TokenProblem, match="form"):
        take_apart(json.dumps(form[1]).encode())


def test_the_cookbook_s_symmetric_signature_comes_apart_and_verifies_by_nothing(corpora: Path) -> None:
    """RFC 7520 §4.4: its key is no verification key."""
    example = load(corpora / "jose-rfc7520" / "jws" / "4_4.hmac-sha2_integrity_protection.json")
    assert take_apart(example["output"]["compact"].encode()).algorithm == "HS256"
    assert read_key(example["input"]["key"], EVERY) is None


UNENCODED = [case for case in document("jose-joserfc/jws_rfc7797.json").get("tests", ()) if "b64" in case["protected"]]


@pytest.mark.parametrize("case", named(UNENCODED, lambda case: case["name"]))
def test_an_unencoded_payload_is_refused(case: dict[str, Any]) -> None:
    """RFC 7797: whatever b64 or crit say, detached (then it is the form that is wrong) or not."""
    with pytest.raises(TokenProblem, match=r"form|critical"):
        take_apart(case["compact"].encode())


def test_the_cookbook_s_keys_are_read_or_passed_over_by_their_type(corpora: Path) -> None:
    """RFC 7520 §3: the public EC and RSA keys are usable, symmetric and private ones are not."""
    folder = corpora / "jose-rfc7520" / "jwk"
    usable = {path.name[:3] for path in folder.glob("*.json") if read_key(load(path), EVERY) is not None}
    assert usable == {"3_1", "3_3"}


TOKENS = [case for case in document("jose-joserfc/jwt_use_jws.json").get("tests", ()) if "token" in case]


@pytest.mark.parametrize("case", named(TOKENS, lambda case: case["name"]))
def test_a_token_of_joserfc_comes_apart_and_no_other_key_verifies_it(corpora: Path, case: dict[str, Any]) -> None:
    """HS256 tokens and others come apart, but no public key of another owner will take their algorithm or their signature."""
    token = read(case["token"].encode())
    assert token.algorithm == case["header"]["alg"]
    names = ("ec_pub_P-256", "ec_pub_P-384", "ec_pub_P-521", "okp_pub_Ed25519", "rsa_pub")
    keys = [read_key({"kid": "k", **load(corpora / "jose-pyjwt" / f"jwk_{name}.json")}, EVERY) for name in names]
    for key in keys:
        assert key is not None
        with pytest.raises(TokenProblem, match=r"algorithm|signature"):
            verify(token, key)


EXAMPLES = document("jose-joserfc/jws_examples.json")


@pytest.mark.parametrize(
    "case", named((case for case in EXAMPLES.get("tests", ()) if "compact" in case), lambda case: case["name"])
)
def test_a_compact_example_of_joserfc_comes_apart_into_what_was_signed(case: dict[str, Any]) -> None:
    """Header and payload are exactly those of the fixture."""
    envelope = take_apart(case["compact"].encode())
    assert envelope.header == case["protected"]
    assert envelope.payload == EXAMPLES["payload"].encode()


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
