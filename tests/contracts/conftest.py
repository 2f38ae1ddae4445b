"""Gives the contract tests an empty store of each kind, and what identity providers are built with; knows no promise."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from fakes.authority import StillClock, build_store
from fakes.redis_server import RedisProcess, need_redis
from fakes.signed_identities import NOW

from gateway.clock import Clock
from gateway.fetch import Fetch
from gateway.identity.provider import Tools
from gateway.stores.backends import BACKENDS
from gateway.stores.store import Store

WHERE = {"sqlite": ("store/doorward.db", "memory"), "redis": ("server",)}


@pytest.fixture(scope="session")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisProcess]:
    """A server that all tests share, each with nothing in it."""
    need_redis()
    server = RedisProcess(tmp_path_factory.mktemp("redis")).start()
    yield server
    server.kill()


@pytest.fixture(params=[(kind, where) for kind in BACKENDS for where in WHERE[kind]], ids="-".join)
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Store]:
    """An open, empty store of each kind."""
    kind, where = request.param
    if kind == "redis":
        server = request.getfixturevalue("redis")
        server.ask("FLUSHALL")
        where = server.url
    opened = build_store(tmp_path, StillClock(), kind, where)
    await opened.open()
    yield opened
    await opened.close()


class TurnedClock(Clock):
    """A clock that stands still until a test turns it; tasks are real."""

    def __init__(self) -> None:
        super().__init__()
        self.seconds = NOW

    def now(self) -> float:
        return self.seconds

    def boot(self) -> float:
        return self.seconds


@pytest.fixture
async def tools(tmp_path: Path) -> AsyncIterator[Tools]:
    """What providers are built with; paths are below the test's own folder, and its clock stands still."""
    async with Fetch() as fetch:
        yield Tools(TurnedClock(), fetch, lambda text: tmp_path / text)
