"""Does long work in a thread beside the event loop, in slices so short that no request notices; knows nothing of the work."""

import asyncio
import gc
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final, TypeVar

T = TypeVar("T")

SLICE: Final = 0.0002
"""Seconds for which the thread may keep the interpreter while the loop wants it; Python's own value is 5 ms."""


async def aside(work: Callable[[], T]) -> T:
    """The outcome of `work`, which must touch nothing that the loop changes. Raises what it raises. Calls must not overlap."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(SLICE)
    try:
        return await asyncio.to_thread(work)
    finally:
        sys.setswitchinterval(interval)


@contextmanager
def building() -> Iterator[None]:
    """While much is made that is meant to stay, let the garbage collector look only at what is young.

    To look at all of it, again and again as it grows, would stop everybody for as long. At the end the collector passes over
    what is there, if that was done at the start too; what is no cycle still goes when it is used no more.
    """
    thresholds = gc.get_threshold()
    gc.set_threshold(*thresholds[:2], 1 << 30)  # never the oldest, as far as anybody will see
    try:
        yield
        if gc.get_freeze_count():
            gc.freeze()
    finally:
        gc.set_threshold(*thresholds)
