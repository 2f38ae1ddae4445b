"""What tells one content of a file from the next without reading it; knows nothing of what is in files."""

import os
from pathlib import Path
from typing import NamedTuple


class Looks(NamedTuple):
    """A file's place and times. Links are followed, as mounted secrets are exchanged by turning a link round.

    The time of its last change of any kind, in nanoseconds, is among them: it also moves when only the permissions do, and
    no program can set it back.
    """

    device: int
    inode: int
    size: int
    written: int
    changed: int


def looks(status: os.stat_result) -> Looks:
    """The looks of a file that is open."""
    return Looks(status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)


def look_at(path: Path) -> Looks | None:
    """The looks of the file that a path leads to; None if it leads to none, or to one that is out of reach."""
    try:
        return looks(path.stat())
    except OSError:
        return None
