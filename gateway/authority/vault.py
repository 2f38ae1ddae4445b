"""Signs by keys that never leave the transit engine of OpenBao or Vault, and finds its new versions; knows no token's claims.

The interface is that of the engine: https://openbao.org/api-docs/secret/transit/.
"""

import os
import ssl
from base64 import b64decode, b64encode
from collections.abc import Mapping
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final, final

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from gateway import telemetry
from gateway.authority.keys import Algorithm, UnsignedError, algorithm_of, public_jwk, signing_input
from gateway.clock import Clock
from gateway.errors import DoorwardError
from gateway.fetch import Fetch, FetchError
from gateway.identity.jose import PublicKey, TokenProblem, VerificationKey, read, verify
from gateway.identity.keyset import read_key

LOOK_EVERY: Final = 30.0
"""Seconds between two looks for a new version of the key."""
PATIENCE: Final = 5.0
"""Seconds that an answer of the vault may take."""
AT_ONCE: Final = 64
"""How many signatures are waited for at a time; whoever asks for a further one is told to come again."""
TOKEN_BYTES: Final = 16 * 1024
"""Of a larger file of the vault's token the rest is not read."""


_OPTIONS: Final[Mapping[Algorithm, Mapping[str, object]]] = {
    "ES256": {"hash_algorithm": "sha2-256", "marshaling_algorithm": "jws"},
    "EdDSA": {"marshaling_algorithm": "jws"},
    "RS256": {"hash_algorithm": "sha2-256", "signature_algorithm": "pkcs1v15", "marshaling_algorithm": "jws"},
}

_log = telemetry.logger("keys")


@final
class VaultKey:
    """One version of the key. Only its public half is here."""

    def __init__(self, vault: "Vault", version: int, verification: VerificationKey, jwk: Mapping[str, str]) -> None:
        """`verification` is the public half that `jwk` describes."""
        self._vault: Final = vault
        self._version: Final = version
        self.algorithm: Final = algorithm_of(verification.key)
        self.jwk: Final = jwk
        self.kid: Final = jwk["kid"]
        self.verification: Final = verification

    def __repr__(self) -> str:
        return f"VaultKey({self.kid})"

    def kept(self) -> Mapping[str, object]:
        """What the file of the authority's keys holds of it: which version it is, and nothing private."""
        return {"version": self._version, "jwk": self.jwk}

    async def signed(self, kind: str, claims: Mapping[str, object]) -> str:
        """See `Signer`. What the vault gives is verified, so that nothing else than this very version has signed."""
        text = signing_input(self.algorithm, self.kid, kind, claims)
        signature = await self._vault.sign(self._version, self.algorithm, text)
        token = b".".join((text, signature))
        try:
            verify(read(token, limit=len(token)), self.verification)
        except TokenProblem:
            raise UnsignedError("The signature of the vault is not by the key that was asked for.") from None
        return token.decode()


