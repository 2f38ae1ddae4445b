"""Puts the secret into Authorization as a bearer token (RFC 6750 §2.1); knows nothing of who sent the request.

inject: {bearer: {}}
"""

from typing import Final, final

from gateway.credentials.injectors.header import header_line
from gateway.credentials.secret import Secret
from gateway.kind import Config as KindConfig


class Config(KindConfig):
    """There is nothing to configure."""


@final
class BearerInjector:
    """One Authorization line."""

    places: Final = frozenset(("authorization",))

    def lines(self, secret: Secret) -> bytes:
        """The header line."""
        return header_line("Authorization", b"Bearer ", secret)

    def to_scrub(self, secret: Secret) -> tuple[Secret, ...]:
        """The secret, which is sent as it is."""
        return (secret,)

    def loggable(self) -> str:
        """The name of the header."""
        return "Authorization: Bearer"


def build(_config: Config) -> BearerInjector:
    """The injector holds no state."""
    return BearerInjector()
