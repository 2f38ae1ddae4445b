"""A real authority on a real SQLite file, with a clock turned by hand; knows no HTTP."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from fakes.authority import Grants, Log, StillClock, build_authority

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
