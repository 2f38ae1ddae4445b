"""What every reader of operations promises; knows no protocol."""

from typing import Protocol

from gateway.http.downstream import Downstream
from gateway.http.head import RequestHead
from gateway.intent.index import OperationIndex
from gateway.model import Coverage, Operation, Upstream


class Reader(Protocol):
    """Says what a request really is, and which intents cover that."""

    @property
    def by_head_alone(self) -> bool:
        """Whether what it says follows from the head alone, so that it may be kept with a head that comes again."""
        ...

    def ready(self, key: bytes, inspect: int) -> "Reader":
        """The same for one installation: `key` has 32 bytes, and of a body it may read `inspect` bytes."""
        ...

    async def read(
        self, head: RequestHead, upstream: Upstream, caller: Downstream, index: OperationIndex
    ) -> tuple[Operation, tuple[Coverage, ...]]:
        """Raises `Refusal` for what cannot be understood. May wait for a bounded part of the body."""
