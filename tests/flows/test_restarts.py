"""Authority and store start anew while requests pass: not one valid request is refused, and not one revoked is accepted."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from fakes.house import Build, House, RawClient, get
from fakes.redis_server import RedisProcess, need_redis
from fakes.sidecars import OVER_UNIX, BesideHouse

from gateway.clock import Clock

PACE = 500
"""Requests a second that are asked for; a slow machine asks for fewer, and judges each of them all the same."""
LANES = 10


class Traffic:
    """Kept connections that ask with one token each, again and again; counts what they are answered."""

    def __init__(self, address: str, tokens: list[str]) -> None:
        self.answers: dict[str, Counter[tuple[int, str | None]]] = {token: Counter() for token in tokens}
        self.address = address
        self.over = False
        self.lanes = [asyncio.create_task(self._ask(tokens[number % len(tokens)])) for number in range(LANES)]

    async def _ask(self, token: str) -> None:
        host, _, port = self.address.rpartition(":")
        client = RawClient(*await asyncio.open_connection(host, int(port)))
        while not self.over:
            await client.send(get("/api/items", token))
            answer = await client.answer()
            self.answers[token][answer.status, None if answer.status == 200 else answer.problem["code"]] += 1
            await asyncio.sleep(LANES / PACE)
        await client.close()

    @property
    def count(self) -> int:
        return sum(sum(counted.values()) for counted in self.answers.values())

    async def more(self, number: int) -> None:
        """Wait until so many more requests were answered."""
        until = self.count + number
        while self.count < until:
            for lane in self.lanes:
                assert not lane.done() or lane.exception() is None
            await asyncio.sleep(0.01)

    async def stop(self) -> None:
        self.over = True
        await asyncio.gather(*self.lanes)


@pytest.fixture
async def beside() -> AsyncIterator[Callable[[House], BesideHouse]]:
    """Makes sidecars, which stop before the Doorward that they follow."""
    async with AsyncExitStack() as stack:
        yield lambda door: BesideHouse(door, Clock(), stack, OVER_UNIX, "side")


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0.01)


async def revoked(door: House, issued: dict, side: BesideHouse) -> None:
    """End a task, and wait until the gateway has heard of it."""
    assert await door.tell(f"/tasks/{issued['task']}/revoke", "admin.sock") == 200
    await until(lambda: f"task:{issued['task']}" in side.sidecar._gateway.standing.ended)


OK = (200, None)
REVOKED = (401, "token_revoked")


async def test_the_authority_starts_anew_under_load(house: Build, beside: Callable[[House], BesideHouse]) -> None:
    """A gateway elsewhere serves on while its authority is away, and what was revoked before and after stays refused."""
    door = await house()
    live, before, after = [await door.issue("items.read") for _ in range(3)]
    side = beside(door)
    await side.start()
    await revoked(door, before, side)
    traffic = Traffic(side.sidecar.addresses[0], [live["access_token"], before["access_token"]])
    await traffic.more(200)
    await door.doorward.stop()
    await traffic.more(300)
    again = await house()
    beats = side.sidecar._gateway.standing.epoch
    await revoked(again, after, side)
    assert side.sidecar._gateway.standing.epoch == beats
    late = Traffic(side.sidecar.addresses[0], [after["access_token"]])
    await traffic.more(300)
    await late.more(20)
    renewed = await again.issue(task=live["task"])
    assert (await side.get(renewed["access_token"])) == OK
    await traffic.stop()
    await late.stop()
    assert traffic.answers[live["access_token"]].keys() == {OK}
    assert traffic.answers[before["access_token"]].keys() == {REVOKED}
    assert late.answers[after["access_token"]].keys() == {REVOKED}


async def test_the_store_starts_anew_under_load(house: Build, tmp_path: Path) -> None:
    """Redis is killed and comes back: requests pass, tokens are not to be had meanwhile, and nothing is forgotten."""
    need_redis()
    redis = RedisProcess(tmp_path / "redis").start()
    try:
        door = await house(store=f"{{redis: {{url: '{redis.url}', folder: '{tmp_path / 'authority'}'}}}}")
        live, before = await door.issue("items.read"), await door.issue("items.read")
        assert await door.tell(f"/tasks/{before['task']}/revoke", "admin.sock") == 200
        epoch = door.doorward.standing.epoch
        traffic = Traffic(door.doorward.addresses[0], [live["access_token"], before["access_token"]])
        await traffic.more(200)
        redis.kill()
        assert await door.tell(f"/tasks/{live['task']}/heartbeat") == 503
        await traffic.more(300)
        redis.start()
        seen: list[int] = []
        while not seen or seen[-1] != 200:
            seen.append(await door.tell(f"/tasks/{live['task']}/heartbeat"))
            await asyncio.sleep(0.05)
        await traffic.more(300)
        assert (await door.issue(task=live["task"]))["task"] == live["task"]
        await traffic.stop()
        assert set(seen) <= {200, 503}
        assert door.doorward.standing.epoch == epoch
        assert traffic.answers[live["access_token"]].keys() == {OK}
        assert traffic.answers[before["access_token"]].keys() == {REVOKED}
        await door.stop()
    finally:
        redis.kill()
