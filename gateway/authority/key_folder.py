"""Keeps the authority's own signing keys in one private file, whole at any time; knows not when they are exchanged.

The file holds the private halves of the key that signs and of the one that follows it, and only the public halves of those
before: what signs no more cannot be stolen.
"""

import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, final

import orjson

from gateway.authority.keys import Signer, SigningKey
from gateway.authority.vault import Vault
from gateway.errors import DoorwardError

_FOLDER: Final = "keys"
_FILE: Final = "signing.json"
LARGEST: Final = 256 * 1024
"""Bytes of the file; the keys that it may hold take far fewer."""


@final
@dataclass(frozen=True, slots=True)
class Retired:
    """The public half of a key that has signed: a JWK, and the Unix time after which nothing that it has signed is good."""

    jwk: Mapping[str, str]
    until: float


@final
@dataclass(frozen=True, slots=True)
class Keys:
    """What an authority signs with. Times are in Unix seconds.

    `current` signs since `since`. `following` is published and signs from `starts` on, which is None while nobody can rely
    on its having been published.
    """

    current: Signer
    since: float
    following: Signer | None = None
    starts: float | None = None
    retired: tuple[Retired, ...] = ()


@final
class KeyFolder:
    """The folder `keys` beside the store; nothing is kept if there is no such place."""

    def __init__(self, beside: Path | None, vault: Vault | None = None) -> None:
        """`beside` is what else the installation keeps, None if nothing of it survives; `vault` has keys that are not here."""
        self._vault: Final = vault
        self._folder: Final = None if beside is None else beside / _FOLDER

    def load(self) -> Keys | None:
        """What was kept, None at the first start.

        Raises `DoorwardError` if it cannot be used, or if anybody but the owner could have read it.
        """
        if self._folder is None:
            return None
        file = self._folder / _FILE
        try:
            self._folder.mkdir(parents=True, mode=0o700, exist_ok=True)
            _check_private(self._folder, "700")
            if not file.exists():
                return None
            _check_private(file, "600")
            return _read(file, self._vault)
        except OSError as error:
            raise DoorwardError(f"the signing keys in {self._folder} cannot be used: {error.strerror}") from None

    def keep(self, keys: Keys) -> None:
        """Write all of it before it has its name, so that a crash leaves no half a file. Raises `DoorwardError`."""
        if self._folder is None:
            return
        draft = self._folder / f"{_FILE}.new"
        try:
            draft.unlink(missing_ok=True)
            descriptor = os.open(draft, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600)
            with os.fdopen(descriptor, "wb") as out:
                out.write(orjson.dumps(_written(keys)))
                out.flush()
                os.fsync(out.fileno())
            draft.rename(self._folder / _FILE)
            _sync_folder(self._folder)
        except OSError as error:
            raise DoorwardError(f"the signing keys cannot be written to {self._folder}: {error.strerror}") from None


def _written(keys: Keys) -> Mapping[str, object]:
    return {
        "current": {**keys.current.kept(), "since": keys.since},
        "following": None if keys.following is None else {**keys.following.kept(), "starts": keys.starts},
        "retired": [{"jwk": retired.jwk, "until": retired.until} for retired in keys.retired],
    }


def _read(file: Path, vault: Vault | None) -> Keys:
    try:
        with file.open("rb") as opened:
            found: dict[str, Any] = orjson.loads(opened.read(LARGEST))
        current, following = found["current"], found["following"]
        return Keys(
            _signer(current, vault),
            float(current["since"]),
            None if following is None else _signer(following, vault),
            None if following is None or following["starts"] is None else float(following["starts"]),
            tuple(Retired(dict(each["jwk"]), float(each["until"])) for each in found["retired"]),
        )
    except (ValueError, KeyError, TypeError, AttributeError):
        raise DoorwardError(
            f"{file} holds no usable signing keys; restore it, or remove it: tokens they have signed are refused then"
        ) from None


def _signer(kept: Mapping[str, Any], vault: Vault | None) -> Signer:
    if "version" not in kept:
        return SigningKey.from_pem(kept["private"].encode())
    if vault is None:
        raise DoorwardError("the key that signs is in a vault; name it in authority.signing.vault, or remove keys/signing.json")
    return vault.restored(int(kept["version"]), dict(kept["jwk"]))


def _check_private(path: Path, mode: str) -> None:
    if stat.S_IMODE(path.stat().st_mode) & 0o077:
        raise DoorwardError(f"{path} is open to other users, so its keys may be known; run: chmod {mode} {path}")


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
