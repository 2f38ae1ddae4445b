"""Writes the results of a scenario as a table, for a terminal or for Markdown; measures nothing."""

from collections.abc import Iterable, Iterator

from benchmarks.results import ratio, spread
from benchmarks.scenario import Scenario

Rows = list[list[str]]


def rows_of(scenario: Scenario, runs: dict[str, list[dict]]) -> Rows:
    """A header and one row for each peer: medians, the spread of the first figure, and its ratios to the peers compared with."""
    first = scenario.columns[0]
    against = [name for name in scenario.against if name in runs]
    header = ["", *(column.title for column in scenario.columns), "spread", *(f"to {name}" for name in against)]
    rows = [header]
    for name, mine in runs.items():
        figures = [number(column.of_runs(mine, column.key), column.digits) for column in scenario.columns]
        wide = spread(mine, first.key)
        ratios = [number(ratio(mine, runs[other], first.key), 2) for other in against]
        rows.append([name, *figures, f"±{wide:.0%}" if wide is not None else "", *ratios])
    return rows


def number(value: float | None, digits: int) -> str:
    return "" if value is None else f"{value:,.{digits}f}"


def as_text(rows: Rows) -> Iterator[str]:
    widths = [max(len(row[place]) for row in rows) for place in range(len(rows[0]))]
    for row in rows:
        first, *others = (
            text.ljust(width) if place == 0 else text.rjust(width)
            for place, (text, width) in enumerate(zip(row, widths, strict=True))
        )
        yield "  " + "  ".join((first, *others)).rstrip()


def as_markdown(rows: Rows) -> Iterator[str]:
    header, *others = rows
    yield _line(header)
    yield "|---|" + "---:|" * (len(header) - 1)
    yield from map(_line, others)


def _line(cells: Iterable[str]) -> str:
    return "| " + " | ".join(cells) + " |"
