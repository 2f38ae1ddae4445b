"""Keeps all results of one machine in one JSON file, a part for each question; knows no meaning of a figure."""

import json
import os
import statistics
import time
from collections.abc import Iterable
from pathlib import Path

from benchmarks.machine import commit, machine

FILE = Path(__file__).parent / "results" / "results.json"


def save(part: str, name: str | None, content: dict, file: Path = FILE) -> None:
    """Put one result into its part of the file. Results of another machine are not mixed in: the file begins anew."""
    here = machine()
    document = read(file)
    if document.get("machine") != here:
        document = {"machine": here}
    # Whether it went ahead of everything else that wanted the machine.
    ahead = {"ahead": True} if os.nice(0) < 0 or os.sched_getscheduler(0) != os.SCHED_OTHER else {}
    stamped = {
        "commit": commit(),
        "at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "cpu": here["cpu"],
        **ahead,
        **content,
    }
    if name is None:
        document[part] = stamped
    else:
        document.setdefault(part, {})[name] = stamped
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(document, indent=1) + "\n")


def read(file: Path = FILE) -> dict:
    return json.loads(file.read_text()) if file.exists() else {}


def figures(runs: Iterable[dict], key: str) -> list[float]:
    """One figure of all runs that have it."""
    return [run[key] for run in runs if run.get(key) is not None]


def median(runs: Iterable[dict], key: str) -> float | None:
    found = figures(runs, key)
    return statistics.median(found) if found else None


def most(runs: Iterable[dict], key: str) -> float | None:
    return max(figures(runs, key), default=None)


def spread(runs: Iterable[dict], key: str) -> float | None:
    """Half of what lies between the least and the greatest, as a part of the median."""
    found = figures(runs, key)
    middle = statistics.median(found) if found else 0
    return (max(found) - min(found)) / 2 / middle if middle else None


def ratio(mine: list[dict], other: list[dict], key: str) -> float | None:
    """The median of the ratios of the runs of the same rounds, so that what disturbed a round disturbs both of its sides."""
    found = [a[key] / b[key] for a, b in zip(mine, other, strict=False) if a.get(key) is not None and b.get(key)]
    return statistics.median(found) if found else None


def percentile(ordered: list[float], part: float) -> float:
    """A value of a sorted list below which `part` of them lie; the nearest one that was measured."""
    return ordered[min(len(ordered) - 1, int(len(ordered) * part))]
