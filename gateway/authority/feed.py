"""Tells gateways of keys, revocations and the store's heartbeat, in order; knows nothing of what they do with them."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from typing import Final, Protocol, final

from gateway import telemetry
from gateway.clock import Clock
from gateway.identity.renewals import Renewals
from gateway.model import Restoration, Revocation
from gateway.stores.store import Beat, Entry, Store, StoreUnavailableError

HEARTBEAT: Final = 1.0
"""Seconds between two heartbeats."""
LATELY: Final = 1024
"""How many entries are remembered as delivered; whoever publishes an older one has the store read."""

Between = Callable[[], Awaitable[None]]
"""Waits until a subscriber can take more."""

_log = telemetry.logger("feed")


class Subscriber(Protocol):
    """A gateway, or the line to one. Its methods return at once and do not raise."""

    def keys(self, issuer: str, jwks: Mapping[str, object]) -> None:
        """From now on the tokens of this issuer are signed by one of these keys (RFC 7517 §5)."""
        ...

    def beat(self, epoch: str, seq: int, at: float) -> None:
        """The store was read: this is its epoch, and `seq` the newest entry there is. `at` is when that read began.

        `at` is in seconds of boot time of this machine, so that what was long under way is not taken for fresh.
        """
        ...

    def revoked(self, revocation: Revocation) -> None:
        """Something is revoked. What is revoked and restored comes in the order of its numbers, none twice in one epoch.

        With a new epoch everything that the store knows comes anew, before the heartbeat that tells the epoch.
        """
        ...

    def restored(self, kind: str, name: str, seq: int) -> None:
        """An agent, a tenant or a credential is accepted again; what had ended under it stays ended."""
        ...

    def renewed(self, task: str, until: float) -> None:
        """A task has a token that is good until then, in Unix seconds, and for all of its intents.

        What the task has open may outlive its own token for as long. It comes in no order to the rest, and whoever has missed
        it only cuts too early; a time that is over takes back what was announced.
        """
        ...


@final
class Feed:
    """The one channel from the authority to its gateways, here within one program.

    The store is the truth: a heartbeat first delivers every revocation up to the number that it carries, so that no
    gateway takes for fresh what it does not know yet. A new subscriber gets keys and all live revocations before its
    first heartbeat. If the store cannot be read, there is no heartbeat. If it knows less than was delivered before, it was
    set back: a new epoch begins, and no token of the old one is accepted.
    """

    def __init__(self, store: Store, clock: Clock, *, issuer: str, jwks: Mapping[str, object]) -> None:
        """Nothing is delivered before `start`."""
        self._store = store
        self._clock = clock
        self.issuer: Final = issuer
        self._jwks = jwks
        self._subscribers: list[Subscriber] = []
        self._seq = 0
        self._lately: Final[dict[int, str]] = {}
        """The marks of what was delivered last in this epoch, by number."""
        self._reading = True
        self.epoch = ""
        """The epoch of the store when it was read last; each token carries it, so that it dies with the store's memory."""
        self._renewals = Renewals()

    @property
    def reading(self) -> bool:
        """Whether the store could be read at the last heartbeat."""
        return self._reading

    async def start(self) -> str:
        """Read the store for the first time; returns its epoch. Raises `StoreUnavailableError`."""
        beat = await self._store.beat()
        self.epoch, self._seq = beat.epoch, beat.seq
        return beat.epoch

    async def subscribe(
        self, subscriber: Subscriber, epoch: str = "", after: int = 0, *, between: Between | None = None
    ) -> None:
        """Bring a gateway up to date, then keep it so. Raises `StoreUnavailableError`; then it is not subscribed.

        What it knows already, up to the number `after` of this `epoch`, does not come again. `between` is awaited after each
        page of what it does not know, for those who cannot take everything at once.
        """
        at, beat = self._clock.boot(), await self._look()
        seen = after if epoch == beat.epoch else 0
        told = self._jwks
        subscriber.keys(self.issuer, told)
        # What is delivered to others while this waits for the store is read here too, before the first heartbeat.
        while seen < (newest := max(self._seq, beat.seq)) or beat.epoch != self.epoch:
            if beat.epoch != self.epoch:
                seen, at, beat = 0, self._clock.boot(), await self._look()
                continue
            page = await self._store.revocations(seen)
            if beat.epoch != self.epoch:
                continue
            self._deliver(page)
            for entry in page:
                _tell(subscriber, entry)
                seen = entry.seq
            if not page and newest == max(self._seq, beat.seq):
                break
            if between is not None:
                await between()
        for task, until in self._renewals.live(self._clock.now()):
            subscriber.renewed(task, until)
        if self._jwks is not told:
            subscriber.keys(self.issuer, self._jwks)
        subscriber.beat(beat.epoch, self._seq, at)
        self._subscribers.append(subscriber)

    async def remembered(self, epoch: str, seq: int) -> None:
        """A gateway that comes back has heard of this entry: a store that does not know it was set back.

        Raises `StoreUnavailableError`.
        """
        beat = await self._look()
        if beat.epoch == epoch and beat.seq < seq:
            await self._store.begin_epoch(epoch, seq)
            await self._read()

    def unsubscribe(self, subscriber: Subscriber) -> None:
        """Deliver nothing more to it."""
        self._subscribers.remove(subscriber)

    def keys(self, jwks: Mapping[str, object]) -> None:
        """Tell every gateway, and those to come, who signs from now on."""
        self._jwks = jwks
        for subscriber in self._subscribers:
            subscriber.keys(self.issuer, jwks)

    async def publish(self, entry: Entry) -> None:
        """Deliver what was just stored, at once, after whatever another authority has stored before it.

        A number that was passed already is that of an entry that was delivered, or of a store that was set back and counts
        anew. Raises `StoreUnavailableError` if that cannot be read now: the next heartbeat delivers it, and until then nobody
        may take it for delivered.
        """
        if entry.seq == self._seq + 1:
            self._deliver((entry,))
        elif (known := self._lately.get(entry.seq)) != entry.mark:
            if known is not None:  # the number was another's: the store counts anew, and in the same epoch
                beat = await self._store.beat()
                await self._store.begin_epoch(self.epoch, max(beat.seq, self._seq) + 1)
            await self._read()

    def renewed(self, task: str, until: float) -> None:
        """Announce a renewal that was stored and recorded, or take it back; subscribers to come hear of it too, if they can."""
        self._renewals.note(task, until, self._clock.now())
        for subscriber in self._subscribers:
            subscriber.renewed(task, until)

    async def beat(self) -> None:
        """Read the store, deliver what it holds that was not delivered, then the heartbeat."""
        at = self._clock.boot()
        try:
            beat = await self._read()
        except StoreUnavailableError as error:
            if self._reading:
                _log.error("store_unavailable", reason=str(error))
            self._reading = False
            return
        self._reading = True
        if beat.epoch == self.epoch:  # otherwise another heartbeat has told the newer epoch
            for subscriber in self._subscribers:
                subscriber.beat(beat.epoch, beat.seq, at)

    async def run(self) -> None:
        """Beat until cancelled."""
        while True:
            await self.beat()
            await self._clock.sleep(HEARTBEAT)

    async def watch(self) -> None:
        """Deliver what other authorities store as soon as the store tells of it, until cancelled."""
        while True:
            await self._store.changed()
            with suppress(StoreUnavailableError):  # the heartbeat says so
                await self._read()

    async def _read(self) -> Beat:
        beat = await self._look()
        while self._seq < beat.seq and beat.epoch == self.epoch:
            page = await self._store.revocations(self._seq)
            if beat.epoch == self.epoch:
                self._deliver(page)
                self._seq = self._seq if page else max(self._seq, beat.seq)
        return beat

    async def _look(self) -> Beat:
        """Read epoch and number. What was seen before the read began, the store has to know; else it was set back."""
        while True:
            epoch, seen = self.epoch, self._seq
            beat = await self._store.beat()
            if beat.epoch == epoch and beat.seq < seen:
                beat = await self._store.begin_epoch(epoch, seen)
            if beat.epoch == self.epoch:
                return beat
            if epoch == self.epoch:
                _log.error("epoch_began", epoch=beat.epoch, lost=epoch)
                self.epoch, self._seq = beat.epoch, 0
                self._lately.clear()
                return beat

    def _deliver(self, entries: Sequence[Entry]) -> None:
        for entry in entries:
            if entry.seq > self._seq:
                self._seq = entry.seq
                self._lately[entry.seq] = entry.mark
                if len(self._lately) > LATELY:
                    del self._lately[next(iter(self._lately))]
                for subscriber in self._subscribers:
                    _tell(subscriber, entry)


def _tell(subscriber: Subscriber, entry: Entry) -> None:
    if isinstance(entry, Restoration):
        subscriber.restored(entry.kind, entry.id, entry.seq)
    else:
        subscriber.revoked(entry)
