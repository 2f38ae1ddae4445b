"""Signs how far a chain has come, and reads such signatures; knows no records and no log.

A checkpoint is a C2SP signed note (c2sp.org/signed-note) with the three lines of a tlog-checkpoint: the origin, the number
of records, and a base64 digest. The digest is that of the last line, not the root of a tree: the chain already binds all
lines before it. Keys have the forms of the note tools: `PRIVATE+KEY+name+id+…` and `name+id+…`.
"""

import base64
import binascii
import hmac
import os
import re
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from gateway.errors import DoorwardError

_ED25519: Final = b"\x01"
_KEY_BYTES: Final = 32
_KEY_ID_BYTES: Final = 4
_DIGEST_BYTES: Final = 32
_MOST_BYTES: Final = 16_384
_SIZE = re.compile(r"0|[1-9][0-9]{0,18}").fullmatch
_NAME = re.compile(r"[^\s+]{1,256}").fullmatch
_SIGNATURE_LINE = re.compile(r"— ([^\s+]+) ([A-Za-z0-9+/=]+)").fullmatch


class CheckpointError(Exception):
    """A note or key cannot be used; the text says why and holds no key."""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """What a note says. Reading it proves nothing; `VerifierKey.verify` does."""

    origin: str
    size: int
    digest: str
    """Of the last line, in hexadecimal."""
    source: str
    """Where the note was found, for a reader."""

    @classmethod
    def read(cls, note: str, source: str) -> "Checkpoint":
        """Raises `CheckpointError` if it has not the form of a checkpoint."""
        lines = _body(note).splitlines()
        if len(lines) < 3 or not _SIZE(lines[1]):  # noqa: PLR2004 origin, size and digest
            raise CheckpointError("a checkpoint has three lines: origin, number of records, digest")
        return cls(lines[0], int(lines[1]), _unbase64(lines[2], _DIGEST_BYTES).hex(), source)


@dataclass(frozen=True, slots=True)
class VerifierKey:
    """The public half of a checkpoint key."""

    name: str
    key: bytes

    @classmethod
    def read(cls, text: str) -> "VerifierKey":
        """The form is `name+hexadecimal key id+base64`. Raises `CheckpointError`."""
        name, key_id, key = _key_parts(text.strip())
        if key_id != _key_id(name, key):
            raise CheckpointError("the key id does not belong to this verifier key: it was changed or cut")
        return cls(name, key)

    def __str__(self) -> str:
        """The form that `read` takes."""
        return f"{self.name}+{_key_id(self.name, self.key).hex()}+{_base64(_ED25519 + self.key)}"

    def verify(self, note: str) -> None:
        """Raises `CheckpointError` unless this key signed the note; signatures of other keys are passed over."""
        body = _body(note)
        mine = _key_id(self.name, self.key)
        for line in note[len(body) + 1 :].splitlines():
            parts = _SIGNATURE_LINE(line)
            if parts is None:
                raise CheckpointError("a signature line of the note is broken")
            signature = _unbase64(parts[2])
            if parts[1] == self.name and signature[:_KEY_ID_BYTES] == mine:
                self._check(signature[_KEY_ID_BYTES:], body)
                return
        raise CheckpointError(f"the note bears no signature of the key {self.name}+{mine.hex()}")

    def _check(self, signature: bytes, body: str) -> None:
        try:
            Ed25519PublicKey.from_public_bytes(self.key).verify(signature, body.encode())
        except InvalidSignature:
            raise CheckpointError("the signature is wrong: the note was changed") from None


