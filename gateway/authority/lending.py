"""Lends to gateways what limits leave, so that all of them together never spend more; knows no line and no request.

The store counts what was drawn and who holds which places; what is remembered here is only who may have something left, so a
restart forgets nothing that matters. What a gateway has drawn and never gave back counts as spent. Places are held for a
bounded time, which is renewed for as long as the gateway's line is open: without it the gateway stops by itself, well before.
"""

import asyncio
from collections import Counter, OrderedDict, deque
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Final, NamedTuple, Protocol, final

from gateway import telemetry
from gateway.authority.drift import Drift
from gateway.authority.labelling import Families, Labelling, RecordLabels, unrecorded
from gateway.clock import Clock
from gateway.limits.wishes import (
    BYTES,
    CONCURRENT,
    RATE,
    Answer,
    Back,
    Count,
    Counted,
    Drifted,
    Event,
    Forgot,
    Heard,
    Hold,
    Learn,
    Lender,
    Mark,
    Recall,
    Reply,
    Wish,
)
from gateway.stores.store import StoreUnavailableError

LOOK_EVERY: Final = 0.5
"""Seconds between two looks for recalls that were not answered."""
RECALL_WITHIN: Final = 1.0
"""Seconds within which a gateway answers a recall; after it, what it holds is not waited for."""
MARGIN: Final = 5.0
"""Seconds for which places outlive the gateway that fell silent: its last cut, and clocks that differ."""
KEEP_WINDOW: Final = 60.0
"""Seconds for which the count of a window is kept after its end."""
SHORTEST_KEEP: Final = 24 * 3600.0
"""Seconds for which the count of a task is kept at least."""
SMALLEST_BYTES: Final = 64 * 1024
"""The smallest share of a limit of bytes, if so many are left: what one read brings."""
KEYS: Final = 65_536
"""How many limits are remembered; a forgotten one is counted all the same, but not recalled."""
QUEUED: Final = 65_536
"""How many events wait for the store; more are dropped, and their wishes go unanswered."""

COUNTED_AT_ONCE: Final = 1024
"""How many requests are counted in one step of the store."""

_log = telemetry.logger("lending")


class Counts(Protocol):
    """The part of the store that lending needs. Every method is one atomic step and raises `StoreUnavailableError`."""

    async def draw(self, key: str, wanted: int, most: int, until: float, now: float) -> int:
        """Take up to `wanted` of what is left of `most`; returns how much. The count is forgotten after `until`."""
        ...

    async def give_back(self, key: str, amount: int) -> None:
        """Return what was drawn and not used."""
        ...

    async def count(self, amounts: Mapping[str, int], until: float, now: float) -> Mapping[str, int]:
        """Add to what was counted under each key before; returns what that was. A count is forgotten after `until`."""
        ...

    async def hold(self, key: str, holder: str, amount: int, *, most: int, until: float, now: float) -> int:
        """Let `holder` hold `amount` of `most` until then, or as many as others leave; returns how many."""
        ...

    async def prolong(self, holder: str, until: float, now: float) -> None:
        """Let all that `holder` still holds last until then; with the present, give all of it up."""
        ...


class Line(Protocol):
    """The way to one gateway."""

    def hear(self, reply: Reply) -> None:
        """Deliver a reply. Returns at once and does not raise."""
        ...


class _Starved(NamedTuple):
    """A wish that waits for others to give back; `awaited` are those who have not said yet what they have left."""

    gateway: str
    wish: Wish
    awaited: set[str]
    deadline: float


@final
class _Lent:
    """What is remembered of one limit: about how much was drawn, who may have some left, who waits for it."""

    __slots__ = ("drawn", "name", "out", "recalled", "starved", "until")

    def __init__(self) -> None:
        self.name = ""
        self.drawn = 0
        self.until = 0.0
        self.out: set[str] = set()
        self.recalled: set[str] = set()
        self.starved: deque[_Starved] = deque()


@final
class _Near:
    """The way to the lender for a gateway of this program."""

    __slots__ = ("_gateway", "_lending")

    def __init__(self, lending: "Lending", gateway: str) -> None:
        self._lending: Final = lending
        self._gateway: Final = gateway

    def take(self, events: Sequence[Event]) -> None:
        """Accept what the gateway says."""
        self._lending.take(self._gateway, events)


