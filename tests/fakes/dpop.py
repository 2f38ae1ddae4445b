"""A client that holds a key and makes DPoP proofs with it by PyJWT; knows no server."""

import base64
import hashlib
import json
import time
import uuid
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm


def digest(text: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(text).digest()).rstrip(b"=").decode()


class Prover:
    """One key, and the nonce that a server gave last."""

    def __init__(self, algorithm: str = "ES256") -> None:
        self.algorithm = algorithm
        if algorithm == "EdDSA":
            self.key: Any = ed25519.Ed25519PrivateKey.generate()
            self.jwk = OKPAlgorithm.to_jwk(self.key.public_key(), as_dict=True)
        elif algorithm in ("RS256", "PS256"):
            self.key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
            self.jwk = RSAAlgorithm.to_jwk(self.key.public_key(), as_dict=True)
        else:
            self.key = ec.generate_private_key(ec.SECP256R1() if algorithm == "ES256" else ec.SECP384R1())
            self.jwk = ECAlgorithm.to_jwk(self.key.public_key(), as_dict=True)
        self.jwk.pop("key_ops", None)
        self.nonce: str | None = None

    @property
    def jkt(self) -> str:
        names = {"EC": ("crv", "kty", "x", "y"), "OKP": ("crv", "kty", "x"), "RSA": ("e", "kty", "n")}[self.jwk["kty"]]
        return digest(json.dumps({name: self.jwk[name] for name in names}, separators=(",", ":")).encode())

    def proof(
        self,
        method: str,
        url: str,
        token: str | None = None,
        *,
        header: dict[str, Any] | None = None,
        now: float | None = None,
        **changes: Any,
    ) -> str:
        """A proof for one request; a change of None leaves a claim out."""
        claims: dict[str, Any] = {
            "jti": uuid.uuid4().hex,
            "htm": method,
            "htu": url,
            "iat": int(time.time() if now is None else now),
            "nonce": self.nonce,
            "ath": None if token is None else digest(token.encode()),
            **changes,
        }
        head = {"typ": "dpop+jwt", "jwk": self.jwk, **(header or {})}
        kept = {name: value for name, value in claims.items() if value is not None}
        return jwt.encode(kept, self.key, self.algorithm, headers=head)
