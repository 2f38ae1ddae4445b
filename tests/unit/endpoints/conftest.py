"""Gives the tests of the endpoints an authority on real sockets."""

from fakes.served_authority import world

__all__ = ("world",)
