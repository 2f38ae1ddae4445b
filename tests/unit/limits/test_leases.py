"""What one gateway does with its leases: asks ahead of need, gives back what lies idle, and believes an answer only so long."""

import asyncio

import pytest
from fakes.counts import HandClock, MemoryCounts, Wire, settle

from gateway.authority.lending import Lending
from gateway.errors import Refusal
from gateway.limits.account import FIRST_BYTES, FIRST_CHUNK, HOPELESS, MOST_BYTES, MOST_CHUNK, SOON, Account
from gateway.limits.leases import ANSWER_WITHIN, DRY, IDLE_LOOKS, IDLE_PLACES, LOOK_EVERY, MOST_ACCOUNTS, Leases
from gateway.limits.wishes import Answer, Back, Event, Hold, Recall, Wish
from gateway.model import Limit

MANY = Limit("requests", "requests/many", 1_000_000, 0.0, "of this task")
PLACES = Limit("concurrent", "concurrent/x", 8, 0.0, "to x", shared=True)


class Ear:
    """A lender that only listens."""

    def __init__(self) -> None:
        self.clock = HandClock()
        self.leases = Leases(self.clock, at_end=lambda flush: flush())
        self.leases.borrow_from(self)
        self.heard: list[Event] = []

    def take(self, events: list[Event]) -> None:
        self.heard += events

    def wish(self) -> Wish:
        last = self.heard[-1]
        assert isinstance(last, Wish)
        return last

    def answer(self, amount: int, *, lasts: float = 0.0, after: float = 0.0) -> None:
        wish = self.wish()
        self.leases.hear(Answer(wish.number, amount, wish.key, lasts, after))


class Waiting:
    """Somebody who waits."""

    def __init__(self) -> None:
        self.heard: list[str] = []

    def ready(self) -> None:
        self.heard.append("ready")

    def refuse(self, refusal: Refusal) -> None:
        self.heard.append(refusal.code)


def need(ear: Ear, limit: Limit = MANY, amount: int = 1) -> Waiting:
    waiting = Waiting()
    ear.leases.wait_for(ear.leases.account(limit), waiting, amount)
    return waiting


def test_wishes_of_one_turn_leave_together() -> None:
    """At its end, in the order in which they were made."""

    async def scene() -> None:
        ear, turns = Ear(), []
        ear.leases = Leases(ear.clock, at_end=turns.append)
        ear.leases.borrow_from(ear)
        need(ear)
        need(ear, PLACES)
        assert ear.heard == []
        assert len(turns) == 1
        turns[0]()
        assert [event.key for event in ear.heard] == [MANY.key, PLACES.key]

    asyncio.run(scene())


def test_a_lease_is_renewed_before_it_is_used_up_and_grows_with_the_demand() -> None:
    """Half of what was asked for last is the mark; who comes back soon asks for twice as much, up to a bound."""
    ear = Ear()
    waiting = need(ear)
    assert (ear.wish().wanted, ear.wish().need) == (FIRST_CHUNK, 1)
    ear.answer(FIRST_CHUNK)
    assert waiting.heard == ["ready"]
    account = ear.leases.account(MANY)
    sizes = []
    for _ in range(12):
        while not account.asked:
            ear.leases.take(account)
        assert account.left > 0
        assert ear.wish().need == 0
        sizes.append(ear.wish().wanted)
        ear.answer(sizes[-1])
    assert sizes[0] == 2 * FIRST_CHUNK
    assert sizes[-1] == MOST_CHUNK
    ear.clock.time += SOON
    while not account.asked:
        ear.leases.take(account)
    assert ear.wish().wanted == MOST_CHUNK


def test_bytes_are_asked_for_by_the_chunk() -> None:
    """And by what is needed, if that is more."""
    account = Account(Limit("bytes", "bytes/x", 1 << 40, 0.0, "of this task"))
    assert account.wanted(1000, 100.0) == FIRST_BYTES
    assert account.wanted(FIRST_BYTES + 1, 100.0) == FIRST_BYTES + 1
    account.refilled = 100.0
    assert [account.wanted(1, 100.0) for _ in range(9)][-1] == MOST_BYTES


def test_an_answer_that_says_no_is_believed_for_a_moment() -> None:
    """Whoever waits is refused, and whoever comes meanwhile is refused without another wish; then it is asked again."""
    ear = Ear()
    waiting = need(ear)
    ear.answer(0)
    assert waiting.heard == ["limit_exceeded"]
    with pytest.raises(Refusal) as caught:
        need(ear)
    assert caught.value.retry_after == HOPELESS
    assert len(ear.heard) == 1
    ear.clock.time += DRY
    need(ear)
    assert len(ear.heard) == 2


def test_no_to_a_wish_ahead_of_need_refuses_nobody() -> None:
    """What is left is still spent, and who needs more then asks in earnest; only asking ahead pauses."""
    ear = Ear()
    need(ear)
    ear.answer(FIRST_CHUNK)
    account = ear.leases.account(MANY)
    while not account.asked:
        ear.leases.take(account)
    ear.answer(0)
    left, said = account.left, len(ear.heard)
    for _ in range(left):
        ear.leases.take(account)
    assert len(ear.heard) == said
    need(ear)
    assert ear.wish().need == 1


def test_a_wish_that_nobody_answers_is_given_up() -> None:
    """Those who wait are refused, and what comes later is not spent: it counts as lost."""
    ear = Ear()
    waiting = need(ear)
    wish = ear.wish()
    ear.clock.time += ANSWER_WITHIN
    ear.leases.look()
    assert waiting.heard == []
    ear.clock.time += LOOK_EVERY
    ear.leases.look()
    assert waiting.heard == ["limit_exceeded"]
    ear.leases.hear(Answer(wish.number, 8, wish.key, 0.0, 0.0))
    assert ear.leases.account(MANY).left == 0


