"""What the kernel says of this process: time, memory, descriptors; knows nothing of what it does with them."""

import os
import resource
from pathlib import Path
from typing import Final

from gateway.metrics.figures import Figures

_SELF: Final = Path("/proc/self")
_STARTED: Final = 19
"""The place of the start time among the fields of `stat` that follow the name (proc(5): field 22)."""
_RESIDENT: Final = 1


def measure_process(figures: Figures, name: str) -> None:
    """Put in what `/proc` says; where there is none, what is left out shows that."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    figures.put("doorward_process_cpu_seconds_total", used.ru_utime + used.ru_stime, name)
    figures.put("doorward_process_max_fds", resource.getrlimit(resource.RLIMIT_NOFILE)[0], name)
    try:
        stat = (_SELF / "stat").read_text().rpartition(")")[2].split()
        resident = int((_SELF / "statm").read_text().split()[_RESIDENT]) * os.sysconf("SC_PAGE_SIZE")
        boot = next(line for line in Path("/proc/stat").read_text().splitlines() if line.startswith("btime "))
        descriptors = sum(1 for _ in (_SELF / "fd").iterdir())
    except (OSError, StopIteration):
        return
    started = int(boot.split()[1]) + int(stat[_STARTED]) / os.sysconf("SC_CLK_TCK")
    figures.put("doorward_process_resident_memory_bytes", resident, name)
    figures.put("doorward_process_open_fds", descriptors, name)
    figures.put("doorward_process_start_time_seconds", started, name)
