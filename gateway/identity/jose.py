"""Reads and verifies signed tokens in the one form that is accepted; knows no issuer, no claim's meaning and no clock.

A token is taken apart here before any library sees it (RFC 7515 §5.2, RFC 8725 §3): its size, its three parts, its
base64url, its JSON. Whatever two readers could read differently is refused. A key serves one algorithm, and the header
cannot talk it into another.
"""

import binascii
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from string import ascii_letters, digits
from typing import Any, Final, TypeAlias, final

import orjson
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa

PublicKey: TypeAlias = ec.EllipticCurvePublicKey | rsa.RSAPublicKey | ed25519.Ed25519PublicKey

TOKEN_BYTES: Final = 8192
JSON_DEPTH: Final = 16
RSA_BITS: Final = range(2048, 8193)
HEADERS_REMEMBERED: Final = 64
"""How many protected headers are remembered; a forgotten one is read again."""

_LETTERS: Final = f"{ascii_letters}{digits}-_".encode()
# A plus or a slash is no part of this alphabet, so neither survives the translation.
_URL_SAFE: Final = bytes.maketrans(b"-_+/", b"+/!!")
_PADDING: Final = (b"", b"", b"==", b"=")
# What the last character of a part may be, by the length modulo 4: its unused bits must be zero (RFC 4648 §3.5).
_LAST: Final[tuple[frozenset[int] | None, ...]] = (None, frozenset(), frozenset(b"AQgw"), frozenset(b"AEIMQUYcgkosw048"))
# One without an end is taken too: to look for that from each quote anew would cost the square of the text.
_STRINGS_OF_JSON = re.compile(r'"(?:[^"\\]|\\.)*"?', re.DOTALL)
_FOREIGN_KEYS: Final = frozenset(("jku", "jwk", "x5u", "x5c"))


class TokenProblem(Exception):
    """A token is not acceptable. `code` is one word for logs and records; no part of the token is in it."""

    def __init__(self, code: str) -> None:
        """`code` is one of size, form, base64, json, header, critical, foreign_key, algorithm and signature."""
        super().__init__(code)
        self.code: Final = code


class Envelope:
    """A compact JWS taken apart and not verified. It never shows its contents."""

    __slots__ = ("header", "payload", "signature", "signing_input")

    def __init__(self, header: Mapping[str, Any], payload: bytes, signing_input: bytes, signature: bytes) -> None:
        """`header` and `payload` are decoded; `signing_input` is what was signed, as it came (RFC 7515 §5.2)."""
        self.header: Final = header
        self.payload: Final = payload
        self.signing_input: Final = signing_input
        self.signature: Final = signature

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"

    @property
    def algorithm(self) -> str:
        """The `alg` that the header claims."""
        algorithm: str = self.header["alg"]
        return algorithm

    @property
    def kid(self) -> str | None:
        """The `kid` that the header claims: a key for a lookup and nothing else."""
        return self.header.get("kid")

    @property
    def kind(self) -> str:
        """The `typ` in lower case without its optional `application/`; empty when there is none (RFC 8725 §3.11)."""
        kind: str = self.header.get("typ", "")
        return kind.lower().removeprefix("application/")


@final
class Jws(Envelope):
    """A JWT taken apart and not verified: its claims are what the sender says."""

    __slots__ = ("claims",)

    def __init__(self, envelope: Envelope, claims: Mapping[str, Any]) -> None:
        """`claims` are the payload, read."""
        super().__init__(envelope.header, envelope.payload, envelope.signing_input, envelope.signature)
        self.claims: Final = claims


@final
@dataclass(frozen=True, slots=True)
class VerificationKey:
    """A public key bound to the one algorithm that it verifies. Raises `ValueError` when they do not fit."""

    kid: str
    algorithm: str
    key: PublicKey = field(repr=False)

    def __post_init__(self) -> None:
        """A key that does not fit its algorithm never comes into being."""
        algorithm = ALGORITHMS.get(self.algorithm)
        if algorithm is None:
            raise ValueError(f"unknown algorithm; known: {', '.join(ALGORITHMS)}")
        if form_of(self.key) != algorithm.form:
            raise ValueError(f"the key is not one for {self.algorithm}")
        if isinstance(self.key, rsa.RSAPublicKey) and self.key.key_size not in RSA_BITS:
            raise ValueError(f"an RSA key has {RSA_BITS.start} to {RSA_BITS.stop - 1} bits")


