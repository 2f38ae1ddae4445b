"""Follows the feed of an authority in another process, and comes back to it without a gap; knows nothing of what it tells."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import aclosing, suppress
from typing import Any, Final, Protocol, final

from gateway import telemetry
from gateway.authority import wire
from gateway.authority.feed import Subscriber
from gateway.authority.lending import Line
from gateway.authority.place import Place
from gateway.authority.remote_lender import RemoteLender
from gateway.clock import Clock
from gateway.fetch import Fetch, FetchError
from gateway.limits.wishes import Lender
from gateway.model import Restoration, Revocation

SILENCE: Final = 4.0
"""Seconds without a heartbeat after which the line is given up and dialled anew; they come every second."""
LIFE: Final = 600.0
"""Seconds after which a good line is replaced: so far two machines' clocks may drift apart before they are compared anew."""
RESUMED_WITHIN: Final = 3600.0
"""Seconds after the last heartbeat within which a line goes on where the last one ended; later everything comes anew."""
FIRST_PAUSE: Final = 0.05
LONGEST_PAUSE: Final = 0.5
"""Seconds before the first attempt to come back, doubled with each one that fails, up to the longest."""
PATIENCE: Final = 2.0
"""Seconds for which a start waits until all is known; after that it listens, and refuses until then."""

_DRAWN: Final = 4096
_log = telemetry.logger("feed")


class Forgetful(Subscriber, Protocol):
    """A subscriber that can be told that what it knows may be wrong."""

    def anew(self) -> None:
        """Accept nothing until everything has come anew, up to a heartbeat."""
        ...


class Borrower(Line, Protocol):
    """The leases of a gateway."""

    def restate(self) -> None:
        """Say again what is held, to a lender that may have forgotten."""
        ...


@final
class RemoteFeed:
    """The line to one authority. It fails closed: what it cannot read is not skipped, and silence makes the gateway stale."""

    def __init__(self, place: Place, clock: Clock, *, policy: Callable[[], str], name: str = "") -> None:
        """`policy` tells the digest of this gateway's own policy; `name` is what leases know this process by, no other's."""
        self._name: Final = name or clock.identifier()
        self._lender: RemoteLender | None = None
        self._borrower: Borrower | None = None
        self._place: Final = place
        self._clock: Final = clock
        self._policy: Final = policy
        self._fetch: Final = Fetch()
        self._caught_up: Final = asyncio.Event()
        self._line: _Line | None = None
        self._running: asyncio.Task[None] | None = None
        self._trouble = "the authority has not been heard yet"
        self.lost = 0
        """How often a line ended that was not just old, or could not be had."""

    async def subscribe(self, subscriber: Forgetful) -> None:
        """Begin to follow. When this returns all is known, or it was waited for as long as `PATIENCE`."""
        self._line = _Line(subscriber, self._clock, self._caught_up)
        self._running = self._clock.spawn(self._follow(self._line), "feed of the authority")
        with suppress(TimeoutError):
            async with asyncio.timeout(PATIENCE):
                await self._caught_up.wait()

    async def lend(self, borrower: "Borrower") -> Lender:
        """Let a gateway's leases ask over this line; whenever the line is new, they say again what they hold."""
        self._lender = RemoteLender(self._place, self._name, self._fetch, self._clock)
        self._borrower = borrower
        return self._lender

    async def stop(self) -> None:
        """Hang up."""
        if self._lender is not None:
            await self._lender.stop()
        if self._running is not None:
            self._running.cancel()
            with suppress(asyncio.CancelledError):
                await self._running
        await self._fetch.close()

    def troubles(self) -> Sequence[str]:
        """Why the authority is not heard now; nothing while it is."""
        return (self._trouble,) if self._trouble else ()

    @property
    def differs(self) -> bool:
        """Whether the authority's policy, as far as it was heard, is another than this gateway's."""
        return self._line is not None and self._line.policy not in ("", self._policy())

    def notices(self) -> Sequence[str]:
        """What operators should know while requests are served."""
        if not self.differs:
            return ()
        heard = "" if self._line is None else self._line.policy
        return (f"the authority's policy is {heard} and that of this gateway {self._policy()}; both have to allow",)

    async def _follow(self, line: "_Line") -> None:
        pause = FIRST_PAUSE
        while True:
            beats = line.beats
            problem = await self._listen(line)
            self.lost += problem != ""
            if problem and problem != self._trouble:
                _log.warning("feed_lost", problem=problem)
            self._trouble = problem
            pause = FIRST_PAUSE if line.beats > beats else min(2 * pause, LONGEST_PAUSE)
            # Many gateways that lost one authority do not come back all at once.
            drawn = int(self._clock.identifier()[:3], 16) / _DRAWN
            await self._clock.sleep(pause * (0.5 + drawn / 2))

    async def _listen(self, line: "_Line") -> str:
        """One line, from its beginning to its end; returns what ended it, or nothing if it has only grown old."""
        line.dial()
        epoch, after = line.position()
        url = f"{self._place.url}/feed?epoch={epoch}&after={after}&gateway={self._name}"
        try:
            read = self._fetch.stream(url, patience=SILENCE, unix=self._place.unix, tls=self._place.context)
            async with aclosing(read) as pieces:
                waiting = bytearray()
                async for piece in pieces:
                    waiting += piece
                    for name, members in wire.events(waiting):
                        self._hear(line, name, members)
                    if line.is_old():
                        return ""
        except FetchError as error:
            return str(error)
        except wire.MalformedEventError as error:
            line.doubt()
            _log.error("feed_unreadable", problem=str(error))
            return f"the feed cannot be read: {error}"
        return "the authority ended the feed"

    def _hear(self, line: "_Line", name: str, members: Mapping[str, Any]) -> None:
        if name == "reply":
            reply = wire.reply(members)
            if self._borrower is not None:
                self._borrower.hear(reply)
            return
        first = name == "beat" and not line.fresh
        line.hear(name, members)
        self._trouble = "" if name == "beat" else self._trouble
        if first and self._borrower is not None:
            self._borrower.restate()


