"""Keeps what is read elsewhere as current as it can be had, and for no longer than a bound; knows not what it is.

What its place removes is gone with the next reading. When a reading fails, the last good one serves on for a bounded time.
"""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from pathlib import Path
from typing import Final, Generic, Protocol, TypeVar, final

from gateway import telemetry
from gateway.clock import Clock
from gateway.fetched import FetchError
from gateway.looks import looks

FRESH: Final = 300.0
"""Seconds for which what was fetched is used without asking again."""
STALE: Final = 1800.0
"""Seconds for which it serves at most, counted from the last time it could be read."""
INTERVAL: Final = 30.0
"""Seconds between two fetches, whatever asks for them, and the longest pause between two attempts to follow a stream."""
FIRST: Final = 5.0
"""Seconds for which whoever needs it waits for the first word of a stream."""
_PAUSE: Final = 1.0

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)
_log = telemetry.logger("identity")


class ContentProblem(Exception):
    """What was read cannot be used; the text is a clause for an operator and shows nothing of it."""


class UnavailableError(Exception):
    """What is kept cannot be had now; the sentence may be shown to a caller."""

    def __init__(self, sentence: str) -> None:
        """`sentence` says what cannot be had and why."""
        super().__init__(sentence)
        self.sentence: Final = sentence


class Kept(Protocol[T_co]):
    """One thing that is read elsewhere."""

    async def current(self) -> T_co:
        """As it is now, or as it last could be read. Raises `UnavailableError`."""
        ...

    async def renewed(self) -> T_co:
        """The same, read anew if that was not done just now: something that should be there was missed."""
        ...

    def latest(self) -> T_co | None:
        """What is known, without waiting; it is renewed meanwhile if it is old. None if it cannot be had."""
        ...

    def trouble(self) -> str | None:
        """Why it could not be read the last time, as a sentence for an operator; None if it could, or nobody asked for it."""
        ...

    def close(self) -> None:
        """It is needed no more."""
        ...


@final
class KeptFile(Generic[T]):
    """A file, read again when it changes."""

    def __init__(self, path: Path, read: Callable[[bytes], T], *, limit: int, what: str, clock: Clock) -> None:
        """Read the file now. `read` is given at most one byte more than `limit` and says no to what is too large.

        `what` is for errors, as in "the issuer's key set". Raises `ValueError` when the file cannot be used.
        """
        self._path = path
        self._parse = read
        self._limit = limit
        self._what = what
        self._clock = clock
        try:
            self._version = looks(path.stat())
            self._value = self._read()
        except (OSError, ContentProblem) as error:
            raise ValueError(f"{what} in {path} cannot be used: {_reason(error)}") from None
        self._read_at = clock.boot()
        self._problem: str | None = None

    async def current(self) -> T:
        """The content as it is now, or as it last could be read."""
        self._refresh()
        if self._clock.boot() - self._read_at > STALE:
            raise UnavailableError(f"{self._what} cannot be read from its file any more")
        return self._value

    async def renewed(self) -> T:
        """The same: a change is always noticed."""
        return await self.current()

    def latest(self) -> T | None:
        """The content as it is now, or as it last could be read."""
        self._refresh()
        return self._value if self._clock.boot() - self._read_at <= STALE else None

    def trouble(self) -> str | None:
        """Why the file that is there now is not the one in use."""
        self._refresh()
        return None if self._problem is None else f"{self._what} in {self._path} cannot be used: {self._problem}"

    def close(self) -> None:
        """Nothing is open."""

    def _refresh(self) -> None:
        try:
            version = looks(self._path.stat())
            if version != self._version:
                self._value = self._read()
                self._version = version
        except (OSError, ContentProblem) as error:
            self._problem = _reason(error)
            return
        self._read_at, self._problem = self._clock.boot(), None

    def _read(self) -> T:
        with self._path.open("rb") as file:
            return self._parse(file.read(self._limit + 1))


