"""Cuts bytes into the pieces in which a network may deliver them, always the same for the same bytes; knows no protocol."""

import random
import zlib
from collections.abc import Iterator

SINGLY, SOMETIMES = 120, 8
"""Up to this length bytes are delivered one by one as well; of longer ones, every so many."""
CUTS = 6


def cut(raw: bytes) -> Iterator[list[bytes]]:
    """A few ways to deliver these bytes."""
    if not raw:
        return
    mark = zlib.crc32(raw)
    if len(raw) <= SINGLY or mark % SOMETIMES == 0:
        yield [raw[at : at + 1] for at in range(len(raw))]
    chance = random.Random(mark)
    marks = [at + 1 for at in range(len(raw)) if raw[at] in b"\r\n"]
    places = {chance.randrange(len(raw) + 1) for _ in range(chance.randint(1, CUTS))}
    places |= {chance.choice(marks) for _ in range(chance.randint(0, 2)) if marks}
    ends = [*sorted(places - {0, len(raw)}), len(raw)]
    yield [raw[start:end] for start, end in zip([0, *ends[:-1]], ends, strict=True)]
