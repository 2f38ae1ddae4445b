"""Seals what an upstream names its sessions by, so that a name is good for one task alone; knows no protocol.

A sealed name is opaque and always the same for the same caller (AES-SIV, RFC 5297): whoever it was given to can show it again,
and for another tenant, issuer, agent, task or upstream it opens nothing.
"""

import binascii
import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from typing import Final, final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESSIV

from gateway.model import Principal, Upstream

LONGEST_NAME: Final = 2048
"""The longest name of an upstream that is sealed, in bytes."""
KEY_BYTES: Final = 32

_NAME: Final = re.compile(rb"[!-~\x80-\xff](?:[\t -~\x80-\xff]*[!-~\x80-\xff])?").fullmatch
"""A field value (RFC 9110 §5.5)."""
_SEALED: Final = re.compile(rb"[A-Za-z0-9_-]{22,2816}").fullmatch


@final
class Seal:
    """Seals and opens names under one key."""

    __slots__ = ("_cipher",)

    def __init__(self, key: bytes) -> None:
        """`key` has 32 bytes."""
        self._cipher: Final = AESSIV(key)

    def __repr__(self) -> str:
        return "<Seal>"

    def close(self, name: bytes, purpose: bytes, principal: Principal, upstream: Upstream) -> bytes | None:
        """The name as this caller may know it; None for one that is too long, or could come back in no header.

        Blanks around it are no part of it, as they are none of a field value.
        """
        name = name.strip(b" \t")
        if len(name) > LONGEST_NAME or _NAME(name) is None:
            return None
        sealed = self._cipher.encrypt(name, _bound_to(purpose, principal, upstream))
        return _text(sealed)

    def open(self, sealed: bytes, purpose: bytes, principal: Principal, upstream: Upstream) -> bytes | None:
        """The name, if it was sealed for this very caller, else None."""
        if _SEALED(sealed) is None:
            return None
        try:
            cipher = urlsafe_b64decode(sealed + b"=" * (-len(sealed) % 4))
            if _text(cipher) != sealed:  # bits that no byte uses are zero (RFC 4648 §3.5)
                return None
            return self._cipher.decrypt(cipher, _bound_to(purpose, principal, upstream))
        except (InvalidTag, binascii.Error):
            return None


def _text(sealed: bytes) -> bytes:
    return urlsafe_b64encode(sealed).rstrip(b"=")


def _bound_to(purpose: bytes, principal: Principal, upstream: Upstream) -> list[bytes]:
    caller = (upstream.tenant, principal.issuer, principal.agent, principal.task, upstream.name)
    return [purpose, *(text.encode() for text in caller)]