@final
class KeptFetch(Generic[T]):
    """What is fetched, when it is first needed and when it is old."""

    def __init__(self, fetch: Callable[[], Awaitable[T]], *, what: str, clock: Clock) -> None:
        """`fetch` raises `FetchError` and `ContentProblem`. `what` is for errors, as in "the keys of issuer X"."""
        self._fetch = fetch
        self._what = what
        self._clock = clock
        self._value: T | None = None
        self._fetched_at: float | None = None
        self._tried_at: float | None = None
        self._problem: str | None = None
        self._refreshing: asyncio.Task[None] | None = None

    async def current(self) -> T:
        """What was fetched; fetched anew first if it is old."""
        if self._age() >= FRESH:
            await self._refreshed()
        return self._good()

    async def renewed(self) -> T:
        """Fetched anew, at most once an interval."""
        await self._refreshed()
        return self._good()

    def latest(self) -> T | None:
        """What was fetched; if it is old, a fetch begins."""
        if self._age() >= FRESH:
            self._refresh()
        return self._value if self._age() <= STALE else None

    def trouble(self) -> str | None:
        """Why the last fetch has failed."""
        return None if self._problem is None else f"{self._what} cannot be had: {self._problem}"

    def close(self) -> None:
        """A fetch that is under way is wanted no more."""
        if self._refreshing is not None:
            self._refreshing.cancel()

    def _age(self) -> float:
        return float("inf") if self._fetched_at is None else self._clock.boot() - self._fetched_at

    def _good(self) -> T:
        if self._value is None or self._age() > STALE:
            raise UnavailableError(f"{self.trouble()}; try again in {INTERVAL:g} seconds")
        return self._value

    async def _refreshed(self) -> None:
        if (refreshing := self._refresh()) is not None:
            # Shielded: a caller that goes away must not take the fetch from the others who wait for it.
            await asyncio.shield(refreshing)

    def _refresh(self) -> asyncio.Task[None] | None:
        """Begin a fetch, or find the one that is under way; none if the last one was just now."""
        if self._refreshing is None:
            now = self._clock.boot()
            if self._tried_at is not None and now - self._tried_at < INTERVAL:
                return None
            self._tried_at = now
            self._refreshing = self._clock.spawn(self._fetch_now(now), self._what)
        return self._refreshing

    async def _fetch_now(self, now: float) -> None:
        try:
            self._value = await self._fetch()
            self._fetched_at, self._problem = now, None
        except (FetchError, ContentProblem) as error:
            self._problem = str(error)
        finally:
            self._refreshing = None


@final
class KeptStream(Generic[T]):
    """What another program tells anew whenever it changes, followed from the first question on."""

    def __init__(self, follow: Callable[[], AsyncGenerator[T, None]], *, what: str, clock: Clock) -> None:
        """`follow` yields the whole of it each time, and raises `FetchError` and `ContentProblem`."""
        self._follow = follow
        self._what = what
        self._clock = clock
        self._value: T | None = None
        self._told_at: float | None = None
        self._following = False
        self._problem: str | None = None
        self._heard = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def current(self) -> T:
        """What was told last; the first word is waited for."""
        self._begin()
        if not self._heard.is_set():
            try:
                async with asyncio.timeout(FIRST):
                    await self._heard.wait()
            except TimeoutError:
                raise UnavailableError(f"{self._what} cannot be had: nothing was said for {FIRST:g} seconds") from None
        value = self.latest()
        if value is None:
            raise UnavailableError(self.trouble() or f"{self._what} cannot be had")
        return value

    async def renewed(self) -> T:
        """The same: a change is told at once."""
        return await self.current()

    def latest(self) -> T | None:
        """What was told last, while it is told; and for a bounded time after that."""
        self._begin()
        if self._told_at is None or (not self._following and self._clock.boot() - self._told_at > STALE):
            return None
        return self._value

    def trouble(self) -> str | None:
        """Why nothing is told now."""
        return None if self._problem is None else f"{self._what} cannot be had: {self._problem}"

    def close(self) -> None:
        """Follow no more."""
        if self._task is not None:
            self._task.cancel()

    def _begin(self) -> None:
        if self._task is None:
            self._task = self._clock.spawn(self._run(), self._what)

    async def _run(self) -> None:
        pause = _PAUSE
        while True:
            try:
                async with aclosing(self._follow()) as told:
                    async for value in told:
                        self._value, self._told_at, self._following, pause = value, self._clock.boot(), True, _PAUSE
                        self._tell(None)
                self._tell("it ended the stream")
            except (FetchError, ContentProblem) as error:
                self._tell(str(error))
            if self._following:
                self._told_at, self._following = self._clock.boot(), False
            await self._clock.sleep(pause)
            pause = min(2 * pause, INTERVAL)

    def _tell(self, problem: str | None) -> None:
        """Wake those who wait, and log the beginning and the end of a trouble."""
        self._heard.set()
        if problem is not None and self._problem is None:
            _log.warning("identity_source_lost", source=self._what, problem=problem)
        elif problem is None and self._problem is not None:
            _log.info("identity_source_back", source=self._what)
        self._problem = problem


def _reason(error: Exception) -> str:
    return (error.strerror or "it cannot be read").lower() if isinstance(error, OSError) else str(error)
