"""The classes of forged signatures that public vectors are about, with cases of our own; knows no issuer and no claim."""

from collections.abc import Iterator
from functools import cache

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from gateway.identity.jose import Envelope, TokenProblem, VerificationKey, verify
from gateway.identity.keyset import read_key

SIGNED = b"header.payload"
P256_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
P256_FIELD = 0xFFFFFFFF00000001000000000000000000000000FFFFFFFFFFFFFFFFFFFFFFFF
ED25519_ORDER = 2**252 + 27742317777372353535851937790883648493
A_POINT = (
    "a0HWcU5lnD4j9w5C2xxC3N4lGP1aAvnWGjzfQVhxWZQ",
    "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8",
)
"""Coordinates of the right length that lie on no curve."""

EC_KEY = ec.derive_private_key(7, ec.SECP256R1())
ED_KEY = ed25519.Ed25519PrivateKey.from_private_bytes(bytes(range(32)))


@cache
def rsa_key() -> rsa.RSAPrivateKey:
    """One key for all cases, for it takes long to make."""
    return rsa.generate_private_key(65537, 2048)


def refused(algorithm: str, key: object, signature: bytes) -> bool:
    """Whether the verifier refuses the signature under this key."""
    try:
        verify(Envelope({"alg": algorithm}, b"", SIGNED, signature), VerificationKey("k", algorithm, key))
    except TokenProblem as problem:
        return problem.code == "signature"
    return False


def p256(r: int, s: int) -> bytes:
    """Both numbers at the length of the field."""
    return r.to_bytes(32, "big") + s.to_bytes(32, "big")


def ecdsa_forgeries() -> Iterator[tuple[str, bytes]]:
    der = EC_KEY.sign(SIGNED, ec.ECDSA(hashes.SHA256()))
    r, s = decode_dss_signature(der)
    other = decode_dss_signature(EC_KEY.sign(b"something else", ec.ECDSA(hashes.SHA256())))
    edges = {
        "0": 0,
        "1": 1,
        "n - 1": P256_ORDER - 1,
        "n": P256_ORDER,
        "n + 1": P256_ORDER + 1,
        "p": P256_FIELD,
        "all ones": 2**256 - 1,
    }
    yield from ((f"r = {one}, s = {two}", p256(edges[one], edges[two])) for one in edges for two in edges)
    yield from ((f"r = {name}", p256(edge, s)) for name, edge in edges.items())
    yield from ((f"s = {name}", p256(r, edge)) for name, edge in edges.items())
    yield "of another message", p256(*other)
    yield "r and s exchanged", p256(s, r)
    yield "in DER", der
    yield "cut off", p256(r, s)[:-1]
    yield "a byte more", p256(r, s) + b"\0"
    yield "nothing", b""


@pytest.mark.parametrize("signature", [pytest.param(forged, id=name) for name, forged in ecdsa_forgeries()])
def test_a_forged_ecdsa_signature_is_refused(signature: bytes) -> None:
    """Numbers at the edges of the group verify nothing, and neither does another encoding of a good signature."""
    assert refused("ES256", EC_KEY.public_key(), signature)
    good = p256(*decode_dss_signature(EC_KEY.sign(SIGNED, ec.ECDSA(hashes.SHA256()))))
    assert not refused("ES256", EC_KEY.public_key(), good)


def ed25519_forgeries() -> Iterator[tuple[str, bytes]]:
    good = ED_KEY.sign(SIGNED)
    s = int.from_bytes(good[32:], "little")
    yield "s increased by the order", good[:32] + (s + ED25519_ORDER).to_bytes(32, "little")
    yield "s = 0", good[:32] + bytes(32)
    yield "zeros", bytes(64)
    yield "the neutral element and s = 0", b"\1" + bytes(63)
    yield "all ones", b"\xff" * 64
    yield "halves exchanged", good[32:] + good[:32]
    yield "of another message", ED_KEY.sign(b"something else")
    yield "cut off", good[:-1]
    yield "a byte more", good + b"\0"
    yield "nothing", b""


