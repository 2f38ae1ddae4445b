"""Gives the tests of the endpoints an authority on real sockets, under a policy of their own or under a whole charter."""

import pytest
from fakes.chartered import Chartered
from fakes.served_authority import World, world

__all__ = ("world",)


@pytest.fixture
def chartered(world: World) -> Chartered:
    """The same authority under a real policy, and those who live by it."""
    return Chartered(world)
