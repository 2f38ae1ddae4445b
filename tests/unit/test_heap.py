"""What a process does with its memory before it serves."""

import gc
import subprocess
import sys

from gateway.heap import COLLECT_AFTER, KEPT_FREE, LARGEST_ON_HEAP, settle


def test_what_stays_is_not_looked_at_again() -> None:
    """The collector leaves alone what was built to stay, and runs seldom; circles are still found."""
    before = gc.get_threshold()
    try:
        settle()
        assert gc.get_freeze_count() > 0
        assert gc.get_threshold()[0] == COLLECT_AFTER
        assert gc.isenabled()
    finally:
        gc.unfreeze()
        gc.set_threshold(*before)


PROGRAM = """
import resource, sys
from gateway.heap import settle
if sys.argv[1] == "settled":
    settle()
def read():
    return [bytearray(b"x") * 256_000 for _ in range(16)]
read()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(100):
    read()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def faults(how: str) -> int:
    """Pages that the kernel had to give for the same reads again and again, in a process of its own."""
    return int(subprocess.run([sys.executable, "-c", PROGRAM, how], capture_output=True, text=True, check=True).stdout)


def test_the_blocks_of_large_reads_are_kept() -> None:
    """What was freed is used again; without that each block, as large as uvloop reads, comes from the kernel page by page."""
    assert LARGEST_ON_HEAP > 256_000
    assert KEPT_FREE > 16 * 256_000
    assert faults("settled") * 20 < faults("as it was")


CONNECTIONS = """
import ctypes
from pathlib import Path
from gateway.heap import settle
settle()
libc = ctypes.CDLL(None)
libc.malloc.restype = ctypes.c_void_p
libc.free.argtypes = [ctypes.c_void_p]
def resident():
    return next(int(line.split()[1]) for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmRSS"))
def touched(size):
    block = libc.malloc(size)
    ctypes.memset(block, 1, size)
    return block
def connect():
    buffer = libc.malloc(256 << 10)
    ctypes.memset(buffer, 1, 1000)
    passing = [touched(16 << 10) for _ in range(3)]
    touched(100)
    for block in passing:
        libc.free(block)
connect()
before = resident()
for _ in range(64):
    connect()
print((resident() - before) / 64)
"""


def test_of_the_buffer_of_a_tls_connection_only_what_is_touched_is_resident() -> None:
    """The event loop keeps 256 KiB for each; what a handshake touches in passing does not make the next buffers resident."""
    kib = float(subprocess.run([sys.executable, "-c", CONNECTIONS], capture_output=True, text=True, check=True).stdout)
    assert kib < 8
