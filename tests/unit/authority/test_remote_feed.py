"""Following an authority in another process: without a gap, never fresher than it is, and closed when in doubt."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
from aiohttp import web
from fakes.clock import TurnedClock

from gateway.authority import remote as remote_module
from gateway.authority import wire
from gateway.authority.addresses import parse_address
from gateway.authority.place import Place
from gateway.authority.remote import RemoteFeed
from gateway.clock import Clock
from gateway.endpoints.sites import Site, start_site
from gateway.http.unix_socket import OWNER_ONLY
from gateway.identity.standing import Standing
from gateway.model import Revocation

Script = Callable[[web.Request, web.StreamResponse], Awaitable[None]]


class Line:
    """A scripted authority on a Unix socket, and a standing that follows it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.clock = TurnedClock()
        self.asked: list[str] = []
        self.scripts: list[Script] = []
        self.site: Site | None = None
        self.standing = Standing(
            self.clock, issuer="http://a", audience="doorward", tenants=frozenset(("t",)), prefix="dwt_", max_staleness=10.0
        )
        self.feed = RemoteFeed(Place("http://doorward", str(folder / "a.sock")), self.clock, policy=lambda: "here")

    async def open(self) -> None:
        application = web.Application()
        application.add_routes([web.get("/feed", self._answer)])
        self.site = await start_site(
            application,
            [parse_address("unix:a.sock")],
            mode=OWNER_ONLY,
            resolve=self.folder.joinpath,
            clock=self.clock,
            grace=0.1,
        )

    async def close(self) -> None:
        await self.feed.stop()
        if self.site is not None:
            await self.site.stop()

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        self.asked.append(request.query_string.partition("&gateway=")[0])
        response = web.StreamResponse()
        await response.prepare(request)
        script = self.scripts.pop(0) if len(self.scripts) > 1 else self.scripts[0]
        await script(request, response)
        assert request.transport is not None
        request.transport.close()
        return response


@pytest.fixture
async def line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Line]:
    """A line whose authority does not listen yet."""
    monkeypatch.setattr(remote_module, "PATIENCE", 0.2)
    monkeypatch.setattr(remote_module, "LONGEST_PAUSE", 0.1)
    made = Line(tmp_path)
    yield made
    await made.close()


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0.01)


def revoked(seq: int) -> bytes:
    return wire.revoked(Revocation(seq, 1.0, "task", f"t{seq}", "failed", Clock().now() + 3600))


def says(*events: bytes, stay: bool = False, resumed: bool = False, at: float | None = None) -> Script:
    async def script(_request: web.Request, response: web.StreamResponse) -> None:
        begun = Clock().boot() if at is None else at
        for event in (wire.start(epoch_kept=resumed, at=begun), *events):
            await response.write(event)
        if stay:
            await asyncio.sleep(30)

    return script


def beat(seq: int, epoch: str = "ab", at: float | None = None) -> bytes:
    return wire.beat(wire.Beat(epoch, seq, Clock().boot() if at is None else at, 0.0, "there"))


async def test_it_goes_on_where_it_was(line: Line):
    """A line that is cut begins again after what was heard last, be it a heartbeat or a revocation."""
    line.scripts = [
        says(revoked(1), beat(3), revoked(4)),
        says(revoked(5), beat(5), resumed=True, stay=True),
    ]
    await line.open()
    await line.feed.subscribe(line.standing)
    await until(lambda: line.standing.seq == 5)
    assert line.asked == ["epoch=&after=0", "epoch=ab&after=4"]
    assert line.standing.ended == {"task:t1", "task:t4", "task:t5"}
    assert not line.standing.stale


async def test_another_epoch_brings_everything_anew(line: Line):
    """When the authority does not resume, what was known is forgotten, and nothing is accepted until the heartbeat."""
    halfway = asyncio.Event()

    async def anew(_request: web.Request, response: web.StreamResponse) -> None:
        await response.write(wire.start(epoch_kept=False, at=Clock().boot()) + revoked(1))
        await halfway.wait()
        await response.write(beat(1, "cd"))
        await asyncio.sleep(30)

    line.scripts = [says(revoked(8), beat(9)), anew]
    await line.open()
    await line.feed.subscribe(line.standing)
    await until(lambda: line.standing.ended == {"task:t1"})
    assert line.standing.stale
    halfway.set()
    await until(lambda: not line.standing.stale)
    assert (line.standing.epoch, line.standing.seq) == ("cd", 1)


async def test_what_cannot_be_read_is_not_skipped(line: Line):
    """An event of a later version closes the gateway at once, and everything has to come anew; only then it accepts."""
    strange = b'event: revoked\ndata: {"seq":2,"time":1,"kind":"galaxy","id":"x","cause":"c","until":2}\n\n'
    line.scripts = [says(beat(1)), says(strange, beat(2), resumed=True)]
    await line.open()
    await line.feed.subscribe(line.standing)
    await until(lambda: len(line.asked) > 3)
    assert line.standing.stale
    assert line.asked[:3] == ["epoch=&after=0", "epoch=ab&after=1", "epoch=&after=0"]
    assert line.feed.troubles() == ("the feed cannot be read: an event is of an unknown kind",)


