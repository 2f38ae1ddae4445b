"""Gives the tests of commands an authority on real sockets, and a way to type a command while it answers."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import NamedTuple

import pytest
from fakes.served_authority import World, world

from gateway.cli.main import main

__all__ = ("configuration", "typed", "world")


class Typed(NamedTuple):
    """What a command left: its exit status, and what it wrote."""

    status: int
    out: str
    err: str


@pytest.fixture
def typed(capfd: pytest.CaptureFixture[str]) -> Callable[..., Awaitable[Typed]]:
    """Types `doorward` with some words, in a thread of its own."""

    async def type_words(*words: object) -> Typed:
        capfd.readouterr()
        status = await asyncio.to_thread(main, [str(word) for word in words])
        return Typed(status, *capfd.readouterr())

    return type_words


@pytest.fixture
def configuration(world: World) -> Path:
    """The smallest configuration of the repository, with the sockets of the authority under test."""
    text = (Path(__file__).parents[3] / "config/minimal.yaml").read_text()
    sockets = "authority: {listen: [127.0.0.1:1, unix:sockets/authority.sock]}\nadmin:\n  socket: unix:private/admin.sock\n"
    file = world.folder / "doorward.yaml"
    file.write_text(text.replace("admin:\n", sockets, 1))
    return file
