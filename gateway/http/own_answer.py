"""What the gateway's own listener answers by itself, instead of an upstream: finished documents; knows not what they say."""

from typing import Final, Protocol, final

from gateway.model import Outcome


class Answering(Protocol):
    """The client's side of an exchange."""

    def start_answer(self, head: bytes, first: bytes) -> None:
        """Send a head, which comes without its final empty line, and what there is of a body."""
        ...


@final
class OwnAnswer(Exception):
    """The request is for a document of the gateway, and for no upstream."""

    def __init__(self, document: bytes, *, without_body: bool) -> None:
        """`document` is JSON for everybody; `without_body` is for HEAD."""
        super().__init__("an answer of the gateway itself")
        self._document: Final = document
        self._without_body: Final = without_body

    def give(self, caller: Answering, outcome: Outcome) -> None:
        """Answer with it."""
        body = b"" if self._without_body else self._document
        outcome.status, outcome.ending, outcome.sent = 200, "complete", len(body)
        head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\nCache-Control: max-age=300"
        caller.start_answer(head % len(self._document), body)
