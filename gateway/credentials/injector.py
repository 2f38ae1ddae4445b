"""What every injector promises; knows no way of injecting."""

from typing import Protocol

from gateway.credentials.secret import Secret


class UnfitSecretError(Exception):
    """The secret cannot stand where the injector would put it; the sentence does not show it."""


class Injector(Protocol):
    """How a secret enters a request."""

    @property
    def places(self) -> frozenset[str]:
        """Canonical names of the headers that it fills; they are emptied of the caller's first."""
        ...

    def lines(self, secret: Secret) -> bytes:
        """Finished header lines, each with its CR LF. Raises `UnfitSecretError`."""
        ...

    def to_scrub(self, secret: Secret) -> tuple[Secret, ...]:
        """All values that give the secret away if an upstream repeats them, the secret itself first.

        Each is found in every form: plain, base64, hexadecimal, percent encoding. A name or scheme beside it is none of them.
        """
        ...

    def loggable(self) -> str:
        """Where the secret goes, in words that may stand in logs."""
        ...
