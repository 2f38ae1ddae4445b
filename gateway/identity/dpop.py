"""Reads a DPoP proof and holds it to one request (RFC 9449 §4.3); knows no nonce, no clock and no proof that came before.

The key of a proof stands in its own header, and every proof of one client begins with that same header: what its bytes say is
worked out once.
"""

import re
from base64 import urlsafe_b64encode
from collections.abc import Mapping
from hashlib import sha256
from typing import Any, Final, NamedTuple, final
from urllib.parse import urlsplit

from cachetools import LRUCache

from gateway.identity.jose import Envelope, TokenProblem, VerificationKey, base64url, parts_of, read_header, read_object, verify
from gateway.identity.keyset import read_key, thumbprint

KIND: Final = "dpop+jwt"
ALGORITHMS: Final = ("ES256", "ES384", "EdDSA", "PS256", "RS256")
"""The algorithms of proofs; all are asymmetric (RFC 9449 §4.3, check 5)."""
PROOF_BYTES: Final = 4096
"""The longest proof. The largest that is any good carries an RSA key of 8192 bits and a signature by it."""
LONGEST_ID: Final = 256
"""The longest `jti`, in characters."""
HEADERS_REMEMBERED: Final = 1024
"""Of how many clients the key of a proof is remembered; that of a forgotten one is read again."""

_PRIVATE: Final = frozenset(("d", "p", "q", "dp", "dq", "qi", "oth", "k"))
_ENCODED: Final = re.compile(r"%[0-9A-Fa-f]{2}")
_UNRESERVED: Final = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")
_PORTS: Final = {"http": 80, "https": 443}


class ProofProblem(Exception):
    """A proof does not prove what it should. `code` is one word for records; no part of the proof is in it."""

    def __init__(self, code: str) -> None:
        """`code` is a code of `TokenProblem`, or one of kind, key, claims, method, address, token and binding."""
        super().__init__(code)
        self.code: Final = code


class _Key(NamedTuple):
    """A client's key as a header shows it. `jkt` is its thumbprint."""

    header: Mapping[str, Any]
    key: VerificationKey
    jkt: str


@final
class Proof:
    """A proof whose signature holds, and which is for this request. It has not been asked yet whether it is new."""

    __slots__ = ("id", "issued", "jkt", "nonce")

    def __init__(self, jkt: str, name: str, issued: float, nonce: str | None) -> None:
        """`jkt` is the thumbprint of the key, `name` the proof's `jti`, `issued` its `iat` in Unix seconds."""
        self.jkt: Final = jkt
        self.id: Final = name
        self.issued: Final = issued
        self.nonce: Final = nonce

    def __repr__(self) -> str:
        return f"Proof({self.jkt})"


@final
class ProofReader:
    """Reads proofs, and remembers the keys that they showed."""

    def __init__(self) -> None:
        self._keys: Final[LRUCache[bytes, _Key]] = LRUCache(HEADERS_REMEMBERED)

    def read(self, text: bytes, method: str, address: str, token: bytes | None = None, jkt: str | None = None) -> Proof:
        """Check everything that the bytes of one proof can show: 2 to 9 and 12 of RFC 9449 §4.3. Raises `ProofProblem`.

        `address` is the request's own as the configuration knows it. With a `token` the proof has to be made for that token,
        by the key with the thumbprint `jkt`.
        """
        if len(text) > PROOF_BYTES:
            raise ProofProblem("size")
        try:
            header, payload, signature, signed = parts_of(text)
            known = self._keys.get(header)
            if known is None:
                known = _read_key(header)
            if jkt is not None and known.jkt != jkt:  # before the signature, which costs more
                raise ProofProblem("binding")
            claims = read_object(base64url(payload))
            proof = _held_to(claims, known.jkt, method, address, token)
            verify(Envelope(known.header, b"", signed, base64url(signature)), known.key)
        except TokenProblem as problem:
            raise ProofProblem(problem.code) from None
        self._keys[header] = known
        return proof


def _read_key(part: bytes) -> _Key:
    """Checks 4, 5 and 7: what a proof's header has to be. Raises `ProofProblem` and `TokenProblem`."""
    header = read_header(part)
    if str(header.get("typ", "")).lower().removeprefix("application/") != KIND:
        raise ProofProblem("kind")
    if header["alg"] not in ALGORITHMS:
        raise ProofProblem("algorithm")
    jwk = header.get("jwk")
    if not isinstance(jwk, dict) or not _PRIVATE.isdisjoint(jwk):
        raise ProofProblem("key")
    key = read_key({**jwk, "kid": "proof"}, (header["alg"],))
    if key is None:
        raise ProofProblem("key")
    return _Key(header, key, thumbprint(jwk))


def _held_to(claims: Mapping[str, Any], jkt: str, method: str, address: str, token: bytes | None) -> Proof:
    """Checks 3, 8, 9 and 12: that what it claims is all there, and is this request. Raises `ProofProblem`."""
    name, issued, nonce = claims.get("jti"), claims.get("iat"), claims.get("nonce")
    if not isinstance(name, str) or not 0 < len(name) <= LONGEST_ID or not isinstance(nonce, str | None):
        raise ProofProblem("claims")
    if isinstance(issued, bool) or not isinstance(issued, int | float):
        raise ProofProblem("claims")
    if claims.get("htm") != method:
        raise ProofProblem("method")
    htu = claims.get("htu")
    if not isinstance(htu, str) or (htu != address and normal(htu) != normal(address)):
        raise ProofProblem("address")
    if token is not None and claims.get("ath") != digest(token):
        raise ProofProblem("token")
    return Proof(jkt, name, float(issued), nonce)


def digest(octets: bytes) -> str:
    """SHA-256 in base64url: the `ath` of a token (RFC 9449 §4.2), or the `x5t#S256` of a certificate (RFC 8705 §3.1)."""
    return urlsafe_b64encode(sha256(octets).digest()).rstrip(b"=").decode()


def normal(address: str) -> str | None:
    """An http address without query and fragment, in its one spelling (RFC 3986 §6.2.2 and §6.2.3); None for no address."""
    try:
        parts = urlsplit(address)
        host, port = parts.hostname, parts.port
    except ValueError:
        return None
    scheme = parts.scheme.lower()
    if scheme not in _PORTS or not host or "@" in parts.netloc or not address.isascii():
        return None
    name = f"[{host}]" if ":" in host else host
    place = name if port in (None, _PORTS[scheme]) else f"{name}:{port}"
    return f"{scheme}://{place}{_without_dots(_ENCODED.sub(_plain, parts.path))}"


def _plain(encoded: re.Match[str]) -> str:
    letter = chr(int(encoded[0][1:], 16))
    return letter if letter in _UNRESERVED else encoded[0].upper()


def _without_dots(path: str) -> str:
    """RFC 3986 §5.2.4, for a path that begins with a slash or is empty."""
    kept: list[str] = []
    segments = path.split("/")[1:]
    for segment in segments:
        if segment == "..":
            if kept:
                kept.pop()
        elif segment != ".":
            kept.append(segment)
    if segments and segments[-1] in (".", ".."):
        kept.append("")
    return "/" + "/".join(kept)
