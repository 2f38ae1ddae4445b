"""Takes a secret from a file and notices when it changes; knows nothing of who writes it.

secret: {file: /run/secrets/billing}
"""

import os
from collections.abc import Callable
from pathlib import Path
from typing import ClassVar, Final, final

from pydantic import Field, model_validator

from gateway.clock import Clock
from gateway.credentials.secret import Secret
from gateway.credentials.source import SecretUnavailableError
from gateway.kind import Config as KindConfig
from gateway.kind import shorthand
from gateway.looks import Looks, looks

LOOK_EVERY: Final = 1.0
"""Seconds between two looks at the file."""
LASTS_WITHOUT: Final = 300.0
"""Seconds for which the last value serves when the file cannot be read any more."""
LARGEST: Final = 64 * 1024
"""The largest secret, in bytes."""


class Config(KindConfig):
    """Written as the path alone, or as `{path: FILE}`."""

    static: ClassVar = True
    _expand = model_validator(mode="before")(shorthand("path"))

    path: str = Field(min_length=1)
    """The file that holds the secret and nothing else; one final newline does not count."""


@final
class FileSource:
    """Looks at the file at most once a second; a mounted secret that is exchanged is picked up without a restart."""

    def __init__(self, path: Path, clock: Clock) -> None:
        self._path: Final = path
        self._clock: Final = clock
        self._secret: Secret | None = None
        self._seen: Looks | None = None
        self._looked = -LOOK_EVERY
        self._good = 0.0

    def current(self) -> Secret:
        """The content of the file. Raises `SecretUnavailableError` once it has been unreadable for too long."""
        boot = self._clock.boot()
        if boot - self._looked >= LOOK_EVERY:
            self._looked = boot
            self._look(boot)
        if self._secret is None or boot - self._good > LASTS_WITHOUT:
            raise SecretUnavailableError(f"the secret file {self._path} cannot be read or is empty")
        return self._secret

    def loggable(self) -> str:
        """The path of the file."""
        return f"file {self._path}"

    def _look(self, boot: float) -> None:
        try:
            with self._path.open("rb") as file:
                seen = looks(os.fstat(file.fileno()))
                if seen != self._seen:
                    value = file.read(LARGEST + 1).removesuffix(b"\n").removesuffix(b"\r")
                    if not value or len(value) > LARGEST:
                        return
                    self._secret, self._seen = Secret(value), seen
        except OSError:
            return
        self._good = boot


def build(config: Config, clock: Clock, resolve: Callable[[str], Path]) -> FileSource:
    """`resolve` makes paths relative to the configuration file absolute."""
    return FileSource(resolve(config.path), clock)
