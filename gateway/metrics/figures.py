"""The figures of one process or of several together, and their text for Prometheus; knows no part that they come from."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final, final

from gateway.metrics.table import DURATIONS, METRICS, Metric, Together

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
"""The text format of Prometheus, as every version of it reads."""

_TOGETHER: Final[Mapping[Together, Callable[[float, float], float]]] = {
    "sum": lambda one, other: one + other,
    "greatest": max,
    "least": min,
}


@final
class Figures:
    """Values under the names of the table. What the table does not know cannot be put in."""

    def __init__(self) -> None:
        """Nothing is known."""
        self.series: Final[dict[str, dict[tuple[str, ...], list[float]]]] = {}
        """By name and by the values of its labels: one value, or the counts and the sum of a histogram."""

    def put(self, name: str, value: float, *labels: str) -> None:
        """One value. Raises `ValueError` for other labels than the metric has, or for one that is there already."""
        self._put(name, [value], labels)

    def put_buckets(self, name: str, counts: Sequence[int], total: float, *labels: str) -> None:
        """A histogram: how many fell into each bucket of `DURATIONS` and beyond the last, and their sum."""
        if METRICS[name].kind != "histogram" or len(counts) != len(DURATIONS) + 1:
            raise ValueError(f"{name} has no such buckets")
        self._put(name, [*counts, total], labels)

    def _put(self, name: str, values: list[float], labels: tuple[str, ...]) -> None:
        if len(labels) != len(METRICS[name].labels):
            raise ValueError(f"{name} has the labels {', '.join(METRICS[name].labels) or 'none'}")
        series = self.series.setdefault(name, {})
        if labels in series:
            raise ValueError(f"{name} is there already")
        series[labels] = values

    def join(self, other: "Figures") -> None:
        """Put in what another process has measured."""
        for name, series in other.series.items():
            both = _TOGETHER[METRICS[name].together]
            mine = self.series.setdefault(name, {})
            for labels, values in series.items():
                known = mine.get(labels)
                mine[labels] = [*values] if known is None else [both(one, two) for one, two in zip(known, values, strict=True)]

    def kept(self) -> "Figures":
        """What outlives the process that counted it: the sums, without which the whole would seem to shrink."""
        found = Figures()
        for name, series in self.series.items():
            metric = METRICS[name]
            if metric.kind != "gauge" and "process" not in metric.labels:
                found.series[name] = {labels: [*values] for labels, values in series.items()}
        return found

    def written(self) -> list[list[Any]]:
        """As JSON can hold it, for the line to another process."""
        return [
            [name, labels, [None if math.isinf(value) else value for value in values]]
            for name, series in self.series.items()
            for labels, values in series.items()
        ]

    @classmethod
    def read(cls, rows: Sequence[Sequence[Any]]) -> "Figures":
        """The figures of what `written` gave. Raises `ValueError` or `KeyError` for anything else."""
        found = cls()
        for name, labels, values in rows:
            found._put(name, [math.inf if value is None else value for value in values], tuple(labels))
        return found

    def value(self, name: str, *labels: str) -> float | None:
        """One value, for whoever asks about one alone; of a histogram the sum."""
        values = self.series.get(name, {}).get(labels)
        return None if values is None else values[-1]

    def lines(self) -> Iterator[str]:
        """The text, line by line without line ends, in the order of the table."""
        for name, metric in METRICS.items():
            series = self.series.get(name)
            if series:
                yield f"# HELP {name} {_help(metric.about)}"
                yield f"# TYPE {name} {metric.kind}"
                for labels, values in series.items():
                    yield from _series(metric, labels, values)


def _series(metric: Metric, labels: tuple[str, ...], values: Sequence[float]) -> Iterator[str]:
    shown = ",".join(f'{name}="{_escaped(value)}"' for name, value in zip(metric.labels, labels, strict=True))
    if metric.kind != "histogram":
        yield f"{metric.name}{{{shown}}} {_number(values[0])}" if shown else f"{metric.name} {_number(values[0])}"
        return
    *counts, total = values
    below, comma = 0.0, "," if shown else ""
    for edge, count in zip((*DURATIONS, math.inf), counts, strict=True):
        below += count
        yield f'{metric.name}_bucket{{{shown}{comma}le="{_number(edge)}"}} {_number(below)}'
    braced = f"{{{shown}}}" if shown else ""
    yield f"{metric.name}_sum{braced} {_number(total)}"
    yield f"{metric.name}_count{braced} {_number(below)}"


def _number(value: float) -> str:
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    return str(int(value)) if value == int(value) else repr(value)


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')


def _help(text: str) -> str:
    return text.replace("\\", "\\\\").replace("\n", "\\n")
