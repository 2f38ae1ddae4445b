"""Fills the figures, tables and the plot of docs/explanation/performance.md from results; writes no sentence of its own about them.

make bench-page     takes benchmarks/results/results.json, publishes it beside the page, and fills the page from it
"""

import json
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from benchmarks.compare import SCENARIOS
from benchmarks.cost_of_steps import rows_of as rows_of_steps
from benchmarks.decisions import rows_of as rows_of_decisions
from benchmarks.exchange import rows_of as rows_of_exchanges
from benchmarks.levers import rows_of as rows_of_levers
from benchmarks.plot import Bar, Panel, draw
from benchmarks.results import FILE, median, read
from benchmarks.revocation import rows_of as rows_of_revocations
from benchmarks.scenario import Scenario
from benchmarks.table import Rows, as_markdown, number, rows_of
from benchmarks.workers import rows_of as rows_of_workers

FOLDER = Path(__file__).parents[1] / "docs" / "explanation"
PAGE, PUBLISHED, PLOT = FOLDER / "performance.md", FOLDER / "performance.json", FOLDER / "performance.svg"
ABSENT = "*Not measured yet: `make bench`, then `make bench-page`.*"
PLOTTED = ("repeated-16", "different-16", "added-latency", "event-streams")
"""The scenarios that the plot shows; of the last two, what is less is better."""
UNEQUAL = {"nginx": "nginx, no tokens"}
"""Who does less of the job than the others, and what."""
LESS_IS_BETTER = ("added-latency", "event-streams")
_PART = re.compile(r"(<!-- filled: ([\w-]+) -->\n).*?(<!-- end -->)", re.DOTALL)


def main() -> int:
    document = read(FILE) or read(PUBLISHED)
    if document:
        published = {**kept(read(PUBLISHED), document), **without_samples(document)}
        PUBLISHED.write_text(json.dumps(published, indent=1) + "\n")
        PLOT.write_text(draw(panels(published)))
    PAGE.write_text(filled(PAGE.read_text(), read(PUBLISHED)))
    print("the page is filled" if document else "there are no results; the page says so")
    return 0


def kept(published: dict, document: dict) -> dict:
    """The parts that were not measured anew and say themselves where they were run."""
    return {part: one for part, one in published.items() if part not in document and "cpu" in one}


def without_samples(document: dict) -> dict:
    """What is published: all but the hundreds of samples of a soak."""
    soak = {name: value for name, value in document.get("soak", {}).items() if name != "samples"}
    return {**document, "soak": soak} if soak else document


def filled(page: str, document: dict) -> str:
    """The page with every marked part written anew. Raises KeyError for a part that nobody writes."""

    def fill(found: re.Match) -> str:
        lines = list(PARTS[found[2]](document)) if document else []
        return "\n".join((found[1] + (lines[0] if lines else ABSENT), *lines[1:], found[3]))

    return _PART.sub(fill, page)


def machine(document: dict) -> Iterator[str]:
    here = document["machine"]
    programs = ", ".join(f"{name} {version}" for name, version in here["programs"].items())
    libraries = ", ".join(f"{name} {version}" for name, version in here["libraries"].items())
    yield f"- {here['cpu']}, {here['cores']} cores{' of a virtual machine' if here['virtual'] else ''}, {here['memory_gib']} GiB"
    if here["cores_share_hardware"]:
        yield "- the two cores are threads of one, so load and proxy slow each other down"
    yield f"- Linux {here['kernel']}, Python {here['python']}"
    yield f"- {programs}"
    yield f"- {libraries}"


def plot(document: dict) -> Iterator[str]:
    if any(name in document.get("comparison", {}) for name in PLOTTED):
        yield "![One core of each proxy at the same job](performance.svg)"


def panels(document: dict) -> Iterator[Panel]:
    for scenario in SCENARIOS:
        measured = document.get("comparison", {}).get(scenario.name)
        if scenario.name not in PLOTTED or not measured:
            continue
        first = scenario.columns[0]
        better = "less is better" if scenario.name in LESS_IS_BETTER else "more is better"
        values = ((name, median(runs, first.key)) for name, runs in measured["runs"].items() if name != "direct")
        bars = (
            Bar(UNEQUAL.get(name, name), value, number(value, first.digits), name.startswith("doorward"))
            for name, value in values
            if value is not None
        )
        ordered = sorted(bars, key=lambda bar: bar.value, reverse=better.startswith("more"))
        yield Panel(scenario.title, f"{first.title}, {better}", tuple(ordered))


def tables(document: dict) -> Iterator[str]:
    for scenario in SCENARIOS:
        measured = document.get("comparison", {}).get(scenario.name)
        if measured is not None:
            yield from table(scenario, measured)


def table(scenario: Scenario, measured: dict) -> Iterator[str]:
    yield f"### {scenario.title}"
    yield ""
    if measured.get("lacking"):
        yield f"`{scenario.name}`: {measured['lacking']}."
    else:
        yield f"`{scenario.name}`, {measured['repeats']} rounds of {measured['seconds']} s, commit {measured['commit']}."
        yield ""
        yield from as_markdown(rows_of(scenario, measured["runs"]))
    yield ""


def of_builds(part: str, counted: str, kinds: str, as_rows: Callable[[dict], Rows]) -> Callable[[dict], Iterator[str]]:
    """What writes a table for each build, pure and compiled, of what was `counted` in its rounds."""

    def written(document: dict) -> Iterator[str]:
        for build, measured in document.get(part, {}).items():
            rounds = f"{measured['rounds']} rounds of {measured[counted]:,} {counted}"
            yield f"{build.capitalize()}, {rounds}; {_ran(measured)}:"
            yield ""
            yield from as_markdown(as_rows(measured[kinds]))
            yield ""

    return written


