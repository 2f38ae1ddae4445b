"""The limits that one task is opened with: as asked for, as carried by tokens, as counted; knows no grant and no gateway.

{"requests": 500, "rate": "20/s", "bytes": 52428800, "concurrent": 4}
"""

from collections.abc import Iterator, Mapping
from typing import Final
from urllib.parse import quote

from gateway.kind import read_pace
from gateway.model import Limit

MOST: Final = 1 << 50
"""The largest limit that can be set."""
MOST_CONCURRENT: Final = 100_000
"""The most requests at once that a limit can allow."""

_MOST: Final[Mapping[str, int]] = {"requests": MOST, "bytes": MOST, "concurrent": MOST_CONCURRENT}


def read_limits(value: object) -> Mapping[str, object]:
    """The limits of a task out of JSON, each of the one type that it may have. Raises `ValueError` with a sentence."""
    if not isinstance(value, dict):
        raise ValueError("limits are an object with requests, rate, bytes or concurrent")  # noqa: TRY004 it is what a wrong member raises too
    for name, limit in value.items():
        if name == "rate":
            read_pace(limit)
        elif name not in _MOST:
            raise ValueError("limits have the members requests, rate, bytes and concurrent")
        elif isinstance(limit, bool) or not isinstance(limit, int) or not 1 <= limit <= _MOST[name]:
            raise ValueError(f"the limit {name} is a whole number from 1 to {_MOST[name]}")
    return value


def wider_than(limits: Mapping[str, object], above: Mapping[str, object]) -> str | None:
    """The first of these limits that allows more than the same one above does, or more at once; None if none does."""
    return next((name for name in limits if name in above and _is_wider(name, limits[name], above[name])), None)


def _is_wider(name: str, limit: object, above: object) -> bool:
    if name != "rate":
        return int(str(limit)) > int(str(above))
    mine, theirs = read_pace(limit), read_pace(above)
    return mine.number > theirs.number or mine.number * theirs.seconds > theirs.number * mine.seconds


def counted(tenant: str, task: str, limits: Mapping[str, object]) -> Iterator[Limit]:
    """What uses of a task, and of all tasks below it, are counted under. What a task has used counts as long as it lives."""
    label = "of this task"
    where = f"{quote(tenant, safe='')}/task/{quote(task, safe='')}"
    for name, limit in limits.items():
        most, window = read_pace(limit).slices() if name == "rate" else (int(str(limit)), 0.0)
        yield Limit(name, f"{name}/{where}", most, window, label)