@pytest.mark.parametrize("signature", [pytest.param(forged, id=name) for name, forged in ed25519_forgeries()])
def test_a_forged_ed25519_signature_is_refused(signature: bytes) -> None:
    """RFC 8032 §5.1.7: s is below the order, so a signature has no second spelling."""
    assert refused("EdDSA", ED_KEY.public_key(), signature)
    assert not refused("EdDSA", ED_KEY.public_key(), ED_KEY.sign(SIGNED))


def rsa_forgeries() -> Iterator[tuple[str, str, bytes]]:
    key = rsa_key()
    numbers = key.private_numbers()
    modulus, exponent = numbers.public_numbers.n, numbers.d
    pkcs1 = key.sign(SIGNED, padding.PKCS1v15(), hashes.SHA256())
    pss = key.sign(SIGNED, padding.PSS(padding.MGF1(hashes.SHA256()), 32), hashes.SHA256())
    long_salt = key.sign(SIGNED, padding.PSS(padding.MGF1(hashes.SHA256()), padding.PSS.MAX_LENGTH), hashes.SHA256())
    other_hash = key.sign(SIGNED, padding.PSS(padding.MGF1(hashes.SHA1()), 32), hashes.SHA256())  # noqa: S303 a forgery
    bare = b"\0\1" + b"\xff" * 221 + b"\0" + hashes_of_nothing()
    yield "PSS for PKCS #1", "RS256", pss
    yield "PKCS #1 for PSS", "PS256", pkcs1
    yield "another digest", "RS256", key.sign(SIGNED, padding.PKCS1v15(), hashes.SHA384())
    yield "a digest without its name", "RS256", pow(int.from_bytes(bare, "big"), exponent, modulus).to_bytes(256, "big")
    yield "a longer salt", "PS256", long_salt
    yield "another digest in the mask", "PS256", other_hash
    for name, algorithm, good in (("PKCS #1", "RS256", pkcs1), ("PSS", "PS256", pss)):
        yield f"{name} increased by the modulus", algorithm, (int.from_bytes(good, "big") + modulus).to_bytes(257, "big")
        yield f"{name} with a zero in front", algorithm, b"\0" + good
        yield f"{name} cut off", algorithm, good[:-1]
        yield f"{name} of zeros", algorithm, bytes(256)
        yield f"{name} of one", algorithm, bytes(255) + b"\1"
        yield f"{name} of nothing", algorithm, b""


def hashes_of_nothing() -> bytes:
    """The digest of what is signed, as it may not stand in a signature: bare."""
    digest = hashes.Hash(hashes.SHA256())
    digest.update(SIGNED)
    return digest.finalize()


def test_a_forged_rsa_signature_is_refused() -> None:
    """Neither another padding, digest or salt than the algorithm's own, nor another spelling of a good signature."""
    public = rsa_key().public_key()
    assert [name for name, algorithm, signature in rsa_forgeries() if not refused(algorithm, public, signature)] == []
    assert not refused("RS256", public, rsa_key().sign(SIGNED, padding.PKCS1v15(), hashes.SHA256()))
    salted = padding.PSS(padding.MGF1(hashes.SHA256()), 32)
    assert not refused("PS256", public, rsa_key().sign(SIGNED, salted, hashes.SHA256()))


@pytest.mark.parametrize(
    ("x", "y"),
    [
        pytest.param(*A_POINT, id="a point off the curve"),
        pytest.param("A" * 43, "A" * 43, id="the origin"),
        pytest.param("_" * 42 + "8", A_POINT[1], id="a coordinate beyond the field"),
        pytest.param(A_POINT[0][:42], A_POINT[1], id="a coordinate that is too short"),
        pytest.param(A_POINT[0] + "A", A_POINT[1], id="a coordinate that is too long"),
        pytest.param("AmtB1nFOZZw-I_cOQtscQtzeJRj9WgL51ho830FYcVmU", "", id="a point in one coordinate"),
    ],
)
def test_an_invalid_point_is_no_key(x: str, y: str) -> None:
    """RFC 7518 §6.2.1: two coordinates of full length, of a point on the curve that is named."""
    assert read_key({"kty": "EC", "crv": "P-256", "kid": "k", "x": x, "y": y}, ("ES256",)) is None