@final
class Vault:
    """One key of a transit engine. Its token is read again for each request, and stands in no error."""

    elsewhere = "The key is in a vault; rotate it there."

    def __init__(self, url: str, mount: str, key: str, token: Path, tls: ssl.SSLContext | None) -> None:
        """Nothing is asked yet. `token` is the file of the vault's token, `tls` what certificates are checked by."""
        self._base: Final = f"{url.rstrip('/')}/v1/{mount}"
        self._name: Final = key
        self._token: Final = token
        self._tls: Final = tls
        self._fetch: Final = Fetch()
        self._newest: VaultKey | None = None
        self._trouble = "the vault was not asked yet"
        self._signing = 0

    async def look(self) -> None:
        """Ask for the newest version. Raises `DoorwardError`; then the one before stays the newest."""
        try:
            self._newest = self._read(await self._ask("GET", f"keys/{self._name}"))
        except DoorwardError as error:
            self._trouble = str(error)
            raise
        except (KeyError, TypeError, ValueError, AttributeError):
            self._trouble = f"the key {self._name} of the vault is not for signing with ES256, EdDSA or RS256"
            raise DoorwardError(self._trouble) from None

    def read(self) -> VaultKey:
        """The newest version that was seen. Raises `DoorwardError` if none was."""
        if self._newest is None:
            raise DoorwardError(self._trouble)
        return self._newest

    def restored(self, version: int, jwk: Mapping[str, str]) -> VaultKey:
        """A version that was kept. Raises `ValueError` if it is none."""
        verification = read_key(dict(jwk), list(_OPTIONS))
        if verification is None:
            raise ValueError("it is no public key")
        return VaultKey(self, version, verification, jwk)

    async def run(self, clock: Clock) -> None:
        """Look for new versions until cancelled."""
        said = ""
        while True:
            trouble = ""
            try:
                await self.look()
            except DoorwardError as error:
                trouble = str(error)
            if trouble and trouble != said:
                _log.error("vault_unusable", reason=trouble)
            said = trouble
            await clock.sleep(LOOK_EVERY)

    async def close(self) -> None:
        """Close every connection."""
        await self._fetch.close()

    async def sign(self, version: int, algorithm: Algorithm, text: bytes) -> bytes:
        """The signature as it stands in a JWS (RFC 7515 §7.1). Raises `UnsignedError`."""
        if self._signing >= AT_ONCE:
            raise UnsignedError(f"{AT_ONCE} signatures of the vault are being waited for.")
        self._signing += 1
        try:
            body = {"input": b64encode(text).decode(), "key_version": version, "prehashed": False, **_OPTIONS[algorithm]}
            found = await self._ask("POST", f"sign/{self._name}", body)
            signature: str = found["signature"].rsplit(":", 1)[1]
            return signature.encode("ascii")
        except (DoorwardError, KeyError, IndexError, TypeError, AttributeError, ValueError) as error:
            reason = str(error) if isinstance(error, DoorwardError) else "its answer holds no signature"
            _log.error("vault_unsigned", reason=reason)
            raise UnsignedError("The vault does not sign now.") from None
        finally:
            self._signing -= 1

    async def _ask(self, method: str, path: str, body: object = None) -> Any:
        answer = await self._fetch.request(
            method,
            f"{self._base}/{path}",
            json=body,
            headers={"X-Vault-Token": self._secret()},
            timeout=PATIENCE,
            tls=self._tls,
        )
        if answer.status == HTTPStatus.FORBIDDEN:
            raise DoorwardError(f"the vault denies {method} {path}: the token in {self._token} is wrong, over or may not")
        if answer.status != HTTPStatus.OK:
            raise DoorwardError(f"the vault answers {method} {path} with status {answer.status}")
        found = answer.json()
        if not isinstance(found, dict):
            raise FetchError(f"the vault answers {method} {path} with no JSON object")
        return found["data"]

    def _secret(self) -> str:
        try:
            with self._token.open("rb") as file:
                if os.fstat(file.fileno()).st_mode & 0o077:
                    raise DoorwardError(f"{self._token} is open to other users; run: chmod 600 {self._token}")
                secret = file.read(TOKEN_BYTES).strip()
        except OSError as error:
            raise DoorwardError(f"the token of the vault {self._token} cannot be read: {error.strerror}") from None
        if not secret.isascii() or len(secret.split()) != 1:
            raise DoorwardError(f"{self._token} holds no token of a vault: one line without spaces")
        return secret.decode("ascii")

    def _read(self, found: Mapping[str, Any]) -> VaultKey:
        version = int(found["latest_version"])
        text: str = found["keys"][str(version)]["public_key"]
        public: PublicKey
        if found["type"] == "ed25519":
            public = ed25519.Ed25519PublicKey.from_public_bytes(b64decode(text))
        else:
            read_as = serialization.load_pem_public_key(text.encode())
            if not isinstance(read_as, ec.EllipticCurvePublicKey | rsa.RSAPublicKey):
                raise ValueError("it is of another type")
            public = read_as
        algorithm = algorithm_of(public)
        jwk = public_jwk(public, algorithm)
        if self._newest is not None and jwk["kid"] == self._newest.kid:
            return self._newest
        return VaultKey(self, version, VerificationKey(jwk["kid"], algorithm, public), jwk)
