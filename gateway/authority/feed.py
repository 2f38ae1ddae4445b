"""Tells gateways of keys, revocations and the store's heartbeat, in order; knows nothing of what they do with them."""

from collections.abc import Iterable, Mapping
from typing import Final, Protocol, final

from gateway import telemetry
from gateway.clock import Clock
from gateway.model import Revocation
from gateway.stores.store import Beat, Store, StoreUnavailableError

HEARTBEAT: Final = 1.0
"""Seconds between two heartbeats."""

_log = telemetry.logger("feed")


class Subscriber(Protocol):
    """A gateway, or the line to one. Its methods return at once and do not raise."""

    def keys(self, issuer: str, jwks: Mapping[str, object]) -> None:
        """From now on the tokens of this issuer are signed by one of these keys (RFC 7517 §5)."""
        ...

    def beat(self, epoch: str, seq: int) -> None:
        """The store was read just now: this is its epoch, and `seq` is the newest revocation there is."""
        ...

    def revoked(self, revocation: Revocation) -> None:
        """Something is revoked. Revocations come in the order of their numbers, none twice."""
        ...


@final
class Feed:
    """The one channel from the authority to its gateways, here within one program.

    The store is the truth: a heartbeat first delivers every revocation up to the number that it carries, so that no
    gateway takes for fresh what it does not know yet. A new subscriber gets keys and all live revocations before its
    first heartbeat. If the store cannot be read, there is no heartbeat.
    """

    def __init__(self, store: Store, clock: Clock, *, issuer: str, jwks: Mapping[str, object]) -> None:
        """Nothing is delivered before `start`."""
        self._store = store
        self._clock = clock
        self._issuer = issuer
        self._jwks = jwks
        self._subscribers: list[Subscriber] = []
        self._seq = 0
        self._reading = True

    @property
    def reading(self) -> bool:
        """Whether the store could be read at the last heartbeat."""
        return self._reading

    async def start(self) -> str:
        """Read the store for the first time; returns its epoch. Raises `StoreUnavailableError`."""
        beat = await self._store.beat()
        self._seq = beat.seq
        return beat.epoch

    async def subscribe(self, subscriber: Subscriber) -> None:
        """Bring a gateway up to date, then keep it so. Raises `StoreUnavailableError`; then it is not subscribed."""
        known: list[Revocation] = []
        beat = await self._store.beat()
        # What is delivered to others while this waits for the store is read here too, before the first heartbeat.
        while (seen := known[-1].seq if known else 0) < (newest := max(self._seq, beat.seq)):
            page = await self._store.revocations(seen)
            known.extend(page)
            if not page and newest == max(self._seq, beat.seq):
                break
        self._deliver(known)
        subscriber.keys(self._issuer, self._jwks)
        for revocation in known:
            subscriber.revoked(revocation)
        subscriber.beat(beat.epoch, self._seq)
        self._subscribers.append(subscriber)

    def unsubscribe(self, subscriber: Subscriber) -> None:
        """Deliver nothing more to it."""
        self._subscribers.remove(subscriber)

    def publish(self, revocation: Revocation) -> None:
        """Deliver what was just stored, at once. If an earlier one is missing, the next heartbeat delivers both."""
        if revocation.seq == self._seq + 1:
            self._deliver((revocation,))

    async def beat(self) -> None:
        """Read the store, deliver what it holds that was not delivered, then the heartbeat."""
        try:
            beat = await self._read()
        except StoreUnavailableError as error:
            if self._reading:
                _log.error("store_unavailable", reason=str(error))
            self._reading = False
            return
        self._reading = True
        for subscriber in self._subscribers:
            subscriber.beat(beat.epoch, beat.seq)

    async def run(self) -> None:
        """Beat until cancelled."""
        while True:
            await self.beat()
            await self._clock.sleep(HEARTBEAT)

    async def _read(self) -> Beat:
        beat = await self._store.beat()
        while self._seq < beat.seq:
            page = await self._store.revocations(self._seq)
            if not page:
                self._seq = max(self._seq, beat.seq)
            self._deliver(page)
        return beat

    def _deliver(self, revocations: Iterable[Revocation]) -> None:
        for revocation in revocations:
            if revocation.seq > self._seq:
                self._seq = revocation.seq
                for subscriber in self._subscribers:
                    subscriber.revoked(revocation)