class Signer:
    """The key that signs checkpoints; its origin is the name of the log for as long as the key lives."""

    __slots__ = ("_private", "verifier")

    def __init__(self, name: str, seed: bytes) -> None:
        """`name` is the origin, `seed` the 32 bytes of an Ed25519 private key."""
        self._private = Ed25519PrivateKey.from_private_bytes(seed)
        self.verifier = VerifierKey(name, self._private.public_key().public_bytes_raw())

    def __repr__(self) -> str:
        """Names the key and shows nothing of it."""
        return f"Signer({self.verifier.name})"

    def sign(self, size: int, digest: str) -> str:
        """The note that attests `size` records, of which the last line has this hexadecimal digest."""
        name = self.verifier.name
        body = f"{name}\n{size}\n{_base64(bytes.fromhex(digest))}\n"
        signature = _key_id(name, self.verifier.key) + self._private.sign(body.encode())
        return f"{body}\n— {name} {_base64(signature)}\n"

    def derive(self, purpose: str) -> bytes:
        """A key of 32 bytes for another purpose, the same after every start; nothing leads back from it."""
        return hmac.digest(self._private.private_bytes_raw(), f"doorward {purpose}".encode(), "sha256")


def load_or_create(path: Path, name: str) -> Signer:
    """Read the signing key, or make one at the first start; the verifier key is written beside it as `<path>.pub`.

    Raises `DoorwardError` if the file is readable by others or holds no key.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return _create(path, name)
    with os.fdopen(descriptor) as file:
        if os.fstat(file.fileno()).st_mode & 0o077:
            raise DoorwardError(f"{path}: the checkpoint key can be read by others; run: chmod 600 {path}")
        text = file.read(_MOST_BYTES).strip()
    try:
        known, key_id, seed = _key_parts(text.removeprefix("PRIVATE+KEY+"))
        signer = Signer(known, seed)
    except CheckpointError:
        raise DoorwardError(f"{path}: this is no checkpoint key; restore it, or move it away to begin with a new one") from None
    if key_id != _key_id(known, signer.verifier.key):
        raise DoorwardError(f"{path}: the checkpoint key is damaged; restore it, or move it away to begin with a new one")
    return signer


def _create(path: Path, name: str) -> Signer:
    if not _NAME(name):
        raise DoorwardError(f"the audit log cannot be called {name!r}: a checkpoint's origin holds no space and no +")
    signer = Signer(name, seed := os.urandom(_KEY_BYTES))
    key_id = _key_id(name, signer.verifier.key).hex()
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(f"PRIVATE+KEY+{name}+{key_id}+{_base64(_ED25519 + seed)}\n")
    public = os.open(path.with_name(path.name + ".pub"), os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o644)
    with os.fdopen(public, "w") as file:
        os.fchmod(public, 0o644)  # whatever the umask: nobody else may exchange the key that others verify with
        file.write(f"{signer.verifier}\n")
    return signer


def _key_parts(text: str) -> tuple[str, bytes, bytes]:
    name, plus, rest = text.partition("+")
    key_id, second_plus, encoded = rest.partition("+")
    if not plus or not second_plus or not _NAME(name) or not re.fullmatch("[0-9a-f]{8}", key_id):
        raise CheckpointError("a verifier key reads name+key id+base64, as in acme/audit+1a2b3c4d+AX…")
    key = _unbase64(encoded, len(_ED25519) + _KEY_BYTES)
    if key[:1] != _ED25519:
        raise CheckpointError("only Ed25519 keys are known here")
    return name, bytes.fromhex(key_id), key[1:]


def _key_id(name: str, key: bytes) -> bytes:
    return sha256(name.encode() + b"\n" + _ED25519 + key).digest()[:_KEY_ID_BYTES]


def _body(note: str) -> str:
    """The signed text, which ends with a newline; an empty line parts it from the signatures."""
    text, parting, signatures = note.rpartition("\n\n")
    if not parting or not signatures.endswith("\n") or len(note) > _MOST_BYTES:
        raise CheckpointError("this is no signed note: text, an empty line, and signature lines")
    return text + "\n"


def _base64(value: bytes) -> str:
    return base64.b64encode(value).decode()


def _unbase64(text: str, size: int | None = None) -> bytes:
    try:
        value = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise CheckpointError("there is broken base64 in it") from None
    if size is not None and len(value) != size:
        raise CheckpointError(f"a value has {len(value)} bytes where {size} belong")
    return value
