"""Tells gateways of keys, revocations and the store's heartbeat, in order; knows nothing of what they do with them."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Final, Protocol, final

from gateway import telemetry
from gateway.authority.kept_stops import KeptStops
from gateway.clock import Clock
from gateway.identity.renewals import Renewals
from gateway.model import STOPS, Restoration, Revocation
from gateway.stores.store import Beat, Entry, Store, StoreUnavailableError

HEARTBEAT: Final = 1.0
"""Seconds between two heartbeats."""
LATELY: Final = 1024
"""How many entries are remembered as delivered; whoever publishes an older one has the store read."""

TURNS: Final = 2
"""Turns of the event loop that an acknowledgement waits."""
AHEAD: Final = 0
"""The number of a revocation that is told ahead: it says nothing of what else is known."""

Between = Callable[[], Awaitable[None]]
"""Waits until a subscriber can take more."""

_log = telemetry.logger("feed")


class Subscriber(Protocol):
    """A gateway, or the line to one. Its methods return at once and do not raise."""

    def keys(self, issuer: str, jwks: Mapping[str, object]) -> None:
        """From now on the tokens of this issuer are signed by one of these keys (RFC 7517 §5)."""
        ...

    def beat(self, epoch: str, seq: int, at: float, horizon: float) -> None:
        """The store was read: this is its epoch, and `seq` the newest entry there is. `at` is when that read began.

        `at` is in seconds of boot time of this machine, so that what was long under way is not taken for fresh. `horizon` is
        in Unix seconds: of what could still be accepted then, or later, nothing was forgotten.
        """
        ...

    def revoked(self, revocation: Revocation) -> None:
        """Something is revoked. What is revoked and restored comes in the order of its numbers, none twice in one epoch.

        With a new epoch everything that the store knows comes anew, before the heartbeat that tells the epoch. The end of a
        task or a token may be told ahead of its place, with the number `AHEAD`: it is in force, and comes again.
        """
        ...

    def restored(self, restoration: Restoration) -> None:
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

    Several tenants may share a store: then what is of the others is not told here.

    What this authority itself has ended its gateways hear from it, and not by way of the store, which may be emptied before
    it is read.
    """

    def __init__(self, store: Store, clock: Clock, *, issuer: str, jwks: Mapping[str, object], tenants: frozenset[str]) -> None:
        """Nothing is delivered before `start`, and nothing ever of other tenants than these."""
        self._store = store
        self._clock = clock
        self.issuer: Final = issuer
        self._jwks = jwks
        self.tenants: Final = tenants
        self._subscribers: list[Subscriber] = []
        self._seq = 0
        self._horizon = 0.0
        """How far anybody has made the store forget in this epoch."""
        self._lately: Final[dict[int, str]] = {}
        """The marks of what was delivered last in this epoch, by number."""
        self._reading = True
        self.epoch = ""
        """The epoch of the store when it was read last; each token carries it, so that it dies with the store's memory."""
        self._told = ""
        """The epoch of the last heartbeat."""
        self._explained = ""
        """The last epoch of which the log says why it began."""
        self._renewals = Renewals()
        self.stops: Final = KeptStops(store, clock)

    @property
    def reading(self) -> bool:
        """Whether the store could be read at the last heartbeat."""
        return self._reading

    async def start(self) -> str:
        """Read the store for the first time; returns its epoch. Raises `StoreUnavailableError`."""
        beat = await self._look_back()
        self.epoch, self._seq, self._horizon = beat.epoch, beat.seq, beat.horizon
        self._told = beat.epoch
        return beat.epoch

    async def subscribe(
        self, subscriber: Subscriber, epoch: str = "", after: int = 0, *, between: Between | None = None
    ) -> None:
        """Bring a gateway up to date, then keep it so. Raises `StoreUnavailableError`; then it is not subscribed.

        What it knows already, up to the number `after` of this `epoch`, does not come again. `between` is awaited after each
        page of what it does not know, for those who cannot take everything at once. It may have heard more elsewhere than was
        delivered here: that is delivered first, or those who are here would miss it.
        """
        at, beat = self._clock.boot(), await self._read()
        seen = after if epoch == beat.epoch else 0
        told = self._jwks
        subscriber.keys(self.issuer, told)
        # What is delivered to others while this waits for the store is read here too, before the first heartbeat.
        while seen < (newest := max(self._seq, beat.seq)) or beat.epoch != self.epoch:
            if beat.epoch != self.epoch:
                seen, at, beat = 0, self._clock.boot(), await self._read()
                continue
            page = await self._store.revocations(seen)
            await self._look()  # only in the same epoch is it certain that the page was not that of an emptied store
            if beat.epoch != self.epoch:
                continue
            self._deliver(page)
            for entry in page:
                self._tell(subscriber, entry)
            seen = page[-1].seq if page else newest  # those that no page has are forgotten, as spent
            if between is not None:
                await between()
        for task, until in self._renewals.live(self._clock.now()):
            subscriber.renewed(task, until)
        if self._jwks is not told:
            subscriber.keys(self.issuer, self._jwks)
        subscriber.beat(beat.epoch, self._seq, at, self._horizon)
        self._subscribers.append(subscriber)

    async def holds(self, epoch: str) -> bool:
        """Whether the store is still in this epoch. Raises `StoreUnavailableError`."""
        return (await self._look()).epoch == epoch

    async def look_back(self) -> None:
        """Begin a new epoch, and tell it at once, if a sweep by a later date, here or elsewhere, has forgotten too much.

        Raises `StoreUnavailableError`.
        """
        if (await self._look_back()).epoch != self.epoch:
            await self._hear()

    async def remembered(self, epoch: str, seq: int) -> None:
        """A gateway that comes back has heard of this entry: a store that does not know it was set back.

        Raises `StoreUnavailableError`.
        """
        beat = await self._look()
        if beat.epoch == epoch and beat.seq < seq:
            await self._store.begin_epoch(epoch, seq)
            await self._hear()

    def unsubscribe(self, subscriber: Subscriber) -> None:
        """Deliver nothing more to it."""
        self._subscribers.remove(subscriber)

    def keys(self, jwks: Mapping[str, object]) -> None:
        """Tell every gateway, and those to come, who signs from now on."""
        self._jwks = jwks
        for subscriber in self._subscribers:
            subscriber.keys(self.issuer, jwks)

    async def publish(self, entry: Entry, epoch: str) -> None:
        """Deliver what was just stored, at once, after whatever another authority has stored before it.

        `epoch` is the one that held before it was stored: in another one its number could be that of something else. The end
        of a task or a token is told first and put in order then. A number that was passed already is that of an entry that
        was delivered, or of a store that was set back and counts anew. Raises `StoreUnavailableError` if that cannot be read
        now, or if the store has lost what has to be found there later: until that was asked for again nobody may take it for
        delivered.
        """
        if epoch == self.epoch and entry.seq == self._seq + 1:
            self._deliver((entry,))
        elif epoch != self.epoch or self._lately.get(entry.seq) != entry.mark:
            lasts = isinstance(entry, Restoration) or entry.kind in STOPS  # and is only good in its order
            if not lasts:
                self._tell_all(replace(entry, seq=AHEAD))
            if epoch == self.epoch and entry.seq in self._lately:  # another's: the store counts anew, and in the same epoch
                beat = await self._store.beat()
                await self._store.begin_epoch(self.epoch, max(beat.seq, self._seq) + 1)
            await self._hear()
            if lasts and epoch != self.epoch and self._lately.get(entry.seq) != entry.mark:
                raise StoreUnavailableError("the store was emptied or set back, and does not know what it has taken")
        # What is acknowledged comes after it: in the first turn of the loop the lines to gateways elsewhere are written, and
        # what is open here is interrupted; in the second the kernel closes the connections of that.
        for _ in range(TURNS):
            await self._clock.sleep(0)

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
        self._prove(beat, at)

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
                await self._hear()

    async def _look_back(self) -> Beat:
        """No gateway may take a token whose end the store has forgotten."""
        found, date = await self._store.beat(), self._clock.date()
        if found.horizon <= date:
            return found
        beat = await self._store.look_back(date)
        if beat.epoch != found.epoch:
            self._explained = beat.epoch
            _log.error("epoch_began", epoch=beat.epoch, lost=found.epoch, reason="the store was swept by a later date")
        return beat

    async def _hear(self) -> None:
        """Read the store between two heartbeats; a new epoch does not wait for the next one."""
        at = self._clock.boot()
        beat = await self._read()
        if beat.epoch != self._told:
            self._prove(beat, at)

    def _prove(self, beat: Beat, at: float) -> None:
        if beat.epoch == self.epoch:  # otherwise another heartbeat tells the newer epoch
            self._told = beat.epoch
            for subscriber in self._subscribers:
                subscriber.beat(beat.epoch, beat.seq, at, self._horizon)

    async def _read(self) -> Beat:
        """Deliver what the store holds that was not delivered, up to the number that is returned with the epoch."""
        beat = await self._look()
        while self._seq < beat.seq:
            await self._read_pages(beat)
            again = await self._look()
            if again.epoch == beat.epoch:  # only so is it certain that no page was that of an emptied store
                self._seq = max(self._seq, beat.seq)
                break
            beat = again
        return beat

    async def _read_pages(self, beat: Beat) -> None:
        while self._seq < beat.seq and beat.epoch == self.epoch:
            page = await self._store.revocations(self._seq)
            if beat.epoch == self.epoch:
                self._deliver(page)
            if not page:
                break

    async def _look(self) -> Beat:
        """Read epoch and number. What was seen before the read began, the store has to know; else it was set back."""
        while True:
            epoch, seen = self.epoch, self._seq
            beat = await self._store.beat()
            if beat.epoch == epoch and beat.seq < seen:
                beat = await self._store.begin_epoch(epoch, seen)
            if beat.epoch == self.epoch:
                self._horizon = max(self._horizon, beat.horizon)
                return beat
            # Before anybody hears of the new epoch, in which tokens are good again.
            changes = await self.stops.put_back(beat.epoch)
            found = await self._store.beat()
            if epoch == self.epoch and found.epoch == beat.epoch and changes == self.stops.changes:
                if found.epoch != self._explained:
                    _log.error("epoch_began", epoch=found.epoch, lost=epoch)
                self.epoch, self._seq, self._horizon = found.epoch, 0, found.horizon
                self._lately.clear()
                return found

    def _deliver(self, entries: Sequence[Entry]) -> None:
        for entry in entries:
            if entry.seq > self._seq:
                self._seq = entry.seq
                self._lately[entry.seq] = entry.mark
                self.stops.heard(entry)
                if len(self._lately) > LATELY:
                    del self._lately[next(iter(self._lately))]
                self._tell_all(entry)

    def _tell_all(self, entry: Entry) -> None:
        for subscriber in self._subscribers:
            self._tell(subscriber, entry)

    def _tell(self, subscriber: Subscriber, entry: Entry) -> None:
        """What is of another tenant takes its number and is told to nobody here."""
        if entry.tenant and entry.tenant not in self.tenants:
            return
        if isinstance(entry, Restoration):
            subscriber.restored(entry)
        else:
            subscriber.revoked(entry)
