"""The hash chain that runs through all records of a log; knows nothing of what a record says or where it is kept."""

import re
from hashlib import sha256
from typing import Final

FIRST: Final = "0" * 64
"""What the first line of all names as the line before it."""

_SEQ: Final = re.compile(rb'\{"v":1,"seq":([1-9][0-9]{0,18}),').match


def digest(line: bytes) -> str:
    """The SHA-256 of the exact bytes of a line without its newline, in lower-case hexadecimal."""
    return sha256(line).hexdigest()


def seq_of(line: bytes) -> int | None:
    """The number that a line claims, read from its first bytes; None if it is no line of ours."""
    found = _SEQ(line)
    return None if found is None else int(found[1])


def continues(line: bytes, prev: str) -> bool:
    """Whether a line of ours names the line with this digest as the one before it."""
    return line.endswith(b'"prev":"%s"}' % prev.encode())


class Chain:
    """The end of a chain. A line that was made belongs to the chain once `advance` was told of it."""

    __slots__ = ("prev", "seq")

    def __init__(self, seq: int = 0, prev: str = FIRST) -> None:
        """`seq` is the number of the last line and `prev` its digest."""
        self.seq = seq
        self.prev = prev

    def line(self, stamp: str, members: str) -> bytes:
        """The next line, without its newline. `members` are encoded JSON members, each with a comma after it."""
        return f'{{"v":1,"seq":{self.seq + 1},"time":"{stamp}",{members}"prev":"{self.prev}"}}'.encode()

    def advance(self, line: bytes) -> None:
        """Make `line` the end of the chain."""
        self.seq += 1
        self.prev = sha256(line).hexdigest()
