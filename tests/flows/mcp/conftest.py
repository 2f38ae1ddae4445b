"""The fixtures of a gateway before a server of MCP; what they are made of stands in `fakes/mcp_house.py`."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from fakes.house import House, Script, ScriptedUpstream
from fakes.mcp_house import build_house, start_server

MakeHouse = Callable[..., Awaitable[House]]


@pytest.fixture
async def tracker(tmp_path: Path) -> AsyncIterator[MakeHouse]:
    """Builds a gateway before a server of the official SDK, or before a scripted upstream."""
    async with AsyncExitStack() as stack:

        async def build(script: Script | None = None, **changes: str) -> House:
            if script is None:
                url = f"http://127.0.0.1:{await start_server(stack)}/mcp"
                return await build_house(stack, tmp_path, url, **changes)
            upstream = ScriptedUpstream(script)
            url = f"http://127.0.0.1:{await upstream.start()}/mcp"
            stack.push_async_callback(upstream.stop)
            house = await build_house(stack, tmp_path, url, **changes)
            house.upstream = upstream
            return house

        yield build
