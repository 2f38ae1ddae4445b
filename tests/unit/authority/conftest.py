"""A real authority on a real SQLite file, with a clock turned by hand; knows no HTTP."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from fakes.authority import Grants, Log, StillClock, build_authority, build_store
from fakes.redis_server import RedisProcess, need_redis
from fakes.shared_authorities import One

from gateway.authority.authority import Authority


@pytest.fixture
def clock() -> StillClock:
    """A clock at rest."""
    return StillClock()


@pytest.fixture
def log() -> Log:
    """An audit log in memory."""
    return Log()


@pytest.fixture
def grants() -> Grants:
    """Policy as a table."""
    return Grants()


@pytest.fixture
async def authority(tmp_path: Path, clock: StillClock, log: Log, grants: Grants) -> AsyncIterator[Authority]:
    """A started authority, stopped after the test."""
    started = await build_authority(tmp_path, clock, log, grants)
    yield started
    await started.stop()
    assert not clock.running


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[RedisProcess]:
    need_redis()
    server = RedisProcess(tmp_path / "server").start()
    yield server
    server.kill()


@pytest.fixture
async def both(tmp_path: Path, redis: RedisProcess) -> AsyncIterator[tuple[One, One]]:
    """Two authorities of one server. Neither hears of the other but when it reads, and none beats by itself."""
    made = [One(build_store(tmp_path / name, StillClock(), "redis", redis.url), StillClock()) for name in ("a", "b")]
    for one in made:
        await one.open()
    yield made[0], made[1]
    for one in made:
        await one.store.close()
