"""Runs every test of TLS on both event loops: the one of the standard library, and the one that serves; knows no test."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
import uvloop
from fakes.certificates import Certificates
from fakes.house import Build, Open, Script, ScriptedUpstream, answer_ok


def pytest_asyncio_loop_factories() -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Each has a TLS of its own."""
    return {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}


@pytest.fixture
def certificates(tmp_path: Path) -> Certificates:
    """An authority of its own, whose files lie beside the configuration."""
    return Certificates(tmp_path)


@pytest.fixture
async def opened() -> AsyncIterator[Open]:
    """Starts upstreams with a TLS context of their own, and stops them at the end."""
    async with AsyncExitStack() as stack:

        async def start(context: ssl.SSLContext | None, script: Script = answer_ok) -> ScriptedUpstream:
            upstream = ScriptedUpstream(script)
            await upstream.start(context)
            stack.push_async_callback(upstream.stop)
            return upstream

        yield start


@pytest.fixture
def house(opened: Open, house: Build) -> Build:
    """The same as elsewhere; it stops before its upstreams do, for they wait until it has left."""
    assert opened
    return house
