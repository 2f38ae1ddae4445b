"""Writes records of TLS 1.3 by hand with the keys of a client, also those that no library would send; reads none."""

from pathlib import Path

from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA384
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

HANDSHAKE = 22
APPLICATION = 23
KEY_UPDATE = b"\x18\0\0\x01\x01"
"""It asks for one in return (RFC 8446 §4.6.3)."""


class Hand:
    """Goes on where the handshake of a client has ended that itself sends nothing, with TLS_AES_256_GCM_SHA384."""

    def __init__(self, keys: Path) -> None:
        """`keys` is the client's `keylog_filename`."""
        (line,) = [line for line in keys.read_text().splitlines() if line.startswith("CLIENT_TRAFFIC_SECRET_0 ")]
        self._take(bytes.fromhex(line.split()[2]))

    def record(self, kind: int, content: bytes) -> bytes:
        """One encrypted record (RFC 8446 §5.2)."""
        inner = content + bytes([kind])
        head = b"\x17\x03\x03" + (len(inner) + 16).to_bytes(2)
        nonce = (int.from_bytes(self._iv) ^ self._number).to_bytes(12)
        self._number += 1
        return head + AESGCM(self._key).encrypt(nonce, inner, head)

    def update(self) -> None:
        """Use the next keys from now on (RFC 8446 §7.2)."""
        self._take(_expand(self._secret, "traffic upd", 48))

    def _take(self, secret: bytes) -> None:
        self._secret = secret
        self._key, self._iv = _expand(secret, "key", 32), _expand(secret, "iv", 12)
        self._number = 0


def _expand(secret: bytes, label: str, length: int) -> bytes:
    """HKDF-Expand-Label without a context (RFC 8446 §7.1)."""
    word = f"tls13 {label}".encode()
    return HKDFExpand(SHA384(), length, length.to_bytes(2) + bytes([len(word)]) + word + b"\0").derive(secret)
