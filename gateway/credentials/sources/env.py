"""Takes a secret from the environment of the process; knows nothing of who set it.

secret: {env: BILLING_KEY}
"""

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, ClassVar, Final, final

from pydantic import AfterValidator, model_validator

from gateway.clock import Clock
from gateway.credentials.secret import Secret
from gateway.credentials.source import SecretUnavailableError
from gateway.kind import Config as KindConfig
from gateway.kind import shorthand

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*").fullmatch


def _check_name(text: str) -> str:
    if _NAME(text) is None:
        raise ValueError("an environment variable is named with letters, digits and underscores")
    return text


class Config(KindConfig):
    """Written as the name of the variable alone, or as `{variable: NAME}`."""

    static: ClassVar = True
    _expand = model_validator(mode="before")(shorthand("variable"))

    variable: Annotated[str, AfterValidator(_check_name)]
    """The environment variable that holds the secret; it is read once, at start."""


@final
class EnvironmentSource:
    """A secret that cannot change while the process lives."""

    def __init__(self, variable: str, value: bytes | None) -> None:
        self._variable: Final = variable
        self._secret: Final = Secret(value) if value else None

    def current(self) -> Secret:
        """Raises `SecretUnavailableError` when the variable was not set."""
        if self._secret is None:
            raise SecretUnavailableError(f"the environment variable {self._variable} is not set or is empty")
        return self._secret

    def loggable(self) -> str:
        """The name of the variable."""
        return f"environment variable {self._variable}"


def build(config: Config, _clock: Clock, _resolve: Callable[[str], Path]) -> EnvironmentSource:
    """Read the variable now."""
    return EnvironmentSource(config.variable, os.environb.get(config.variable.encode()))