def bodies(document: dict) -> Iterator[str]:
    if measured := document.get("large_bodies"):
        rows = [[f"{measured['mib']:,} MiB", "grown KiB", "MiB/s"]]
        rows += [[name, f"{one['grown_kib']:,}", f"{one['mib_per_second']:,}"] for name, one in measured["passages"].items()]
        yield from as_markdown(rows)
        yield ""
        slow = measured["slow"]
        yield f"{slow['clients']} clients that read one byte a second: {slow['grown_kib_each']} KiB resident for each, "
        yield f"{slow['later_kib_each']} KiB of it after the first seconds. Commit {measured['commit']}."


def soak(document: dict) -> Iterator[str]:
    if measured := document.get("soak"):
        early, late, records = measured["early"], measured["late"], measured["records"]
        rows = [
            [
                f"{measured['seconds'] / 60:.0f} minutes at {measured['rps']:,.0f} requests/s",
                f"{early['at']} s",
                f"{late['at']} s",
            ]
        ]
        rows.append(["resident KiB", f"{early['kib']:,.0f}", f"{late['kib']:,.0f}"])
        rows.append(["descriptors", f"{early['descriptors']:.0f}", f"{late['descriptors']:.0f}"])
        yield from as_markdown(rows)
        yield ""
        yield f"{records['requests']:,} requests and as many responses are in the log, which verifies; {records['alone']} requests have "
        yield f"not exactly two records. {'Passed' if measured['passed'] else 'FAILED'}; commit {measured['commit']}."


def revocations(document: dict) -> Iterator[str]:
    if measured := document.get("revocation"):
        yield from as_markdown(rows_of_revocations(measured))
        yield ""
        for setting, one in measured.items():
            yield f"- {setting}: {one['rounds']} rounds; {one['per_second']:,} other requests/s, of which, and of the other streams, "
            yield f"  {one['disturbed']} were disturbed; {one['cores_busy']} cores busy; "
            yield f"  {'compiled' if one['compiled'] else 'pure Python'}, commit {one['commit']}"


def exchanges(document: dict) -> Iterator[str]:
    if measured := document.get("exchange"):
        yield from as_markdown(rows_of_exchanges(measured))
        yield ""
        for setting, one in measured.items():
            yield f"- {setting}: the median of {one['rounds']} rounds of {one['exchanges']:,} exchanges on {one['connections']} connections; "
            yield f"  {'compiled' if one['compiled'] else 'pure Python'}, commit {one['commit']}"


def reloads(document: dict) -> Iterator[str]:
    if measured := document.get("reload"):
        rows = [["", "requests", "failed", "p50 ms", "p99 ms", "p99.9 ms", "max ms"]]
        for name in ("small", "large"):
            one = measured[name]
            for what, title in (("without", "unchanged"), ("meanwhile", f"{one['changes']} changes")):
                seen = one[what]
                times = (f"{seen[key]:,.1f}" for key in ("p50_ms", "p99_ms", "p99.9_ms", "max_ms"))
                sized = f"{one['upstreams']:,} upstreams, {one['grants']:,} grants: {title}"
                rows.append([sized, f"{seen['requests']:,}", f"{seen['failed']:,}", *times])
        yield from as_markdown(rows)
        yield ""
        for name in ("small", "large"):
            one = measured[name]
            yield f"- {one['upstreams']:,} upstreams: the right snapshot after {one['right_snapshot']} of {one['changes']} changes; a change takes"
            yield f"  {one['median_reload_ms']:,} ms from the order to its answer (median); {one['resident_mib_after']:,} MiB resident afterwards"
        yield f"- {_ran(measured)}"


def several(document: dict) -> Iterator[str]:
    if measured := document.get("workers"):
        yield from as_markdown(rows_of_workers(measured["runs"]))
        yield ""
        yield f"{measured['rounds']} rounds of {measured['seconds']} s, {'compiled' if measured['compiled'] else 'pure Python'}; {_ran(measured)}."


def live(document: dict) -> Iterator[str]:
    if one := document.get("live_revocations"):
        yield f"{one['revocations']:,} live revocations: {one['bytes_each']} bytes of memory for each ({one['kib_empty'] / 1024:,.0f} MiB before,"
        yield f"{one['kib_full'] / 1024:,.0f} MiB with them); to hear of one takes {one['told_us']} µs, to ask for the marks of a request {one['asked_us']} µs."
        yield f"Expired, they left with {one['beats']} heartbeats, of which the longest took {one['longest_beat_ms']} ms; {one['kib_after'] / 1024:,.0f} MiB were left."
        yield f"{_ran(one)}."


def _ran(measured: dict) -> str:
    """Where and how a part was run that need not have been run with the others."""
    ahead = (
        "; other work had the machine too, and Doorward, load and upstream went before it (nice -20, or in real time)"
        if measured.get("ahead")
        else ""
    )
    return f"{measured['cpu']}, commit {measured['commit']}{ahead}"


PARTS: dict[str, Callable[[dict], Iterator[str]]] = {
    "machine": machine,
    "plot": plot,
    "tables": tables,
    "steps": of_builds("steps", "requests", "kinds", rows_of_steps),
    "levers": of_builds("levers", "requests", "kinds", rows_of_levers),
    "decisions": of_builds("decisions", "decisions", "taken", rows_of_decisions),
    "bodies": bodies,
    "soak": soak,
    "revocations": revocations,
    "exchanges": exchanges,
    "reloads": reloads,
    "several": several,
    "live": live,
}
"""Who writes which marked part of the page."""

if __name__ == "__main__":
    sys.exit(main())