def test_an_answer_is_taken_once() -> None:
    """A second one of the same number brings nothing."""
    ear = Ear()
    need(ear)
    wish = ear.wish()
    ear.answer(8)
    ear.leases.hear(Answer(wish.number, 8, wish.key, 0.0, 0.0))
    assert ear.leases.account(MANY).left == 8


def test_what_lies_idle_is_given_back() -> None:
    """After some looks without any use; places of an upstream after many, for they are soon missed again."""
    ear = Ear()
    need(ear)
    ear.answer(8)
    need(ear, PLACES)
    ear.answer(8)
    ear.leases.take(ear.leases.account(MANY))
    for _ in range(IDLE_LOOKS):
        ear.leases.look()
        assert isinstance(ear.heard[-1], Wish)
    ear.leases.look()
    assert ear.heard[-1] == Back(MANY.key, MANY.key, 7)
    for _ in range(IDLE_PLACES):
        ear.leases.look()
    assert ear.heard[-1] == Hold(PLACES.key, 8, 0)
    assert repr(ear.leases) == "Leases(0 accounts, 0 wishes)"


def test_the_looks_come_by_themselves() -> None:
    """Once in a while, as long as the gateway runs."""

    async def scene() -> None:
        ear = Ear()
        slept: list[float] = []

        async def sleep(seconds: float) -> None:
            slept.append(seconds)
            if len(slept) == 3:
                raise asyncio.CancelledError

        ear.clock.sleep = sleep
        with pytest.raises(asyncio.CancelledError):
            await ear.leases.run()
        assert slept == [LOOK_EVERY] * 3

    asyncio.run(scene())


def test_a_recall_gives_back_what_is_free_and_nothing_that_is_used() -> None:
    """Places in use stay held; the answer to an older wish says nothing true any more; the unknown is said to be nothing."""
    ear = Ear()
    need(ear, PLACES)
    ear.answer(5)
    account = ear.leases.account(PLACES)
    account.left -= 2
    waiting = Waiting()
    ear.leases.wait_for(account, waiting, 4)
    wish = ear.wish()
    ear.leases.hear(Recall("concurrent", PLACES.key))
    assert ear.heard[-2] == Hold(PLACES.key, 8, 2)
    ear.leases.hear(Answer(wish.number, 8, wish.key, 0.0, 0.0))
    assert (account.held, account.left) == (2, 0)
    assert ear.wish().number > wish.number
    ear.leases.hear(Recall("requests", "requests/unknown"))
    assert ear.heard[-1] == Back("requests/unknown", "", 0)
    ear.leases.hear(Recall("concurrent", "concurrent/unknown"))
    assert ear.heard[-1] == Hold("concurrent/unknown", 0, 0)


def test_a_lease_of_a_slice_is_worth_nothing_after_it() -> None:
    """It ends so many seconds after it was asked for, however long the answer took."""
    ear = Ear()
    pace = Limit("rate", "rate/x", 10, 0.5, "to x", shared=True)
    need(ear, pace)
    ear.clock.time += 0.25
    ear.answer(8, lasts=0.375)
    account = ear.leases.account(pace)
    assert ear.leases.short_of([account], 8) is None
    ear.clock.time += 0.125
    assert ear.leases.short_of([account]) is account
    need(ear, pace)
    ear.answer(0, after=1.5)
    with pytest.raises(Refusal) as caught:
        need(ear, pace)
    assert caught.value.retry_after == 2
    assert caught.value.detail == "No more than 10 requests to x are let through in 0.5 seconds."


def test_after_a_cut_of_the_line_what_is_held_is_said_again() -> None:
    """What was asked is asked again under a new number, for its answer was lost."""
    ear = Ear()
    need(ear, PLACES)
    ear.answer(5)
    waiting = need(ear)
    old = ear.wish()
    ear.heard.clear()
    ear.leases.restate()
    assert ear.heard[0] == Hold(PLACES.key, 8, 5)
    assert ear.wish()._replace(number=0) == old._replace(number=0, wanted=ear.wish().wanted)
    ear.leases.hear(Answer(old.number, 8, old.key, 0.0, 0.0))
    assert waiting.heard == []


def test_at_the_end_everything_is_given_back_and_nothing_more_is_lent() -> None:
    """Who still waits is refused."""

    async def scene() -> None:
        clock, counts = HandClock(), MemoryCounts()
        lending = Lending(counts, clock, max_task=3600.0, max_staleness=10.0)
        wire = Wire("one", lending, clock)
        for limit in (MANY, PLACES):
            wire.leases.wait_for(wire.leases.account(limit), Waiting())
        await settle(lending, wire)
        wire.leases.take(wire.leases.account(MANY))
        wire.leases.stop()
        await settle(lending, wire)
        assert counts.drawn == {MANY.key: 1}
        assert counts.held[PLACES.key]["one"][0] == 0
        with pytest.raises(Refusal):
            wire.leases.wait_for(wire.leases.account(MANY), Waiting())

    asyncio.run(scene())


def test_only_so_many_limits_are_kept() -> None:
    """One more is refused as too much for the gateway, until others have become idle."""
    assert MOST_ACCOUNTS > 2
    ear = Ear()
    ear.leases = Leases(ear.clock, at_end=lambda flush: flush(), most=2)
    for number in range(2):
        ear.leases.account(MANY._replace(key=str(number)))
    with pytest.raises(Refusal) as caught:
        ear.leases.account(MANY)
    assert caught.value.code == "overloaded"
    for _ in range(IDLE_LOOKS + 1):
        ear.leases.look()
    assert ear.leases.account(MANY).left == 0
