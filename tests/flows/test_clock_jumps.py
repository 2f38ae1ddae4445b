"""A machine whose clock is set ahead or back, or which was suspended: nothing that has ended is ever accepted again."""

import asyncio
import re
import time

import pytest
from fakes.clock import SetClock
from fakes.house import Build, House, get

from gateway.app import Doorward
from gateway.clock import Clock
from gateway.errors import Refusal
from gateway.fetch import Fetch
from gateway.identity.authenticate import still_good
from gateway.identity.standing import Standing
from gateway.settings.load import load
from gateway.stores.store import KEEP_SPENT

OVER = "token_invalid"
OK, REVOKED, EXPIRED, STALE = 200, "token_revoked", "token_expired", "revocations_stale"


class Jumping(Clock):
    """The real clock over a machine's date that a test sets: what `now` makes of it is the product's own."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        super().__init__()
        self.suspended = 0.0
        self._jumped = 0.0
        real = time.time
        monkeypatch.setattr("gateway.clock.time.time", lambda: real() + self._jumped)

    def jump(self, seconds: float) -> None:
        """Somebody, or NTP, sets the date; the time since boot goes on as it does."""
        self._jumped += seconds

    def suspend(self, seconds: float) -> None:
        """The machine sleeps: date and time since boot are ahead when it wakes."""
        self._jumped += seconds
        self.suspended += seconds

    def boot(self) -> float:
        return super().boot() + self.suspended


async def asked(door: House, token: str) -> int | str:
    client = await door.connect()
    await client.send(get("/api/items", token))
    answer = await client.answer()
    await client.close()
    return OK if answer.status == OK else answer.problem["code"]


async def ended(door: House) -> str:
    """A token whose task was revoked, and that was seen to be refused."""
    issued = await door.issue("items.read")
    assert await asked(door, issued["access_token"]) == OK
    assert await door.tell(f"/tasks/{issued['task']}/revoke", "admin.sock") == 200
    assert await asked(door, issued["access_token"]) == REVOKED
    return issued["access_token"]


@pytest.mark.interpreted("the clock's own module is given another date")
@pytest.mark.parametrize("seconds", [-86_400.0, -60.0, 60.0, 86_400.0, 20 * 86_400.0])
async def test_a_set_date_revives_nothing(house: Build, monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    """Back: time goes on from where it was. Ahead, and back again: what has expired stays expired, what was revoked refused."""
    clock = Jumping(monkeypatch)
    door = await house(clock=clock)
    dead, live = await ended(door), await door.token("items.read")
    assert await asked(door, live) == OK
    clock.jump(seconds)
    for _ in range(3):
        assert await asked(door, dead) in (REVOKED, EXPIRED)
        assert await asked(door, live) == (EXPIRED if seconds > 300 else OK)
        await beaten(door)
    clock.jump(-seconds)
    for _ in range(3):
        assert await asked(door, dead) in (REVOKED, EXPIRED)
        assert await asked(door, live) == (EXPIRED if seconds > 300 else OK)
        await beaten(door)
    if seconds < 0:  # the mistake was mended: this clock is the machine's again
        assert abs(clock.now() - time.time()) < 1
    again = await ended(door)
    assert await asked(door, again) == REVOKED, "what is revoked afterwards is remembered as well"


@pytest.mark.interpreted("the clock's own module is given another date")
async def test_a_date_that_was_put_right_is_told(house: Build, monkeypatch: pytest.MonkeyPatch) -> None:
    """Time goes on ahead of the machine's, and whoever asks for readiness learns why identities look expired."""
    clock = Jumping(monkeypatch)
    door = await house(clock=clock)
    assert await notices(door) == []
    clock.jump(86_400.0)
    assert await notices(door) == []
    clock.jump(-86_400.0)
    (told,) = await notices(door)
    assert re.search(r"set back and is 8(6400|6399|6398) seconds behind", told)
    clock.jump(86_400.0)
    assert await notices(door) == []


