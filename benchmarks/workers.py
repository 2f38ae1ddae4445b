"""What do two workers carry beside one, as far as two cores allow? Knows wrk, and one `doorward serve` at a time.

Proxy, load and upstream all run on both cores, so that what a second worker gains is what the first, the load and the upstream leave
of them. CPU for each request, of all of Doorward's processes, is the figure that another machine would see too. Rounds are interleaved.
"""

import argparse
import contextlib
import os
import sys
import tempfile
from functools import partial
from pathlib import Path

from benchmarks import upstreams
from benchmarks.installations import make, started
from benchmarks.machine import with_steal
from benchmarks.results import median, most, save
from benchmarks.revocation import token_of
from benchmarks.scenario import STOLEN
from benchmarks.scene import Scene, end, family
from benchmarks.table import Rows, as_text, number
from benchmarks.throughput import REPEATED, closed_loop

SETTINGS = {"one process": "", "2 workers": ", workers: 2"}
CORES = "0,1"
"""For everybody."""
CONNECTIONS = 64


def main() -> int:
    parser = argparse.ArgumentParser(prog="benchmarks.workers", description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=4)
    parser.add_argument("--compiled", action="store_true", help="measure what `make compiled` has made")
    parser.add_argument("--no-save", dest="save", action="store_false", help="show the figures and keep none")
    arguments = parser.parse_args()
    runs: dict[str, list[dict]] = {name: [] for name in SETTINGS}
    for _ in range(arguments.rounds):
        for name, limits in SETTINGS.items():
            runs[name].append(measure(limits, arguments))
    found = {"compiled": arguments.compiled, "rounds": arguments.rounds, "seconds": arguments.seconds, "runs": runs}
    for line in as_text(rows_of(runs)):
        print(line)
    if arguments.save:
        save("workers", None, found)
    return 0


def measure(limits: str, arguments: argparse.Namespace) -> dict:
    """One run, from start to stop."""
    import asyncio

    from benchmarks.installations import Installation

    with tempfile.TemporaryDirectory(dir="/dev/shm") as place, contextlib.ExitStack() as stack:
        Path(place).chmod(0o755)
        scene = Scene(Path(place), CORES, CORES)
        stack.callback(end, upstreams.pages(scene))
        peer = make(scene, "doorward", compiled=arguments.compiled, limits=limits)
        stack.enter_context(started(peer))
        scene.token = asyncio.run(token_of(Installation(scene, [peer])))
        wanted = 3 if limits else 1
        while len(family(peer.process)) < wanted:
            os.sched_yield()
        run = closed_loop(REPEATED, CONNECTIONS)
        run(peer, 1)
        figures = with_steal(partial(run, peer, arguments.seconds))
        figures["cores"] = round(figures["cpu_us"] * figures["rps"] / 1e6, 2)
        return figures


def rows_of(runs: dict[str, list[dict]]) -> Rows:
    """One line for each setting: medians over rounds."""
    rows = [["", "requests/s", "CPU µs", "cores used", "p50 µs", "others' CPU", STOLEN.title, "failed"]]
    for name, each in runs.items():
        figures = {key: median(each, key) for key in ("rps", "cpu_us", "cores", "p50_us", "strangers")}
        rows.append([
            name, f"{figures['rps']:,.0f}", f"{figures['cpu_us']:.1f}", f"{figures['cores']:.2f}", f"{figures['p50_us']:,.0f}",
            f"{figures['strangers']:.2f}", number(most(each, STOLEN.key), STOLEN.digits), f"{sum(run['failed'] for run in each):,}",
        ])  # fmt: skip
    return rows


if __name__ == "__main__":
    sys.exit(main())
