"""Measures Doorward beside its peers: the same job, one core each, in interleaved rounds; knows no scenario by itself.

    python -m benchmarks.compare --list
    python -m benchmarks.compare --only different-16 --repeats 5 --seconds 4

The proxy has one core; load generator and upstream share another. Each peer is first shown to refuse a bad token, a wrong
intent and a wrong method, and to swap the key. Prints a table for each scenario and puts every run into results/results.json.
"""

import argparse
import contextlib
import itertools
import os
import resource
import sys
import tempfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from benchmarks import added_latency, event_streams, start_and_memory, throughput, tokens
from benchmarks.machine import with_steal
from benchmarks.peers import PEERS, REMARKS
from benchmarks.peers.doorward import PARAM
from benchmarks.proof import prove
from benchmarks.results import FILE, save
from benchmarks.scenario import Scenario, Stage
from benchmarks.scene import LackingError, Peer, Scene, end, need
from benchmarks.table import as_text, rows_of

SCENARIOS = (*throughput.SCENARIOS, *event_streams.SCENARIOS, *added_latency.SCENARIOS, *start_and_memory.SCENARIOS)


def main() -> int:
    arguments = read_arguments()
    if arguments.list:
        for scenario in SCENARIOS:
            print(f"{scenario.name:18} {scenario.title}")
        return 0
    wanted = [each for each in SCENARIOS if not arguments.only or each.name in arguments.only]
    allow_descriptors()
    if not present():
        return 1
    print(
        f"Cores: the proxy has core {arguments.proxy_core}; wrk, our own generators and the upstream share core "
        f"{arguments.load_core}.\nMedians of interleaved runs; ± is half of least to greatest; ratios are medians of each "
        f"round's.\nothers' CPU: cores used by anything else on this machine meanwhile; most stolen: cores that the host "
        "took away in the worst run. More than 0.1 of either means that it was not quiet.",
    )
    for stage, scenarios in itertools.groupby(wanted, key=lambda each: each.stage):
        measure_stage(stage, list(scenarios), arguments)
    print(f"\nEvery run is in {FILE.relative_to(FILE.parents[2])}; `make bench-page` puts the medians into the documentation.")
    return 0


def read_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.compare", description=__doc__.partition("\n")[0])
    parser.add_argument("--list", action="store_true", help="list the scenarios")
    parser.add_argument("--only", action="append", default=[], metavar="NAME", choices=[each.name for each in SCENARIOS])
    parser.add_argument("--peers", default=",".join(PEERS), help="peers, separated by commas")
    parser.add_argument("--repeats", type=int, help="rounds; without it, what the scenario says (5, or 15)")
    parser.add_argument("--seconds", type=int, help="seconds of one run; without it, what the scenario says")
    parser.add_argument("--proxy-core", default="0")
    parser.add_argument("--load-core", default="1")
    return parser.parse_args()


def allow_descriptors() -> None:
    """Thousands of connections at once, here and in what is started from here."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 16_384 if hard == resource.RLIM_INFINITY else min(16_384, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def present() -> bool:
    """Whether what every scenario needs is here; says what is not and how to get it."""
    lacking = []
    for program, package in (("wrk", "wrk"), ("nginx", "nginx-light"), ("taskset", "util-linux")):
        try:
            need(program, f"apt-get install {package}")
        except LackingError as lack:
            lacking.append(str(lack))
    if (os.cpu_count() or 1) < 2:
        lacking.append("two cores are needed: one for the proxy, one for the load")
    for lack in lacking:
        print(lack, file=sys.stderr)
    return not lacking


def measure_stage(stage: Stage, scenarios: list[Scenario], arguments: argparse.Namespace) -> None:
    """Set one stage up and run its scenarios."""
    allowed = arguments.peers.split(",")
    names = [name for name in PEERS if name in allowed and any(name in each.measured for each in scenarios)]
    with staged(stage, arguments) as scene:
        try:
            peers = gathered(scene, stage, names)
        except LackingError as lack:
            if not stage.with_condition:
                raise
            for scenario in scenarios:
                print(f"\n{scenario.name}: {scenario.title}\n  not supported yet: Doorward does not start with such a grant")
                print(f"  {lack}")
                save("comparison", scenario.name, {"title": scenario.title, "lacking": "not supported yet", "runs": {}})
            return
        try:
            for scenario in scenarios:
                measure(scenario, scene, [peer for peer in peers if peer.name in scenario.measured], arguments)
        finally:
            for peer in peers:
                peer.stop()


@contextlib.contextmanager
def staged(stage: Stage, arguments: argparse.Namespace) -> Iterator[Scene]:
    """A folder in memory, so that no disk is measured, and the upstream."""
    with tempfile.TemporaryDirectory(dir="/dev/shm") as place:
        Path(place).chmod(0o755)
        scene = Scene(Path(place), arguments.proxy_core, arguments.load_core, with_condition=stage.with_condition)
        upstream = stage.upstream(scene)
        try:
            yield scene
        finally:
            end(upstream)


def gathered(scene: Scene, stage: Stage, names: list[str]) -> list[Peer]:
    """Doorward, whose authority makes the token that all get, then the others; each is proved. Who is lacking is left out."""
    peers: list[Peer] = []
    try:
        doorward = PEERS["doorward"](scene)
        doorward.start()
        peers.append(doorward)
        tokens.issue(scene, params={"id": PARAM} if scene.with_condition else None)
        prove(doorward)
        for name in names:
            if name != "doorward":
                add(peers, name, scene)
    except BaseException:
        for peer in peers:
            peer.stop()
        raise
    for peer in peers:
        if not stage.started or peer.name not in names:
            peer.stop()
    return [peer for name in names for peer in peers if peer.name == name]


def add(peers: list[Peer], name: str, scene: Scene) -> None:
    try:
        peer = PEERS[name](scene)
        peer.start()
    except LackingError as lack:
        print(f"left out: {lack}", file=sys.stderr)
        return
    peers.append(peer)
    prove(peer)


def measure(scenario: Scenario, scene: Scene, peers: list[Peer], arguments: argparse.Namespace) -> None:
    """All rounds of one scenario; in a round each peer has one run."""
    seconds, repeats = arguments.seconds or scenario.seconds, arguments.repeats or scenario.repeats
    runs: dict[str, list[dict]] = {peer.name: [] for peer in peers}
    for _ in range(repeats):
        scene.round += 1
        if scenario.prepare is not None:
            scenario.prepare(scene, seconds)
        for peer in peers:
            runs[peer.name].append(with_steal(partial(scenario.measure, peer, seconds)))
    if scenario.conclude is not None:
        scenario.conclude(runs)
    print(f"\n{scenario.name}: {scenario.title} ({repeats} x {seconds} s)")
    for line in as_text(rows_of(scenario, runs)):
        print(line)
    for name, rows in runs.items():
        if failed := sum(row.get("failed") or 0 for row in rows):
            print(f"  NO RESULT for {name}: {failed} requests failed")
    remarks = {peer.name: REMARKS[peer.name] for peer in peers}
    content = {"title": scenario.title, "seconds": seconds, "repeats": repeats, "remarks": remarks, "runs": runs}
    save("comparison", scenario.name, content)
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