@final
class _Line:
    """Where a follower is: in which epoch, up to which number, and how far the other machine's clock is from this one's."""

    def __init__(self, subscriber: Forgetful, clock: Clock, caught_up: asyncio.Event) -> None:
        self._to: Final = subscriber
        self._clock: Final = clock
        self._caught_up: Final = caught_up
        self._epoch = ""
        self._seq = 0
        self._offset = 0.0
        self._dialled = 0.0
        self._beaten = 0.0
        self._begun = False
        self._jwks: tuple[str, Mapping[str, object]] | None = None
        self._renewed: dict[str, float] = {}
        self._stale: dict[str, float] = {}
        """Until when the tokens of tasks are good, as this line and those before it have announced."""
        self.fresh = False
        """Whether this line has brought a heartbeat."""
        self.beats = 0
        self.policy = ""

    def dial(self) -> None:
        """A line begins now."""
        self._dialled = self._clock.boot()
        self._begun = self.fresh = False

    def hear(self, name: str, members: Mapping[str, Any]) -> None:
        """One event of the line. Raises `MalformedEventError`."""
        if (name == "start") == self._begun:
            raise wire.MalformedEventError("a stream has one start, before everything else")
        wire.tell(self, name, members)

    def is_old(self) -> bool:
        """Whether the clocks have to be compared anew."""
        return self._clock.boot() - self._dialled > LIFE

    def position(self) -> tuple[str, int]:
        """Where to go on; from the beginning after a long absence, in which a restoration could have been forgotten."""
        resumed = self._epoch and self._clock.boot() - self._beaten <= RESUMED_WITHIN
        return (self._epoch, self._seq) if resumed else ("", 0)

    def doubt(self) -> None:
        """Something could not be read, so nothing of what is known can be relied on."""
        self._epoch, self._seq = "", 0
        self._stale, self._renewed = {}, {}
        self._to.anew()

    def started(self, start: wire.Start) -> None:
        """The authority wrote `at` after this side had dialled: its clock is ahead of ours by that much, or a little less."""
        self._offset = self._dialled - start.at
        self._begun = True
        self._stale, self._renewed = {**self._stale, **self._renewed}, {}
        if not start.resumed:
            self.doubt()

    def beaten(self, beat: wire.Beat) -> None:
        """The read of the store began at that time, or a little later: so it is never taken for fresher than it is."""
        for task, until in self._stale.items():  # taken back while this side was away
            if task not in self._renewed and until > self._clock.now():
                self._to.renewed(task, 0.0)
        self._stale = {}
        self._seq = beat.seq if beat.epoch != self._epoch else max(self._seq, beat.seq)
        self._epoch, self.policy = beat.epoch, beat.policy
        self.beats += 1
        self.fresh = True
        self._beaten = self._clock.boot()
        self._to.beat(beat.epoch, beat.seq, min(self._beaten, beat.at + self._offset), beat.horizon)
        self._caught_up.set()

    def keys(self, issuer: str, jwks: Mapping[str, object]) -> None:
        """Keys that have not changed are no news: verified tokens stay remembered over a new line."""
        if (issuer, jwks) != self._jwks:
            self._jwks = (issuer, jwks)
            self._to.keys(issuer, jwks)

    def revoked(self, revocation: Revocation) -> None:
        """Pass it on, and go on after it."""
        self._seq = max(self._seq, revocation.seq)
        self._to.revoked(revocation)

    def restored(self, restoration: Restoration) -> None:
        """Pass it on, and go on after it."""
        self._seq = max(self._seq, restoration.seq)
        self._to.restored(restoration)

    def renewed(self, task: str, until: float) -> None:
        """Pass it on."""
        self._renewed.pop(task, None)
        if until > self._clock.now():
            self._renewed[task] = until
        self._to.renewed(task, until)
