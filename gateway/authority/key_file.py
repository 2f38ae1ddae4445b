"""Takes the signing key from a file that somebody else writes, and notices when it changes; knows not who writes it."""

import os
from pathlib import Path
from typing import Final, final

from gateway.authority.keys import SigningKey
from gateway.errors import DoorwardError
from gateway.looks import Looks, looks

LARGEST: Final = 64 * 1024
"""Bytes of the file; the longest key takes far fewer."""


@final
class KeyFile:
    """A private key as PEM without a password, of any of the algorithms that task tokens are signed with."""

    elsewhere = "The key comes from a file; put another one there."

    def __init__(self, path: Path) -> None:
        """Nothing is read yet."""
        self._path: Final = path
        self._seen: Looks | None = None
        self._key: SigningKey | None = None

    def read(self) -> SigningKey:
        """The key that is in it now. Raises `DoorwardError` if there is none, or if others than the owner may open it."""
        try:
            with self._path.open("rb") as file:
                state = os.fstat(file.fileno())
                if state.st_mode & 0o077:
                    raise DoorwardError(
                        f"{self._path} is open to other users, so its key may be known; run: chmod 600 {self._path}"
                    )
                seen = looks(state)
                if self._key is None or seen != self._seen:
                    self._key, self._seen = SigningKey.from_pem(file.read(LARGEST)), seen
                return self._key
        except OSError as error:
            raise DoorwardError(f"the signing key {self._path} cannot be read: {error.strerror}") from None
        except ValueError as error:
            raise DoorwardError(f"{self._path} holds no usable signing key: {error}") from None
