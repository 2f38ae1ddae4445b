"""What keeps an injected secret out of a response, as seen from here; it knows the secret, and nothing here does."""

from typing import Protocol

from gateway.model import Outcome


class Stream(Protocol):
    """The content of one body on its way through."""

    def pass_on(self, content: bytes, *, last: bool) -> bytes:
        """Return what may go on, in total as long as what came; the same object if all of it may go on as it is."""


class Scrubber(Protocol):
    """Masks one secret at equal length and counts in `Outcome.scrubbed` how often; one object for each version of a secret."""

    def head(self, raw: bytes, outcome: Outcome) -> bytes:
        """The bytes of a response head with the secret masked; the same object if it is not there."""

    def stream(self, outcome: Outcome) -> Stream:
        """For the body of one response."""
