"""One gateway elsewhere, as the feed sees it: events wait here, bounded, until its connection takes them; knows no HTTP."""

import asyncio
from collections.abc import Callable, Mapping
from typing import Final, final

from gateway.authority import wire
from gateway.limits.wishes import Reply
from gateway.model import Restoration, Revocation

MOST_WAITING: Final = 16 * 1024 * 1024
"""Bytes that may wait for a gateway, with room for all renewals at once. One that is slower is cut, and will refuse."""


@final
class Outlet:
    """A subscriber of the feed whose other end is a line."""

    def __init__(self, policy: Callable[[], str], most: int = MOST_WAITING) -> None:
        """`policy` tells the digest of the authority's policy now."""
        self._policy: Final = policy
        self._most: Final = most
        self._waiting: Final[list[bytes]] = []
        self._size = 0
        self._woken: Final = asyncio.Event()
        self.cut = False
        """Whether the gateway was too slow, or the authority stops; then nothing more is kept for it."""

    def keys(self, issuer: str, jwks: Mapping[str, object]) -> None:
        """See `Subscriber.keys`."""
        self._put(wire.keys(issuer, jwks))

    def beat(self, epoch: str, seq: int, at: float, horizon: float) -> None:
        """See `Subscriber.beat`."""
        self._put(wire.beat(wire.Beat(epoch, seq, at, horizon, self._policy())))

    def revoked(self, revocation: Revocation) -> None:
        """See `Subscriber.revoked`."""
        self._put(wire.revoked(revocation))

    def restored(self, restoration: Restoration) -> None:
        """See `Subscriber.restored`."""
        self._put(wire.restored(restoration))

    def renewed(self, task: str, until: float) -> None:
        """See `Subscriber.renewed`."""
        self._put(wire.renewed(task, until))

    def hear(self, reply: Reply) -> None:
        """See `Line.hear` of lending."""
        self._put(wire.replied(reply))

    def close(self) -> None:
        """Keep nothing more, and let the line end."""
        self.cut = True
        self._waiting.clear()
        self._woken.set()

    async def waiting(self) -> bytes:
        """What waits, all at once, as soon as there is something; empty when the line has to end."""
        while not self._waiting and not self.cut:
            self._woken.clear()
            await self._woken.wait()
        return self.take()

    def take(self) -> bytes:
        """What waits now, possibly nothing."""
        taken = b"".join(self._waiting)
        self._waiting.clear()
        self._size = 0
        return taken

    def _put(self, event: bytes) -> None:
        if self.cut:
            return
        if self._size + len(event) > self._most:
            self.close()
            return
        self._waiting.append(event)
        self._size += len(event)
        self._woken.set()
