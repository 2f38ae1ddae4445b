"""The issuers whose tokens one gateway takes, each with what is known of it; verifies nothing and forgets nothing."""

from collections.abc import Sequence
from typing import Final, final

from gateway.identity.standing import Standing

MOST_FURTHER: Final = 15
"""How many issuers a gateway may take tokens of beside its own authority: each is a line, and memory for what it revokes."""


@final
class Issuers:
    """One standing for each issuer. What a token says of its issuer chooses among them, and proves nothing."""

    def __init__(self, standings: Sequence[Standing]) -> None:
        """The first is of the gateway's own authority; no two are of one issuer."""
        self.standings: Final = tuple(standings)
        self._by_issuer: Final = {standing.issuer: standing for standing in standings}
        self._prefixes: Final = tuple(dict.fromkeys(standing.prefix for standing in standings))

    @property
    def prefixes(self) -> str:
        """What their tokens begin with, for a sentence."""
        return " or ".join(prefix.decode() for prefix in self._prefixes)

    def prefix_of(self, token: bytes) -> bytes:
        """What the token begins with, if tokens of one of them do; else nothing. No prefix is the beginning of another."""
        for prefix in self._prefixes:
            if token.startswith(prefix):
                return prefix
        return b""

    def of(self, issuer: object) -> Standing | None:
        """What is known of the issuer that a token names; None if nothing of its is taken here."""
        return self._by_issuer.get(issuer) if isinstance(issuer, str) else None