async def test_events_before_the_start_are_not_believed(line: Line):
    """A stream has one start, before everything else."""

    async def headless(_request: web.Request, response: web.StreamResponse) -> None:
        await response.write(beat(1))

    line.scripts = [headless]
    await line.open()
    await line.feed.subscribe(line.standing)
    await until(lambda: line.feed.troubles() == ("the feed cannot be read: a stream has one start, before everything else",))
    assert line.standing.stale


async def test_what_was_long_under_way_makes_nothing_fresh(line: Line):
    """A heartbeat counts from its read of the store, on the other machine's clock: delayed by a minute it is a minute old."""
    there = 1_000_000.0
    line.scripts = [says(beat(1, at=there), stay=True, at=there + 60)]
    await line.open()
    await line.feed.subscribe(line.standing)
    await until(lambda: line.standing.seq == 1)
    assert line.standing.stale
    assert line.feed.troubles() == ()


async def test_clocks_that_differ_do_not_matter(line: Line):
    """The boot times of two machines have nothing in common; only what passes on each is counted."""
    there = 5.0
    line.scripts = [says(beat(1, at=there + 0.1), stay=True, at=there)]
    await line.open()
    await line.feed.subscribe(line.standing)
    assert not line.standing.stale
    line.clock.ahead = 11.0
    assert line.standing.stale


async def test_silence_is_hung_up_on(line: Line, monkeypatch: pytest.MonkeyPatch):
    """A frozen authority is dialled anew, and so is one that answers no request."""
    monkeypatch.setattr(remote_module, "SILENCE", 0.2)
    line.scripts = [says(beat(1), stay=True), says(beat(2), resumed=True, stay=True)]
    await line.open()
    await line.feed.subscribe(line.standing)
    await until(lambda: line.standing.seq == 2)
    assert line.asked[1] == "epoch=ab&after=1"


async def test_an_old_line_is_replaced(line: Line, monkeypatch: pytest.MonkeyPatch):
    """After a while the clocks are compared anew, on a new line that goes on where the old one was."""
    monkeypatch.setattr(remote_module, "LIFE", 0.0)
    line.scripts = [says(beat(1), stay=True), says(beat(1), resumed=True, stay=True)]
    await line.open()
    await line.feed.subscribe(line.standing)
    await until(lambda: len(line.asked) > 2)
    assert line.feed.troubles() == ()
    assert set(line.asked[1:]) == {"epoch=ab&after=1"}


async def test_after_a_long_absence_everything_comes_anew(line: Line, monkeypatch: pytest.MonkeyPatch):
    """A restoration is forgotten some day, so who was away for long starts from nothing."""
    monkeypatch.setattr(remote_module, "RESUMED_WITHIN", -1.0)
    line.scripts = [says(beat(1))]
    await line.open()
    await line.feed.subscribe(line.standing)
    await until(lambda: len(line.asked) > 1)
    assert set(line.asked) == {"epoch=&after=0"}


async def test_an_authority_that_is_not_there_is_waited_for(line: Line):
    """The start returns, the standing accepts nothing, and all is well as soon as the authority is there."""
    line.scripts = [says(beat(1), stay=True)]
    await line.feed.subscribe(line.standing)
    assert line.standing.stale
    assert "cannot be reached" in line.feed.troubles()[0]
    await line.open()
    await until(lambda: not line.standing.stale)
    assert line.feed.troubles() == ()
    assert line.feed.notices() == ("the authority's policy is there and that of this gateway here; both have to allow",)


@pytest.mark.interpreted("a method of a compiled object cannot be replaced")
async def test_keys_that_stay_the_same_are_no_news(line: Line):
    """Verified tokens stay remembered over a new line, unless the keys have changed."""
    told: list[str] = []
    line.standing.keys = lambda _issuer, jwks: told.append(json.dumps(jwks))  # type: ignore[method-assign,assignment]
    first, second = wire.keys("http://a", {"keys": [1]}), wire.keys("http://a", {"keys": [2]})
    line.scripts = [says(first, beat(1)), says(first, beat(1), resumed=True), says(second, beat(1), resumed=True, stay=True)]
    await line.open()
    await line.feed.subscribe(line.standing)
    await until(lambda: len(line.asked) == 3 and len(told) == 2)
    assert told == ['{"keys": [1]}', '{"keys": [2]}']


async def test_a_renewal_that_was_taken_back_meanwhile_counts_no_more(line: Line):
    """What a line announced and the next one does not is taken back at its heartbeat, and the rest stays."""
    end = Clock().now() + 600
    line.scripts = [
        says(wire.renewed("kept", end), wire.renewed("gone", end), beat(1)),
        says(wire.renewed("kept", end), beat(2), resumed=True, stay=True),
    ]
    await line.open()
    await line.feed.subscribe(line.standing)
    await until(lambda: line.standing.seq == 2)
    assert line.standing.renewals.until("kept") == end
    assert line.standing.renewals.until("gone") == 0