@pytest.mark.parametrize(
    ("ahead", "begins"),
    [(0.0, False), (60.0, False), (KEEP_SPENT - 60, False), (KEEP_SPENT + 60, True), (20 * 86_400.0, True)],
)
async def test_what_a_date_ahead_made_the_store_forget_is_not_accepted_after_a_restart(
    house: Build, ahead: float, *, begins: bool
) -> None:
    """A sweep by the wrong date forgets revocations of tokens that are good again by the right one: their epoch is over.

    A date that is put right by a little, as NTP does, costs nobody a token.
    """
    clock = SetClock()
    door = await house(clock=clock)
    dead, live = await ended(door), await door.token("items.read")
    clock.ahead = ahead
    await door.doorward.authority.endings.expire()
    await door.stop()
    again = Doorward(load(door.folder / "doorward.yaml"), SetClock())
    door.doorward = again
    await again.start()
    door.stack.push_async_callback(again.stop)
    assert await asked(door, live) == (OVER if begins else OK)
    assert await asked(door, dead) == (OVER if begins else REVOKED)
    later = await ended(door)
    assert await asked(door, later) == REVOKED
    epoch = again.authority.feed.epoch
    await again.authority.endings.expire()
    await again.authority.feed.beat()
    assert again.authority.feed.epoch == epoch, "one mistake costs one epoch"


@pytest.mark.interpreted("the clock's own module is given another date")
async def test_a_gateway_that_starts_after_a_date_ahead_accepts_nothing_of_before(
    house: Build, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The authority lives through it. What it forgot by the wrong date, a gateway with the right one has never heard of."""
    clock = Jumping(monkeypatch)
    door = await house(clock=clock)
    authority, old = door.doorward.authority, door.doorward.standing
    before = authority.feed.epoch
    live = await door.token("items.read")
    assert await asked(door, live) == OK
    principal = old.remembered[live.encode()]
    assert await door.tell(f"/tasks/{principal.task}/revoke", "admin.sock") == 200
    clock.jump(KEEP_SPENT + 86_400)
    await authority.endings.expire()
    assert not await authority.store.revocations(0)
    assert authority.feed.epoch == before
    clock.jump(-KEEP_SPENT - 86_400)
    await authority.endings.expire()
    begun = await standing_of(door)
    assert begun.ended.isdisjoint(principal.marks), "nobody knows any more that it was revoked"
    with pytest.raises(Refusal, match="token_invalid"):
        still_good(principal, begun)
    await authority.endings.expire()
    assert (await standing_of(door)).epoch == begun.epoch != before, "one mistake costs one epoch"


async def standing_of(door: House) -> Standing:
    """What a gateway knows that starts now, with the date of now."""
    old = door.doorward.standing
    fresh = Standing(
        Clock(), issuer=old.issuer, audience=old.audience, tenants=old.tenants, prefix=old.prefix.decode(), max_staleness=5.0
    )
    await door.doorward.authority.feed.subscribe(fresh)
    return fresh


async def test_a_task_that_ended_by_a_date_ahead_stays_ended(house: Build) -> None:
    """It looked expired when it was revoked, nothing was swept before the end, and the date was put right."""
    clock = SetClock()
    door = await house(clock=clock)
    issued = await door.issue("items.read")
    clock.ahead = 30 * 86_400.0
    assert (await door.doorward.authority.tasks.revoke(issued["task"], "operator")).state == "expired"
    await door.stop()
    again = Doorward(load(door.folder / "doorward.yaml"), SetClock())
    door.doorward = again
    await again.start()
    door.stack.push_async_callback(again.stop)
    assert await asked(door, issued["access_token"]) == REVOKED


async def notices(door: House) -> list[str]:
    async with Fetch() as fetch:
        answer = await fetch.request("GET", "http://doorward/readyz", unix=str(door.folder / "admin.sock"))
    told: list[str] = answer.json()["notices"]
    return told


async def beaten(door: House) -> None:
    """Wait for the next heartbeat, in which what is over is forgotten."""
    before = door.doorward.standing._beaten
    async with asyncio.timeout(20):
        while door.doorward.standing._beaten == before:
            await asyncio.sleep(0.02)


@pytest.mark.interpreted("the clock's own module is given another date")
async def test_after_a_suspension_nothing_is_accepted_before_a_heartbeat(house: Build, monkeypatch: pytest.MonkeyPatch) -> None:
    """The sleep counts as silence: the first requests after it are refused until the store was read again."""
    clock = Jumping(monkeypatch)
    door = await house(clock=clock)
    dead, live = await ended(door), await door.token("items.read")
    clock.suspend(120)
    client = await door.connect()
    answers = []
    for token in (live, dead):
        await client.send(get("/api/items", token))
        answer = await client.answer()
        answers.append(answer.status if answer.status == OK else answer.problem["code"])
    assert answers[0] in (STALE, OK)
    assert answers[1] in (STALE, REVOKED)
    await beaten(door)
    assert await asked(door, dead) == REVOKED
    assert await asked(door, live) == OK
