"""The key that signs task tokens: made once, kept in a private file, published as a JWK set; knows no token."""

import os
import stat
from base64 import urlsafe_b64encode
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import Final, final

import orjson
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from gateway.errors import DoorwardError
from gateway.identity.jose import VerificationKey

ALGORITHM: Final = "ES256"
_FOLDER: Final = "keys"
_FILE: Final = "signing.pem"
_COORDINATE_BYTES: Final = 32


@final
class SigningKey:
    """An ES256 key pair, and the only signer. The private half is shown to nobody else."""

    def __init__(self, private: ec.EllipticCurvePrivateKey) -> None:
        """`private` is a key on P-256."""
        self.private: Final = private
        self._jwk = _public_jwk(private.public_key())
        self.kid: Final = thumbprint(self._jwk)

    def __repr__(self) -> str:
        return f"SigningKey({self.kid})"

    def verification(self) -> VerificationKey:
        """The public half, bound to its algorithm."""
        return VerificationKey(self.kid, ALGORITHM, self.private.public_key())

    def sign(self, kind: str, claims: Mapping[str, object]) -> str:
        """A JWT of these claims in compact form (RFC 7515 §7.1); `kind` is its `typ`."""
        header = {"alg": ALGORITHM, "typ": kind, "kid": self.kid}
        signed = b".".join((_base64url(orjson.dumps(header)), _base64url(orjson.dumps(claims))))
        # What OpenSSL gives in DER stands in a JWS as two numbers of fixed length (RFC 7518 §3.4).
        numbers = decode_dss_signature(self.private.sign(signed, ec.ECDSA(hashes.SHA256())))
        signature = b"".join(number.to_bytes(_COORDINATE_BYTES, "big") for number in numbers)
        return b".".join((signed, _base64url(signature))).decode()

    def jwks(self) -> Mapping[str, object]:
        """The public half as a JWK set (RFC 7517 §5)."""
        return {"keys": [{**self._jwk, "use": "sig", "alg": ALGORITHM, "kid": self.kid}]}


def thumbprint(jwk: Mapping[str, str]) -> str:
    """The JWK thumbprint of an EC key (RFC 7638 §3): SHA-256 over its required members in their one order."""
    text = '{{"crv":"{crv}","kty":"{kty}","x":"{x}","y":"{y}"}}'.format_map(jwk)
    return _base64url(sha256(text.encode()).digest()).decode()


def load_or_create(beside: Path | None) -> SigningKey:
    """The key in the folder `keys` in `beside`, made at the first start; a key for this run alone if `beside` is None.

    Raises `DoorwardError` if the key cannot be used, or if anybody but the owner could have read it.
    """
    if beside is None:
        return SigningKey(ec.generate_private_key(ec.SECP256R1()))
    folder = beside / _FOLDER
    try:
        folder.mkdir(parents=True, mode=0o700, exist_ok=True)
        _check_private(folder, "700")
        return _load(folder / _FILE) or _create(folder)
    except OSError as error:
        raise DoorwardError(f"the signing key in {folder} cannot be used: {error.strerror}") from None


def _load(file: Path) -> SigningKey | None:
    if not file.exists():
        return None
    _check_private(file, "600")
    try:
        private = serialization.load_pem_private_key(file.read_bytes(), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        private = None
    if not isinstance(private, ec.EllipticCurvePrivateKey) or not isinstance(private.curve, ec.SECP256R1):
        raise DoorwardError(
            f"{file} holds no usable P-256 key; restore it, or remove it: tokens it has signed are refused then"
        )
    return SigningKey(private)


def _create(folder: Path) -> SigningKey:
    """Write the whole key before it has its name, so that a crash leaves no half a key."""
    private = ec.generate_private_key(ec.SECP256R1())
    pem = private.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    draft = folder / f"{_FILE}.new"
    draft.unlink(missing_ok=True)
    descriptor = os.open(draft, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as out:
        out.write(pem)
        out.flush()
        os.fsync(out.fileno())
    draft.rename(folder / _FILE)
    _sync_folder(folder)
    return SigningKey(private)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _check_private(path: Path, mode: str) -> None:
    if stat.S_IMODE(path.stat().st_mode) & 0o077:
        raise DoorwardError(f"{path} is open to other users, so its keys may be known; run: chmod {mode} {path}")


def _public_jwk(public: ec.EllipticCurvePublicKey) -> Mapping[str, str]:
    numbers = public.public_numbers()
    return {"kty": "EC", "crv": "P-256", "x": _coordinate(numbers.x), "y": _coordinate(numbers.y)}


def _coordinate(number: int) -> str:
    return _base64url(number.to_bytes(_COORDINATE_BYTES, "big")).decode()


def _base64url(octets: bytes) -> bytes:
    return urlsafe_b64encode(octets).rstrip(b"=")
