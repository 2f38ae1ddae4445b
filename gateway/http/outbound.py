"""A finished request head on its way to an upstream: opaque bytes that hold a secret; never formatted, logged or compared."""

from collections.abc import Hashable
from typing import Final, NamedTuple, final

from gateway.http.scrubber import Scrubber
from gateway.model import Upstream


class PoolKey(NamedTuple):
    """What two requests must have in common to share an upstream connection, one after the other."""

    upstream: Upstream
    credential: str
    version: Hashable


@final
class Outbound:
    """The request as it goes out, and what keeps its secret out of the response. Only `credentials/` makes one."""

    __slots__ = ("head", "key", "method", "scrubber")

    def __init__(self, head: bytes, method: str, key: PoolKey, scrubber: Scrubber | None) -> None:
        """`scrubber` is None if the upstream's answers are passed on unseen."""
        self.head: Final = head
        self.method: Final = method
        self.key: Final = key
        self.scrubber: Final = scrubber

    def __repr__(self) -> str:
        return f"<Outbound {self.method} to {self.key.upstream.name}>"