@final
class Lending:
    """The lender of all gateways of one authority. Events are worked off one after another, in the order in which they came."""

    def __init__(
        self,
        counts: Counts,
        clock: Clock,
        *,
        max_task: float,
        max_staleness: float,
        families: Families | None = None,
        labelled: RecordLabels = unrecorded,
    ) -> None:
        """`max_task` is the longest life of a task, `max_staleness` the time after which a gateway without a line stops.

        `families` keeps the labels of tasks; without it nobody is answered who asks for them; `labelled`
        is told of those that are new.
        """
        self._counts: Final = counts
        self._clock: Final = clock
        self._keep: Final = max(max_task, SHORTEST_KEEP)
        self._life: Final = max_staleness + MARGIN
        self._lines: Final[dict[str, Line]] = {}
        self._lent: Final[OrderedDict[str, _Lent]] = OrderedDict()
        self._queue: Final[deque[tuple[str, Event | None]]] = deque()
        self._stirred: Final = asyncio.Event()
        self._working: Final = asyncio.Lock()
        self._prolong_at = 0.0
        self.drift: Drift | None = None
        """Who hears of what tasks ask for and may not have."""
        self._labelling: Final = None if families is None else Labelling(families, clock, self._tell, self._life, labelled)

    # What gateways, and those who carry their events, call.

    def join(self, gateway: str, line: Line) -> None:
        """From now on this gateway is heard and may hold places. Its name is its own for as long as it may hold any."""
        self._lines[gateway] = line

    async def lend(self, gateway: str, line: Line) -> Lender:
        """Begin to lend to a gateway of this program, which has nothing yet. Raises `StoreUnavailableError`."""
        await self.bury(gateway)
        self.join(gateway, line)
        return _Near(self, gateway)

    def leave(self, gateway: str) -> None:
        """Its line is gone. It may live on, so what it holds comes back only when it must have stopped."""
        if self._lines.pop(gateway, None) is not None and self._labelling is not None:
            self._labelling.leave(gateway)

    async def bury(self, gateway: str) -> None:
        """It is known to be dead: its places come back now, and what else it had not given back is spent.

        Raises `StoreUnavailableError`; then the places come back later.
        """
        self.leave(gateway)
        if self._labelling is not None:
            self._labelling.forget(gateway)
        now = self._clock.now()
        await self._counts.prolong(gateway, now, now)

    def take(self, gateway: str, events: Sequence[Event]) -> None:
        """Accept what a gateway says, in this order; the answers go down its line."""
        if len(self._queue) + len(events) > QUEUED:
            _log.error("events_dropped", gateway=gateway, events=len(events))
            return
        self._queue.extend((gateway, event) for event in events)
        self._stirred.set()

    # What the authority runs.

    async def run(self) -> None:
        """Work off what comes, until cancelled."""
        while True:
            await self._stirred.wait()
            self._stirred.clear()
            await self.settle()

    async def look_after(self) -> None:
        """Prolong what is held and give up recalls that were not answered, until cancelled."""
        while True:
            await self._clock.sleep(LOOK_EVERY)
            if len(self._queue) < QUEUED:
                self._queue.append(("", None))
                self._stirred.set()

    async def settle(self) -> None:
        """Work off everything that has come."""
        async with self._working:
            while self._queue:
                gateway, event = self._queue.popleft()
                with suppress(StoreUnavailableError):  # the heartbeat says so already, and an unanswered wish is refused
                    await self._work(gateway, event)

    async def _work(self, gateway: str, event: Event | None) -> None:
        if event is None:
            await self._look()
        elif isinstance(event, (Learn, Mark, Heard, Forgot)):
            if self._labelling is not None:
                await self._labelling.work(gateway, event, self._lines)
        elif isinstance(event, Count):
            await self._count(gateway, event)
        elif isinstance(event, Drifted):
            if self.drift is not None:
                await self.drift.note(event.task)
        elif isinstance(event, Wish):
            lent = self._known(event.key)
            others = {other for other in lent.out if other != gateway and other in self._lines and event.kind != RATE}
            if not await self._grant(gateway, event, lent, last=not others):
                lent.starved.append(_Starved(gateway, event, others, self._clock.boot() + RECALL_WITHIN))
                self._recall(others, event, lent)
        elif isinstance(event, Back):
            if event.amount and event.drawn:
                await self._counts.give_back(event.drawn, event.amount)
            await self._returned(gateway, event)
        else:
            now = self._clock.now()
            await self._counts.hold(event.key, gateway, event.amount, most=event.most, until=now + self._life, now=now)
            await self._returned(gateway, event)

    async def _count(self, gateway: str, event: Count) -> None:
        """Count it and all that wait right behind it, so that many requests at once cost one write."""
        asked = [(gateway, event)]
        while self._queue and len(asked) < COUNTED_AT_ONCE:
            other, following = self._queue[0]
            if not isinstance(following, Count):
                break
            self._queue.popleft()
            asked.append((other, following))
        amounts: Counter[str] = Counter()
        for _, each in asked:
            amounts[each.key] += each.amount
        now = self._clock.now()
        before = dict(await self._counts.count(amounts, now + self._keep, now))
        for other, each in asked:
            self._tell(other, Counted(each.number, before[each.key]))
            before[each.key] += each.amount

    async def _grant(self, gateway: str, wish: Wish, lent: _Lent, *, last: bool) -> bool:
        """Lend what there is and answer; false if somebody waits, there is too little, and this is not the last try."""
        now = self._clock.now()
        if wish.kind == CONCURRENT:
            share = min(wish.most, max(wish.wanted, wish.most // max(1, len(self._lines))))
            held = await self._counts.hold(wish.key, gateway, share, most=wish.most, until=now + self._life, now=now)
            if held:
                lent.out.add(gateway)
            if held < wish.wanted and not last:
                return False
            self._tell(gateway, Answer(wish.number, held, wish.key, 0.0, 0.0))
            return True
        name, until, lasts = self._window(wish, now)
        if lent.name != name or now >= lent.until:
            lent.name, lent.drawn = name, 0
            lent.out.clear()
        lent.until = until
        left = max(0, wish.most - lent.drawn)
        share = max(left // (2 * max(1, len(self._lines))), SMALLEST_BYTES if wish.kind == BYTES else 1, wish.need)
        wanted = min(wish.wanted, share)
        taken = await self._counts.draw(name, wanted, wish.most, until, now)
        lent.drawn = lent.drawn + taken if taken == wanted else wish.most
        if taken:
            lent.out.add(gateway)
        elif wish.need and not last:
            return False
        drawn = "" if wish.kind == RATE else name
        self._tell(gateway, Answer(wish.number, taken, drawn, lasts, 0.0 if taken else lasts))
        return True

    def _window(self, wish: Wish, now: float) -> tuple[str, float, float]:
        """Under which name it is counted now, until when that is kept, and after how many seconds the next window begins.

        The slices of a rate follow so fast that one name serves all: its count is forgotten where the next one begins. So
        nothing of a rate can be given back, for it could be given to the next slice.
        """
        if not wish.window:
            return wish.key, now + self._keep, 0.0
        number = int(now // wish.window)
        end = (number + 1) * wish.window
        if wish.kind == RATE:
            return wish.key, end, end - now
        return f"{wish.key}#{number}", end + KEEP_WINDOW, end - now

    def _recall(self, others: set[str], wish: Wish, lent: _Lent) -> None:
        """Ask the others for what they do not use, each once."""
        for other in others - lent.recalled:
            lent.recalled.add(other)
            self._tell(other, Recall(wish.kind, wish.key))

    async def _returned(self, gateway: str, event: Back | Hold) -> None:
        """A gateway has nothing left that it does not use: those who wait may have more now."""
        lent = self._known(event.key)
        lent.recalled.discard(gateway)
        if isinstance(event, Back):
            lent.drawn = max(0, lent.drawn - event.amount)
        if isinstance(event, Back) or not event.amount:
            lent.out.discard(gateway)
        for each in lent.starved:
            each.awaited.discard(gateway)
        await self._retry(lent)

    async def _retry(self, lent: _Lent) -> None:
        """Try again for those who wait; who has nobody left to wait for, or has waited long enough, is told what there is."""
        starved, lent.starved = lent.starved, deque()
        boot = self._clock.boot()
        for each in starved:
            if boot >= each.deadline:
                lent.recalled -= each.awaited
                each.awaited.clear()
            last = not each.awaited
            if not await self._grant(each.gateway, each.wish, lent, last=last):
                lent.starved.append(each)

    async def _look(self) -> None:
        boot = self._clock.boot()
        if self._labelling is not None:
            self._labelling.look()
        for lent in [lent for lent in self._lent.values() if lent.starved and lent.starved[0].deadline <= boot]:
            await self._retry(lent)
        if boot >= self._prolong_at:
            self._prolong_at = boot + self._life / 3
            now = self._clock.now()
            for gateway in list(self._lines):
                await self._counts.prolong(gateway, now + self._life, now)

    def _known(self, key: str) -> _Lent:
        lent = self._lent.get(key)
        if lent is None:
            if len(self._lent) >= KEYS:
                self._lent.popitem(last=False)
            lent = self._lent[key] = _Lent()
        else:
            self._lent.move_to_end(key)
        return lent

    def _tell(self, gateway: str, reply: Reply) -> None:
        line = self._lines.get(gateway)
        if line is not None:
            line.hear(reply)