def read(token: bytes, *, limit: int = TOKEN_BYTES) -> Jws:
    """Take a JWT apart (RFC 7519 §7.2) without believing it. `limit` is in bytes. Raises `TokenProblem`.

    A header that brings its own key, or says where to fetch one, is refused: keys come from configuration alone.
    """
    envelope = take_apart(token, limit=limit)
    if not _FOREIGN_KEYS.isdisjoint(envelope.header):
        raise TokenProblem("foreign_key")
    return Jws(envelope, read_object(envelope.payload))


def take_apart(token: bytes, *, limit: int = TOKEN_BYTES) -> Envelope:
    """Take a compact JWS with any payload apart (RFC 7515 §7.1). Raises `TokenProblem`."""
    if len(token) > limit:
        raise TokenProblem("size")
    header, payload, signature, signed = parts_of(token)
    return Envelope(_read_header(header), base64url(payload), signed, base64url(signature))


def parts_of(token: bytes) -> tuple[bytes, bytes, bytes, bytes]:
    """Header, payload and signature of a compact JWS as they came, and what was signed. Raises `TokenProblem`."""
    if token.translate(None, _LETTERS) != b"..":
        raise TokenProblem("form")
    header, payload, signature = token.split(b".")
    if not header or not payload or not signature:
        raise TokenProblem("form")
    return header, payload, signature, token[: -1 - len(signature)]


def verify(jws: Envelope, key: VerificationKey) -> None:
    """Return if the key made the signature by its own algorithm, and raise `TokenProblem` otherwise."""
    if jws.algorithm != key.algorithm:
        raise TokenProblem("algorithm")
    try:
        ALGORITHMS[key.algorithm].check(key.key, jws.signature, jws.signing_input)
    except InvalidSignature:
        raise TokenProblem("signature") from None


def base64url(part: bytes) -> bytes:
    """Decode base64url without padding in its one canonical spelling (RFC 7515 §2). Raises `TokenProblem`."""
    remainder = len(part) % 4
    allowed = _LAST[remainder]
    if allowed is not None and part[-1] not in allowed:
        raise TokenProblem("base64")
    try:
        return binascii.a2b_base64(part.translate(_URL_SAFE) + _PADDING[remainder], strict_mode=True)
    except binascii.Error:
        raise TokenProblem("base64") from None


def read_object(text: bytes) -> dict[str, Any]:
    """Read one JSON object that every reader would read alike. Raises `TokenProblem`.

    No duplicate member at any depth (RFC 7515 §4), no `NaN`, no number beyond a float, no lone surrogate, at most 16 levels.
    """
    value = _as_written(text)
    if isinstance(value, dict):
        return value
    try:
        document = text.decode()
        _check_depth(document)
        value = _DECODER.decode(document)
        if "\\u" in document:
            json.dumps(value, ensure_ascii=False).encode()
    except ValueError:
        raise TokenProblem("json") from None
    if not isinstance(value, dict):
        raise TokenProblem("json")
    return value


def form_of(key: object) -> str:
    """The key's type and curve, as `EC P-256`, `RSA` or `OKP Ed25519`; empty for what is not supported."""
    if isinstance(key, ec.EllipticCurvePublicKey):
        return _CURVES.get(key.curve.name, "")
    if isinstance(key, rsa.RSAPublicKey):
        return "RSA"
    return "OKP Ed25519" if isinstance(key, ed25519.Ed25519PublicKey) else ""


@lru_cache(HEADERS_REMEMBERED)
def _read_header(part: bytes) -> Mapping[str, Any]:
    """What a protected header says follows from its bytes, and all tokens of one key begin with the same."""
    return read_header(part)


def read_header(part: bytes) -> Mapping[str, Any]:
    """Read a protected header (RFC 7515 §4): it has an `alg`, and nothing critical. Raises `TokenProblem`."""
    header = read_object(base64url(part))
    # No extension is implemented here, and an unencoded payload (RFC 7797) would change what is signed.
    if "crit" in header or "b64" in header:
        raise TokenProblem("critical")
    if not isinstance(header.get("alg"), str):
        raise TokenProblem("header")
    if not isinstance(header.get("kid", ""), str) or not isinstance(header.get("typ", ""), str):
        raise TokenProblem("header")
    return header


