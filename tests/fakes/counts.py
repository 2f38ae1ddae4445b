"""What lending needs of a store, in memory, and the lines between gateways and lender; knows no database and no socket."""

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field

from gateway.authority.lending import Lending
from gateway.clock import Clock
from gateway.limits.leases import Leases
from gateway.limits.wishes import CONCURRENT, Answer, Event, Reply, Wish, as_wire, read_event, read_reply
from gateway.stores.store import StoreUnavailableError

NOW = 1_800_000_000.0


class HandClock(Clock):
    """Time goes on only when a test says so."""

    def __init__(self) -> None:
        super().__init__()
        self.time = NOW

    def now(self) -> float:
        return self.time

    def boot(self) -> float:
        return self.time - NOW + 1000.0

    def steady(self) -> float:
        return self.boot()


@dataclass
class MemoryCounts:
    """Counts by key, and places by key and holder, as a store keeps them."""

    drawn: dict[str, int] = field(default_factory=dict)
    ends: dict[str, float] = field(default_factory=dict)
    held: dict[str, dict[str, tuple[int, float]]] = field(default_factory=dict)
    broken: bool = False
    draws: int = 0
    counts: int = 0

    async def draw(self, key: str, wanted: int, most: int, until: float, now: float) -> int:
        self._check()
        assert wanted >= 0
        assert until > now
        self.draws += 1
        if self.ends.get(key, until) <= now:
            del self.drawn[key], self.ends[key]
        self.ends[key] = max(until, self.ends.get(key, until))
        taken = max(0, min(wanted, most - self.drawn.get(key, 0)))
        self.drawn[key] = self.drawn.get(key, 0) + taken
        return taken

    async def give_back(self, key: str, amount: int) -> None:
        self._check()
        assert 0 <= amount <= self.drawn[key], "more comes back than was drawn"
        self.drawn[key] -= amount

    async def count(self, amounts: Mapping[str, int], until: float, now: float) -> Mapping[str, int]:
        self._check()
        self.counts += 1
        before = {key: self.drawn.get(key, 0) if self.ends.get(key, until) > now else 0 for key in amounts}
        for key, amount in amounts.items():
            self.drawn[key] = before[key] + amount
            self.ends[key] = until
        return before

    async def hold(self, key: str, holder: str, amount: int, *, most: int, until: float, now: float) -> int:
        self._check()
        rows = self.held.setdefault(key, {})
        others = sum(held for name, (held, lasts) in rows.items() if name != holder and lasts > now)
        held = max(0, min(amount, most - others))
        rows[holder] = (held, until)
        return held

    async def prolong(self, holder: str, until: float, now: float) -> None:
        self._check()
        for rows in self.held.values():
            if holder in rows and rows[holder][1] > now:
                rows[holder] = (rows[holder][0], until)

    def _check(self) -> None:
        if self.broken:
            raise StoreUnavailableError("broken by the test")


class Wire:
    """Carries what one gateway and the lender say, in its form on the wire, when the test says so."""

    def __init__(self, name: str, lending: Lending, clock: Clock) -> None:
        self.name = name
        self.lending = lending
        self.leases = Leases(clock, at_end=lambda flush: flush())
        self.leases.borrow_from(self)
        self.up: deque[dict] = deque()
        self.down: deque[dict] = deque()
        lending.join(name, self)

    def take(self, events: list[Event]) -> None:
        self.up.extend(map(as_wire, events))

    def hear(self, reply: Reply) -> None:
        self.down.append(as_wire(reply))

    def send_up(self) -> None:
        events = [read_event(document) for document in self.up]
        self.up.clear()
        if events:
            self.lending.take(self.name, events)

    def send_down(self) -> None:
        while self.down:
            self.leases.hear(read_reply(self.down.popleft()))

    def cut(self) -> None:
        """Everything under way is lost."""
        self.up.clear()
        self.down.clear()

    @property
    def busy(self) -> bool:
        return bool(self.up or self.down)


async def settle(lending: Lending, *wires: Wire) -> None:
    """Carry everything to and fro until nobody has anything to say."""
    for _ in range(1000):
        for wire in wires:
            wire.send_up()
        await lending.settle()
        for wire in wires:
            wire.send_down()
        if not any(wire.busy for wire in wires):
            return
    raise AssertionError("they talk without end")


class EverythingLent:
    """A lender that has enough of everything, and answers at once."""

    def __init__(self, leases: Leases) -> None:
        self.leases = leases
        leases.borrow_from(self)

    def take(self, events: list[Event]) -> None:
        for event in events:
            if isinstance(event, Wish):
                amount = event.most if event.kind == CONCURRENT else event.wanted
                self.leases.hear(Answer(event.number, amount, event.key, 0.0, 0.0))
