"""A key that signs task tokens, by its one algorithm, and its public half as a JWK; knows no token, no file and no rotation."""

from base64 import urlsafe_b64encode
from collections.abc import Callable, Mapping
from typing import Final, Literal, Protocol, TypeAlias, final

import orjson
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from gateway.identity.jose import PublicKey, VerificationKey
from gateway.identity.keyset import thumbprint

Algorithm: TypeAlias = Literal["ES256", "EdDSA", "RS256"]
PrivateKey: TypeAlias = ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey | rsa.RSAPrivateKey

RSA_BITS: Final = 3072
"""How long a new RSA key is (NIST SP 800-57 part 1 §5.6.1: as strong as P-256); one that was brought has 2048 at least."""
_COORDINATE_BYTES: Final = 32
_EXPONENT: Final = 65537

_MADE: Final[Mapping[Algorithm, Callable[[], PrivateKey]]] = {
    "ES256": lambda: ec.generate_private_key(ec.SECP256R1()),
    "EdDSA": ed25519.Ed25519PrivateKey.generate,
    "RS256": lambda: rsa.generate_private_key(_EXPONENT, RSA_BITS),
}


class UnsignedError(Exception):
    """Nothing could be signed now; the text says why, and may be shown to whoever asked."""


class Signer(Protocol):
    """What signs task tokens, by one key and algorithm, wherever the private half is."""

    @property
    def algorithm(self) -> Algorithm:
        """The one that it signs with."""

    @property
    def jwk(self) -> Mapping[str, str]:
        """The public half."""

    @property
    def kid(self) -> str:
        """The thumbprint of the public half."""

    @property
    def verification(self) -> VerificationKey:
        """The public half, to verify with."""

    def kept(self) -> Mapping[str, object]:
        """What the authority's private file keeps of it."""

    async def signed(self, kind: str, claims: Mapping[str, object]) -> str:
        """A JWT in compact form (RFC 7515 §7.1); `kind` is its `typ`. Raises `UnsignedError`."""


class KeySource(Protocol):
    """Where somebody else exchanges the key."""

    @property
    def elsewhere(self) -> str:
        """A sentence on where it is exchanged."""

    def read(self) -> Signer:
        """The key that is there now. Raises `DoorwardError`."""


@final
class SigningKey:
    """A key pair, and the only signer of its `kid`. The private half is shown to nobody else."""

    def __init__(self, private: PrivateKey) -> None:
        """Raises `ValueError` for what is no key on P-256, no Ed25519 key and no RSA key of 2048 to 8192 bits."""
        self.private: Final = private
        self.algorithm: Final = algorithm_of(private)
        self.jwk: Final = public_jwk(private.public_key(), self.algorithm)
        self.kid: Final = self.jwk["kid"]
        self.verification: Final = VerificationKey(self.kid, self.algorithm, private.public_key())

    def __repr__(self) -> str:
        return f"SigningKey({self.kid})"

    @classmethod
    def generate(cls, algorithm: Algorithm) -> "SigningKey":
        """A new one."""
        return cls(_MADE[algorithm]())

    @classmethod
    def from_pem(cls, pem: bytes) -> "SigningKey":
        """A private key without a password. Raises `ValueError` with a clause that holds nothing of it."""
        try:
            private = serialization.load_pem_private_key(pem, password=None)
        except (ValueError, TypeError, UnsupportedAlgorithm):
            raise ValueError("it is no private key in PEM without a password") from None
        if not isinstance(private, ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey | rsa.RSAPrivateKey):
            raise ValueError(f"it is no key for {', '.join(_MADE)}")  # noqa: TRY004 the content is wrong, not a type
        return cls(private)

    def pem(self) -> str:
        """The private half, for the file that keeps it."""
        return self.private.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        ).decode("ascii")

    def sign(self, kind: str, claims: Mapping[str, object]) -> str:
        """A JWT of these claims in compact form (RFC 7515 §7.1); `kind` is its `typ`."""
        signed = signing_input(self.algorithm, self.kid, kind, claims)
        return b".".join((signed, base64url(_signature(self.private, signed)))).decode()

    async def signed(self, kind: str, claims: Mapping[str, object]) -> str:
        """See `Signer`; nothing is waited for."""
        return self.sign(kind, claims)

    def kept(self) -> Mapping[str, object]:
        """What the file of the authority's keys holds of it: the private half."""
        return {"private": self.pem()}

    def jwks(self) -> Mapping[str, object]:
        """The public half alone as a JWK set (RFC 7517 §5)."""
        return {"keys": [self.jwk]}


def signing_input(algorithm: str, kid: str, kind: str, claims: Mapping[str, object]) -> bytes:
    """Header and claims, of which the signature is made (RFC 7515 §5.1)."""
    header = {"alg": algorithm, "typ": kind, "kid": kid}
    return b".".join((base64url(orjson.dumps(header)), base64url(orjson.dumps(claims))))


def public_jwk(key: PublicKey, algorithm: str) -> Mapping[str, str]:
    """A public key as a JWK (RFC 7517 §4, RFC 7518 §6, RFC 8037 §2), named by its thumbprint (RFC 7638)."""
    members: dict[str, str]
    if isinstance(key, ec.EllipticCurvePublicKey):
        point = key.public_numbers()
        members = {
            "kty": "EC",
            "crv": "P-256",
            "x": _number(point.x, _COORDINATE_BYTES),
            "y": _number(point.y, _COORDINATE_BYTES),
        }
    elif isinstance(key, rsa.RSAPublicKey):
        numbers = key.public_numbers()
        members = {"kty": "RSA", "n": _number(numbers.n), "e": _number(numbers.e)}
    else:
        members = {"kty": "OKP", "crv": "Ed25519", "x": base64url(key.public_bytes_raw()).decode()}
    return {**members, "use": "sig", "alg": algorithm, "kid": thumbprint(members)}


def base64url(octets: bytes) -> bytes:
    """Without padding (RFC 7515 §2)."""
    return urlsafe_b64encode(octets).rstrip(b"=")


def algorithm_of(private: PrivateKey | PublicKey) -> Algorithm:
    """What a key signs with. Raises `ValueError` for another curve than P-256."""
    if isinstance(private, rsa.RSAPrivateKey | rsa.RSAPublicKey):
        return "RS256"
    if isinstance(private, ed25519.Ed25519PrivateKey | ed25519.Ed25519PublicKey):
        return "EdDSA"
    if not isinstance(private.curve, ec.SECP256R1):
        raise ValueError(f"it is no key for {', '.join(_MADE)}")  # noqa: TRY004 a curve is no type
    return "ES256"


def _signature(private: PrivateKey, signed: bytes) -> bytes:
    if isinstance(private, rsa.RSAPrivateKey):
        return private.sign(signed, padding.PKCS1v15(), hashes.SHA256())
    if isinstance(private, ed25519.Ed25519PrivateKey):
        return private.sign(signed)
    # What OpenSSL gives in DER stands in a JWS as two numbers of fixed length (RFC 7518 §3.4).
    numbers = decode_dss_signature(private.sign(signed, ec.ECDSA(hashes.SHA256())))
    return b"".join(number.to_bytes(_COORDINATE_BYTES, "big") for number in numbers)


def _number(number: int, size: int | None = None) -> str:
    return base64url(number.to_bytes(size or (number.bit_length() + 7) // 8, "big")).decode()
