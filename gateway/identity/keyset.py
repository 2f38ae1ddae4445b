"""A set of JSON Web Keys as verification keys by their ids; knows not where the set came from (RFC 7517)."""

from base64 import urlsafe_b64encode
from collections.abc import Mapping, Sequence
from hashlib import sha256
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from gateway.identity.jose import ALGORITHMS, PublicKey, TokenProblem, VerificationKey, base64url, form_of, read_object
from gateway.identity.kept import ContentProblem

KEY_SET_BYTES: Final = 256 * 1024
KEYS: Final = 100

_CURVES: Final[Mapping[str, ec.EllipticCurve]] = {"P-256": ec.SECP256R1(), "P-384": ec.SECP384R1(), "P-521": ec.SECP521R1()}
# RFC 7638 §3.2, and RFC 8037 §2 for OKP.
_REQUIRED: Final[Mapping[str, tuple[str, ...]]] = {
    "EC": ("crv", "kty", "x", "y"),
    "RSA": ("e", "kty", "n"),
    "OKP": ("crv", "kty", "x"),
}


class KeySetProblem(ContentProblem):
    """A key set cannot be used as a whole; the text is a clause for an operator and holds no key."""


def read_key_set(text: bytes, algorithms: Sequence[str]) -> Mapping[str, VerificationKey]:
    """Read a JWK set (RFC 7517 §5) into its keys that can verify one of `algorithms`.

    A key without an `alg` is bound to the first of `algorithms` that fits its type. Keys for encryption, symmetric and
    private keys, RSA below 2048 bits, keys without a kid and unknown types are passed over, as §5 asks. Two usable keys
    of one kid make the whole set unusable, since nobody could say which is meant. Raises `KeySetProblem`.
    """
    if len(text) > KEY_SET_BYTES:
        raise KeySetProblem(f"it is larger than {KEY_SET_BYTES // 1024} KiB")
    try:
        entries = read_object(text).get("keys")
    except TokenProblem:
        raise KeySetProblem("it is not one JSON object without duplicate members") from None
    if not isinstance(entries, list):
        raise KeySetProblem("it has no list of keys")
    if len(entries) > KEYS:
        raise KeySetProblem(f"it has more than {KEYS} keys")
    keys: dict[str, VerificationKey] = {}
    for entry in entries:
        key = read_key(entry, algorithms)
        if key is None:
            continue
        if key.kid in keys:
            raise KeySetProblem("two of its keys have the same kid")
        keys[key.kid] = key
    return keys


def read_key(entry: object, algorithms: Sequence[str]) -> VerificationKey | None:
    """Read one JWK, or nothing if it cannot verify a signature by one of `algorithms`."""
    if not isinstance(entry, dict) or not _may_verify(entry):
        return None
    kid, named = entry.get("kid"), entry.get("alg")
    if not isinstance(kid, str) or not kid:
        return None
    try:
        key = _public_key(entry)
        form = form_of(key)
        fitting = [name for name in algorithms if ALGORITHMS[name].form == form and named in (None, name)]
        return VerificationKey(kid, fitting[0], key) if key is not None and fitting else None
    except (ValueError, TokenProblem):
        return None


def thumbprint(jwk: Mapping[str, Any]) -> str:
    """The thumbprint of a public key (RFC 7638 §3): SHA-256 over its required members in their one order.

    `jwk` is one that `read_key` has read.
    """
    required = ",".join(f'"{name}":"{jwk[name]}"' for name in _REQUIRED[jwk["kty"]])
    return urlsafe_b64encode(sha256(f"{{{required}}}".encode()).digest()).rstrip(b"=").decode()


def _may_verify(entry: Mapping[str, Any]) -> bool:
    operations = entry.get("key_ops", ["verify"])
    # A private key that is published proves nothing any more.
    return entry.get("use", "sig") == "sig" and isinstance(operations, list) and "verify" in operations and "d" not in entry


def _public_key(entry: Mapping[str, Any]) -> PublicKey | None:
    match entry.get("kty"):
        case "RSA":
            exponent, modulus = _number(entry, "e"), _number(entry, "n")
            return rsa.RSAPublicNumbers(exponent, modulus).public_key()
        case "EC" if (curve := _CURVES.get(str(entry.get("crv")))) is not None:
            size = (curve.key_size + 7) // 8  # RFC 7518 §6.2.1.2: each coordinate as long as the field
            return ec.EllipticCurvePublicNumbers(_number(entry, "x", size), _number(entry, "y", size), curve).public_key()
        case "OKP" if entry.get("crv") == "Ed25519":
            return ed25519.Ed25519PublicKey.from_public_bytes(_octets(entry, "x"))
    return None


def _number(entry: Mapping[str, Any], member: str, size: int | None = None) -> int:
    octets = _octets(entry, member)
    if size is not None and len(octets) != size:
        raise ValueError("wrong length")
    return int.from_bytes(octets, "big")


def _octets(entry: Mapping[str, Any], member: str) -> bytes:
    text = entry.get(member)
    if not isinstance(text, str) or not text:
        raise ValueError("missing member")
    return base64url(text.encode())