def _as_written(text: bytes) -> object:
    """The value of a JSON text that a writer would write just so, or nothing: then it has to be read with care.

    Of two members with one name only one would be written again, and every other doubtful form would be written otherwise.
    """
    if text.count(b"{") + text.count(b"[") > JSON_DEPTH:
        return None
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError:
        return None
    return value if orjson.dumps(value) == text else None


def _check_depth(document: str) -> None:
    if document.count("{") + document.count("[") <= JSON_DEPTH:
        return
    depth = 0
    for character in _STRINGS_OF_JSON.sub("", document):
        if character in "{[":
            depth += 1
            if depth > JSON_DEPTH:
                raise ValueError("too deep")
        elif character in "}]":
            depth -= 1


def _unique(members: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(members)
    if len(value) != len(members):
        raise ValueError("duplicate member")
    return value


def _finite(text: str) -> float:
    number = float(text)
    if number in (float("inf"), float("-inf")):
        raise ValueError("not a finite number")
    return number


def _no_constant(_text: str) -> float:
    raise ValueError("not JSON")


_DECODER: Final = json.JSONDecoder(object_pairs_hook=_unique, parse_float=_finite, parse_constant=_no_constant)


@dataclass(frozen=True, slots=True)
class _Algorithm:
    form: str
    check: Callable[[Any, bytes, bytes], None]


def _ecdsa(form: str, size: int, digest: hashes.HashAlgorithm) -> _Algorithm:
    scheme = ec.ECDSA(digest)

    def check(key: ec.EllipticCurvePublicKey, signature: bytes, signed: bytes) -> None:
        if len(signature) != 2 * size:  # RFC 7518 §3.4: r and s, each as long as the field
            raise InvalidSignature
        # Put together here, for the library would make numbers of them only to take those apart again.
        key.verify(_der(b"\x30", _integer(signature[:size]) + _integer(signature[size:])), signed, scheme)

    return _Algorithm(form, check)


def _integer(octets: bytes) -> bytes:
    """A whole number in DER: as short as may be, and with a zero before a first bit that would make it negative."""
    least = octets.lstrip(b"\0")
    return _der(b"\x02", least if b"" < least < b"\x80" else b"\0" + least)


def _der(tag: bytes, content: bytes) -> bytes:
    """An element of less than 256 bytes in DER."""
    size = bytes((len(content),))
    return tag + (size if size < b"\x80" else b"\x81" + size) + content


def _rsa(digest: hashes.HashAlgorithm, scheme: padding.AsymmetricPadding) -> _Algorithm:
    def check(key: rsa.RSAPublicKey, signature: bytes, signed: bytes) -> None:
        key.verify(signature, signed, scheme, digest)

    return _Algorithm("RSA", check)


def _pss(digest: hashes.HashAlgorithm) -> _Algorithm:
    # RFC 7518 §3.5: the salt is as long as the digest, and MGF1 uses the same hash.
    return _rsa(digest, padding.PSS(padding.MGF1(digest), digest.digest_size))


def _ed25519(key: ed25519.Ed25519PublicKey, signature: bytes, signed: bytes) -> None:
    key.verify(signature, signed)


_CURVES: Final = {"secp256r1": "EC P-256", "secp384r1": "EC P-384", "secp521r1": "EC P-521"}

ALGORITHMS: Final[Mapping[str, _Algorithm]] = {
    "ES256": _ecdsa("EC P-256", 32, hashes.SHA256()),
    "ES384": _ecdsa("EC P-384", 48, hashes.SHA384()),
    "ES512": _ecdsa("EC P-521", 66, hashes.SHA512()),
    "RS256": _rsa(hashes.SHA256(), padding.PKCS1v15()),
    "RS384": _rsa(hashes.SHA384(), padding.PKCS1v15()),
    "RS512": _rsa(hashes.SHA512(), padding.PKCS1v15()),
    "PS256": _pss(hashes.SHA256()),
    "PS384": _pss(hashes.SHA384()),
    "PS512": _pss(hashes.SHA512()),
    "EdDSA": _Algorithm("OKP Ed25519", _ed25519),
}
"""Every signature algorithm that can be configured. There is no HMAC among them and no `none`."""
