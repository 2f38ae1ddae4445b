"""Reads the trust bundle of one SPIFFE trust domain in its written forms; knows not where it came from.

A bundle is a JWK set whose keys say what they are for (SPIFFE Trust Domain and Bundle §4). Bundles are never merged: what one
holds vouches for its own trust domain alone. One without keys is a bundle all the same: nothing of that domain is valid now.
"""

import binascii
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

from gateway.identity.jose import TokenProblem, VerificationKey, read_object
from gateway.identity.kept import ContentProblem
from gateway.identity.keyset import KEY_SET_BYTES, KEYS, read_key

ALGORITHMS: Final = ("ES256", "ES384", "ES512", "RS256", "RS384", "RS512", "PS256", "PS384", "PS512")
"""What a JWT-SVID may be signed with (JWT-SVID §2.1): neither EdDSA nor HMAC."""

_PEM: Final = b"-----BEGIN "
_SEQUENCE: Final = 0x30
_LONG_FORM: Final = 0x80
_LENGTH_BYTES: Final = 3


class Bundle(NamedTuple):
    """The keys of a trust domain: those of JWT-SVIDs by their ids, and the certificates (DER) above its X.509-SVIDs."""

    keys: Mapping[str, VerificationKey]
    roots: tuple[bytes, ...]
    sequence: int | None = None


NOTHING: Final = Bundle({}, ())
"""The bundle of a trust domain that has none."""


def read_bundle(text: bytes, trust_domain: str, algorithms: Sequence[str]) -> Bundle:
    """Read a SPIFFE bundle, a set of bundles by trust domain, the JWK set of a Workload API, or PEM certificates.

    Entries of unknown use are passed over, as the standard asks. Raises `ContentProblem`.
    """
    if len(text) > KEY_SET_BYTES:
        raise ContentProblem(f"it is larger than {KEY_SET_BYTES // 1024} KiB")
    if text.lstrip().startswith(_PEM):
        return Bundle({}, _pem(text))
    try:
        document: Any = read_object(text)
    except TokenProblem:
        raise ContentProblem("it is neither one JSON object without duplicate members nor PEM certificates") from None
    if "trust_domains" in document:
        domains = document["trust_domains"]
        document = domains.get(trust_domain) if isinstance(domains, dict) else None
        if not isinstance(document, dict):
            raise ContentProblem(f"it has no bundle of the trust domain {trust_domain}")
    return _read(document, algorithms)


def split_der(blob: bytes) -> tuple[bytes, ...]:
    """The certificates of a concatenation of DER, as the Workload API tells them. Raises `ContentProblem`."""
    parts: list[bytes] = []
    while blob:
        size = _der_size(blob)
        if size > len(blob) or len(parts) == KEYS:
            raise ContentProblem("its certificates cannot be read")
        parts.append(_certificate(blob[:size]))
        blob = blob[size:]
    return tuple(parts)


def _read(document: Mapping[str, Any], algorithms: Sequence[str]) -> Bundle:
    entries, sequence = document.get("keys"), document.get("spiffe_sequence")
    if not isinstance(entries, list):
        raise ContentProblem("it has no list of keys")
    if len(entries) > KEYS:
        raise ContentProblem(f"it has more than {KEYS} keys")
    if sequence is not None and (isinstance(sequence, bool) or not isinstance(sequence, int)):
        raise ContentProblem("its spiffe_sequence is no number")
    keys: dict[str, VerificationKey] = {}
    roots: list[bytes] = []
    for entry in entries:
        use = entry.get("use") if isinstance(entry, dict) else ""
        # What a Workload API tells of JWT bundles are plain JWK sets, whose entries say nothing of their use.
        if use in (None, "jwt-svid"):
            _enter(entry, keys, algorithms)
        elif use == "x509-svid":
            roots.append(_root(entry))
    return Bundle(keys, tuple(roots), sequence)


def _enter(entry: Mapping[str, Any], keys: dict[str, VerificationKey], algorithms: Sequence[str]) -> None:
    if not isinstance(entry.get("kid"), str) or not entry["kid"]:
        raise ContentProblem("one of its keys for JWT-SVIDs has no kid")
    key = read_key({**entry, "use": "sig"}, algorithms)
    if key is None:
        return
    if key.kid in keys:
        raise ContentProblem("two of its keys have the same kid")
    keys[key.kid] = key


def _root(entry: Mapping[str, Any]) -> bytes:
    """The certificate of an entry: the first of `x5c` alone counts (SPIFFE Trust Domain and Bundle §4.2.3)."""
    chain = entry.get("x5c")
    try:
        if not isinstance(chain, list) or not chain:
            raise ContentProblem("one of its entries for X.509-SVIDs has no certificate")
        return _certificate(binascii.a2b_base64(chain[0], strict_mode=True))
    except (ValueError, TypeError):
        raise ContentProblem("a certificate in it cannot be read") from None


def _pem(text: bytes) -> tuple[bytes, ...]:
    from cryptography import x509  # noqa: PLC0415 what reads certificates takes megabytes, which others need not have
    from cryptography.hazmat.primitives.serialization import Encoding  # noqa: PLC0415 the same

    try:
        found = x509.load_pem_x509_certificates(text)
    except ValueError:
        raise ContentProblem("its PEM certificates cannot be read") from None
    if len(found) > KEYS:
        raise ContentProblem(f"it has more than {KEYS} certificates")
    return tuple(each.public_bytes(Encoding.DER) for each in found)


def _certificate(der: bytes) -> bytes:
    from cryptography import x509  # noqa: PLC0415 as above

    try:
        x509.load_der_x509_certificate(der)
    except ValueError:
        raise ContentProblem("a certificate in it cannot be read") from None
    return der


def _der_size(blob: bytes) -> int:
    """How many bytes the first element takes: its tag, its length (X.690 §8.1.3) and its content."""
    if len(blob) < 2 or blob[0] != _SEQUENCE:  # noqa: PLR2004 a tag and a length
        raise ContentProblem("its certificates cannot be read")
    if blob[1] < _LONG_FORM:
        return 2 + blob[1]
    count = blob[1] - _LONG_FORM
    if not 0 < count <= _LENGTH_BYTES:
        raise ContentProblem("its certificates cannot be read")
    return 2 + count + int.from_bytes(blob[2 : 2 + count], "big")
