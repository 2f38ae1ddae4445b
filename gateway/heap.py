"""Settles the memory of a process that is about to serve; knows nothing of what lies in it."""

import ctypes
import gc
from typing import Final

COLLECT_AFTER: Final = 50_000
"""How many more objects than before may stand in circles before they are looked for; requests leave none."""
KEPT_FREE: Final = 16 << 20
"""How many free bytes at the end of the heap are kept for the next use."""
LARGEST_ON_HEAP: Final = 256 << 10
"""A block of so many bytes or more is mapped for itself, and costs only the pages that were touched.

uvloop reads at most 256,000 bytes at once, which comes from the heap. For each TLS connection to an upstream it keeps a buffer
of just this size and touches its beginning; taken from a heap that was in use, most of its pages would be resident.
"""

_TRIM_THRESHOLD: Final = -1  # mallopt(3)
_MMAP_THRESHOLD: Final = -3


def settle() -> None:
    """Once everything is built: what stays is not looked at again, and what a read frees is at hand for the next one.

    The collector need not look again at what was built to stay, nor at every few requests. Without its thresholds glibc gives
    the block of each large read back to the kernel at once, and fetches it again page by page for the next. Other C libraries
    have their own ways, and are left to them.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(COLLECT_AFTER)
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_TRIM_THRESHOLD, KEPT_FREE)
        mallopt(_MMAP_THRESHOLD, LARGEST_ON_HEAP)
