"""The written forms of a trust bundle, and what is none."""

import base64
import json
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding
from fakes.spiffe import TrustDomain

from gateway.identity.kept import ContentProblem
from gateway.identity.keyset import KEY_SET_BYTES, KEYS
from gateway.identity.spiffe_bundle import ALGORITHMS, read_bundle, split_der


@pytest.fixture(scope="module")
def acme() -> TrustDomain:
    """A trust domain."""
    return TrustDomain("acme.example")


def read(value: Any, trust_domain: str = "acme.example") -> Any:
    text = value if isinstance(value, bytes) else json.dumps(value).encode()
    return read_bundle(text, trust_domain, ALGORITHMS)


def test_a_bundle_holds_keys_and_roots_by_their_use(acme: TrustDomain) -> None:
    """Each entry says what it is for, and one of another use is for nothing here."""
    document = acme.bundle()
    document["keys"].append({**acme.jwk(), "kid": "wit", "use": "wit-svid"})
    document["keys"].append({"use": "new", "kty": "new"})
    bundle = read(document)
    assert (set(bundle.keys), bundle.roots, bundle.sequence) == ({"jwt-1"}, (acme.root_der,), 1)


def test_a_set_of_bundles_gives_the_one_that_is_asked_for(acme: TrustDomain) -> None:
    """And never a key of another trust domain."""
    other = TrustDomain("other.example")
    other.kid = "other-1"
    document = {"trust_domains": {each.name: each.bundle() for each in (acme, other)}}
    assert set(read(document, "other.example").keys) == {"other-1"}
    with pytest.raises(ContentProblem, match=r"no bundle of the trust domain third\.example"):
        read(document, "third.example")


def test_an_empty_bundle_is_one() -> None:
    """It says that nothing of the trust domain is valid now."""
    assert read({"keys": []}) == ({}, (), None)


def test_certificates_may_come_as_pem(acme: TrustDomain) -> None:
    """As programs that renew roots write them."""
    both = b"\n".join([acme.root.public_bytes(Encoding.PEM)] * 2)
    assert read(both).roots == (acme.root_der,) * 2


def test_a_private_or_symmetric_key_proves_nothing(acme: TrustDomain) -> None:
    """What is published is no secret any more; nor does EdDSA sign JWT-SVIDs."""
    keys = [
        {**acme.jwk(), "kid": "private", "d": "AAAA"},
        {"kty": "oct", "kid": "shared", "k": "AAAA"},
        {"kty": "OKP", "crv": "Ed25519", "kid": "edwards", "x": base64.urlsafe_b64encode(b"\1" * 32).decode().rstrip("=")},
        {**acme.jwk(), "kid": "wrong", "alg": "RS256"},
    ]
    assert read({"keys": keys}).keys == {}


@pytest.mark.parametrize(
    ("broken", "told"),
    [
        (b"", "neither one JSON object"),
        (b'{"keys": [], "keys": []}', "duplicate"),
        (b" " * (KEY_SET_BYTES + 1), "larger than"),
        ({"keys": {}}, "no list of keys"),
        ({"keys": [{}] * (KEYS + 1)}, "more than 100 keys"),
        ({"keys": [{}]}, "has no kid"),
        ({"keys": [{"use": "jwt-svid", "kid": 1}]}, "has no kid"),
        ({"keys": [{"use": "x509-svid"}]}, "has no certificate"),
        ({"keys": [{"use": "x509-svid", "x5c": []}]}, "has no certificate"),
        ({"keys": [{"use": "x509-svid", "x5c": ["AAAA"]}]}, "cannot be read"),
        ({"keys": [{"use": "x509-svid", "x5c": ["?"]}]}, "cannot be read"),
        ({"keys": [{"use": "x509-svid", "x5c": [7]}]}, "cannot be read"),
        ({"keys": [], "spiffe_sequence": "1"}, "spiffe_sequence is no number"),
        ({"keys": [], "spiffe_sequence": True}, "spiffe_sequence is no number"),
        ({"trust_domains": []}, "no bundle of the trust domain"),
        (b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "PEM certificates cannot be read"),
    ],
)
def test_what_could_be_read_in_two_ways_is_no_bundle(broken: Any, told: str) -> None:
    """The sentence says what is wrong and shows nothing of it."""
    with pytest.raises(ContentProblem, match=told):
        read(broken)


def test_two_keys_of_one_id_make_the_bundle_useless(acme: TrustDomain) -> None:
    """Nobody could say which is meant."""
    with pytest.raises(ContentProblem, match="same kid"):
        read({"keys": [acme.jwk(), acme.jwk()]})


def test_more_certificates_than_keys_may_be_are_refused(acme: TrustDomain) -> None:
    """In every form."""
    with pytest.raises(ContentProblem, match="more than 100 certificates"):
        read(acme.root.public_bytes(Encoding.PEM) * (KEYS + 1))
    with pytest.raises(ContentProblem, match="cannot be read"):
        split_der(acme.root_der * (KEYS + 1))


def test_certificates_of_an_agent_are_taken_apart(acme: TrustDomain) -> None:
    """They come one after the other, as DER."""
    other = TrustDomain("other.example")
    assert split_der(acme.root_der + other.root_der) == (acme.root_der, other.root_der)
    assert split_der(b"") == ()


@pytest.mark.parametrize("blob", [b"\x30", b"\x31\x00", b"\x30\x80", b"\x30\x84\0\0\0\1x", b"\x30\x05abc", b"\x30\x03abc"])
def test_what_is_no_certificate_is_refused(blob: bytes) -> None:
    """Cut off, of another kind, or of a length without end."""
    with pytest.raises(ContentProblem, match="cannot be read"):
        split_der(blob)
