"""What is kept and not asked for, and what is closed while it is under way."""

import asyncio
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import pytest

from gateway.clock import Clock
from gateway.fetched import FetchError
from gateway.identity import kept as kept_module
from gateway.identity.kept import FRESH, INTERVAL, STALE, ContentProblem, KeptFetch, KeptFile, KeptStream, UnavailableError


class Source:
    """Gives a number that grows, or fails."""

    def __init__(self) -> None:
        self.asked, self.fails = 0, False
        self.gate = asyncio.Event()
        self.gate.set()

    async def fetch(self) -> int:
        self.asked += 1
        await self.gate.wait()
        if self.fails:
            raise FetchError("it is away")
        return self.asked


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_to_look_at_what_is_fetched_renews_it_and_waits_for_nothing(clock: Any) -> None:
    """Whoever looks every second keeps it fresh, within the interval, and for a bounded time if it fails."""
    source = Source()
    kept = KeptFetch(source.fetch, what="the number", clock=clock)
    assert kept.latest() is None
    await settle()
    assert kept.latest() == 1
    clock.seconds += FRESH
    assert kept.latest() == 1
    await settle()
    assert (kept.latest(), source.asked) == (2, 2)
    source.fails = True
    clock.seconds += STALE
    assert kept.latest() == 2
    await settle()
    assert kept.trouble() == "the number cannot be had: it is away"
    clock.seconds += 1
    assert kept.latest() is None
    assert source.asked == 3


async def test_a_fetch_that_is_wanted_no_more_ends(clock: Any) -> None:
    """Closed, it leaves no task behind."""
    source = Source()
    source.gate.clear()
    kept = KeptFetch(source.fetch, what="the number", clock=clock)
    kept.latest()
    await settle()
    assert clock.running == {"the number"}
    kept.close()
    await settle()
    assert not clock.running


async def test_a_file_that_is_gone_is_known_for_a_bounded_time(tmp_path: Path, clock: Any) -> None:
    """To whoever looks, too."""
    path = tmp_path / "number"
    path.write_text("7")
    kept = KeptFile(path, int, limit=10, what="the number", clock=clock)
    assert kept.latest() == await kept.renewed() == 7
    assert kept.trouble() is None
    path.unlink()
    assert str(kept.trouble()).endswith("number cannot be used: no such file or directory")
    clock.seconds += STALE
    assert kept.latest() == 7
    clock.seconds += 1
    assert kept.latest() is None
    with pytest.raises(UnavailableError, match="the number cannot be read from its file any more"):
        await kept.current()


async def test_attempts_to_follow_become_rare(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each pause is twice as long as the one before, up to the interval; a good word begins anew."""
    pauses: list[float] = []

    class Pausing(Clock):
        async def sleep(self, seconds: float) -> None:
            pauses.append(seconds)
            await asyncio.sleep(0 if len(pauses) < 9 else 3600)

    async def follow() -> AsyncGenerator[int, None]:
        if len(pauses) == 7:
            yield 1
        raise ContentProblem("it is broken")

    monkeypatch.setattr(kept_module, "FIRST", 10.0)
    kept = KeptStream(follow, what="the number", clock=Pausing())
    with pytest.raises(UnavailableError, match="the number cannot be had: it is broken"):
        await kept.current()
    async with asyncio.timeout(10):
        while len(pauses) < 9:
            await asyncio.sleep(0)
    kept.close()
    await settle()
    assert pauses == [1, 2, 4, 8, 16, INTERVAL, INTERVAL, 1, 2]


async def test_a_stream_that_ends_well_is_followed_anew() -> None:
    """Its last word stays for a bounded time."""

    class Patient(Clock):
        async def sleep(self, _seconds: float) -> None:
            await asyncio.sleep(3600)

    async def follow() -> AsyncGenerator[int, None]:
        yield 1

    kept = KeptStream(follow, what="the number", clock=Patient())
    assert await kept.renewed() == 1
    await settle()
    assert (kept.latest(), kept.trouble()) == (1, "the number cannot be had: it ended the stream")
    kept.close()
    await settle()
