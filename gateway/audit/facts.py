"""What the audit asks of a parsed head and of a credential; knows nothing of how either came about."""

from typing import Protocol


class Head(Protocol):
    """What a record takes from a parsed request head. None of it is trusted."""

    @property
    def method(self) -> str:
        """The method as it was sent."""

    @property
    def path(self) -> str:
        """The path as it was sent, without the query."""

    @property
    def query_names(self) -> tuple[str, ...]:
        """The names in the query, in order."""

    def query_told(self, names: frozenset[str]) -> tuple[str, ...]:
        """The same, with the values of these names: `limit=50`."""

    @property
    def trace_id(self) -> str | None:
        """The trace of the caller's traceparent header, if it sent one (W3C Trace Context §3.2.2.3)."""


class Credential(Protocol):
    """What a record takes from a credential: how it is called, never what it is."""

    @property
    def name(self) -> str:
        """Its name in the configuration."""

    @property
    def version(self) -> str:
        """Which of its successive secrets was used."""
