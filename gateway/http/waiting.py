"""What a suspended request waits for; knows neither who resumes it nor what it is given.

A request is a coroutine that its connection drives with `send` and `throw`. It awaits nothing but these objects, so no
request needs a task of its own.
"""

from collections.abc import Callable, Generator
from typing import Final, Generic, TypeVar, final

T = TypeVar("T")


@final
class Wait(Generic[T]):
    """One reason to wait. Awaiting it suspends the request until the connection resumes it with a `T`."""

    __slots__ = ("overdue", "seconds")

    def __init__(self, seconds: float, overdue: Callable[[], Exception]) -> None:
        """`seconds` may pass without any progress; then the connection throws what `overdue` makes."""
        self.seconds: Final = seconds
        self.overdue: Final = overdue

    def __await__(self) -> Generator["Wait[T]", T, T]:
        """Hand itself to whoever drives the coroutine."""
        return (yield self)
