"""Two tenants behind two workers: each process keeps them apart, and takes a change of one tenant's files as all do."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from fakes.house import ScriptedUpstream, answer_ok
from fakes.several import Several, write

from gateway.clock import Clock
from gateway.settings.load import load
from gateway.workers import Workers


@pytest.fixture
async def both(tmp_path: Path) -> AsyncIterator[Several]:
    """An authority and two gateways, in processes of their own."""
    async with AsyncExitStack() as stack:
        upstream, clock = ScriptedUpstream(answer_ok), Clock()
        port = await upstream.start()
        stack.push_async_callback(upstream.stop)
        key = write(tmp_path, port, clock, workers=2)
        workers = Workers(load(tmp_path / "doorward.yaml"), clock)
        await workers.start()
        stack.push_async_callback(workers.stop)
        made = Several(workers, clock, tmp_path, upstream, stack)  # type: ignore[arg-type]  # it has what is used here
        made.key = key
        yield made


async def codes(both: Several, path: str, token: str) -> set[object]:
    """What is said on connections of their own, by whichever workers take them."""
    answers = [await both.call(path, token) for _ in range(8)]
    return {answer.status if answer.status == 200 else answer.problem["code"] for answer in answers}


async def test_workers_keep_tenants_apart_and_take_a_change_of_one(both: Several) -> None:
    """Files that tenants include reach workers with their tenants, at the start, on a reload and when one is started anew."""
    acme, globex = (await both.acme())["access_token"], (await both.globex())["access_token"]
    assert await codes(both, "/acme/api/items", acme) == {200}
    assert await codes(both, "/globex/api/items", globex) == {200}
    assert await codes(both, "/globex/api/items", acme) == {"upstream_unknown"}
    assert await codes(both, "/acme/api/items", globex) == {"upstream_unknown"}
    file = both.folder / "globex.yaml"
    file.write_text(file.read_text().replace("upstreams:\n  api: {url", "upstreams:\n  api: {at: {prefix: /moved}, url"))
    assert (await both.ask("POST", "/reload", socket="admin.sock")).status == 200
    await _until(both, "/moved/items", globex)
    assert await codes(both, "/acme/api/items", acme) == {200}
    for pid in both.doorward.processes:  # type: ignore[attr-defined]
        os.kill(pid, 9)
    await _until(both, "/moved/items", globex)
    assert await codes(both, "/moved/items", acme) == {"upstream_unknown"}


async def _until(both: Several, path: str, token: str) -> None:
    async with asyncio.timeout(60):
        while True:
            try:
                if await codes(both, path, token) == {200}:
                    return
            except (ConnectionError, asyncio.IncompleteReadError):
                pass
            await asyncio.sleep(0.1)
