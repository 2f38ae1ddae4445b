"""What every secret source promises; knows no kind of source."""

from typing import Protocol

from gateway.credentials.secret import Secret


class SecretUnavailableError(Exception):
    """The source has no secret to give now; the sentence names the place and never the secret."""


class Source(Protocol):
    """Where a secret comes from.

    Its `Config` says in the class attribute `static` whether the secret stays until somebody changes it; then it needs an
    exception.
    """

    def current(self) -> Secret:
        """The secret as it is now, without waiting. Raises `SecretUnavailableError`."""
        ...

    def loggable(self) -> str:
        """Where it comes from, in words that may stand in logs."""
        ...
