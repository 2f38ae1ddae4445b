"""What `make fuzz` runs: every target in turn, in two processes, for as long as FUZZ_SECONDS says; knows no target by name.

Prints what was executed, how the corpora grew and how much memory it took. Ends with 1 if anything broke, took too long,
or if memory went on growing after half the time. `--keep` writes the grown corpora into the tree, `--only` names targets.
"""

import argparse
import multiprocessing
import os
import random
import sys
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from multiprocessing.queues import Queue
from pathlib import Path

from fuzz.growth import Finding, Growth
from fuzz.targets import TARGETS
from fuzz.written import grown_cases, named_cases, text_of, write_grown

PROCESSES = 2
SLICE = 2.0
"""Seconds for each unit of a target's weight before the next target has its turn."""
MEMORY_GROWTH = 32 * 1024 * 1024
"""Bytes by which the memory of the second half may exceed that of the first."""
MEMORY = 512 * 1024 * 1024
LONGEST_KEPT = 400
"""Longer inputs, in bytes, are not written into the tree."""
_PAGE = os.sysconf("SC_PAGE_SIZE")


@dataclass
class Report:
    """What one process has to tell of one target."""

    target: str
    executions: int
    seconds: float
    given: int
    kept: list[bytes]
    steps: int
    slowest: float
    findings: list[Finding]


@dataclass
class Told:
    """Everything that one process has to tell. Memory is in bytes."""

    reports: list[Report] = field(default_factory=list)
    first_half: int = 0
    second_half: int = 0


def resident() -> int:
    """Bytes of memory that this process holds now."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * _PAGE


def work(number: int, seconds: float, only: list[str], queue: "Queue[Told]") -> None:
    """One process: all targets in turn until the time is up."""
    chance = random.Random(f"{number} {os.environ.get('FUZZ_SEED', time.time_ns())}")
    growths = {name: Growth(TARGETS[name], seeds(name), chance) for name in only}
    spent = dict.fromkeys(only, 0.0)
    began, told = time.monotonic(), Told()
    while (gone := time.monotonic() - began) < seconds:
        for name in only:
            turn = time.monotonic()
            until = min(turn + SLICE * TARGETS[name].weight, began + seconds)
            while time.monotonic() < until:
                growths[name].mutate()
            spent[name] += time.monotonic() - turn
            if gone < seconds / 2:
                told.first_half = max(told.first_half, resident())
            told.second_half = max(told.second_half, resident())
            if told.second_half > MEMORY:
                seconds = 0
    for name, growth in growths.items():
        told.reports.append(
            Report(
                name, growth.executions, spent[name], growth.given, growth.kept, growth.steps, growth.slowest, growth.findings
            )
        )
    queue.put(told)


def seeds(target: str) -> list[bytes]:
    """What a target begins with."""
    return [case.raw for case in named_cases(target)] + grown_cases(target)


def main() -> int:
    """Start the processes, wait for them, print the table; 1 if anything is wrong."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--keep", action="store_true")
    parser.add_argument("--only", nargs="*", default=list(TARGETS), choices=list(TARGETS))
    arguments = parser.parse_args()
    seconds = float(os.environ.get("FUZZ_SECONDS", "1800")) / PROCESSES
    context = multiprocessing.get_context("spawn")
    queue: Queue[Told] = context.Queue()
    processes = [
        context.Process(target=work, args=(number, seconds, arguments.only, queue), daemon=True) for number in range(PROCESSES)
    ]
    for process in processes:
        process.start()
    every = [queue.get(timeout=seconds + 300) for _ in processes]
    for process in processes:
        process.join()
    wrong = show(every)
    if arguments.keep:
        keep(every)
    return 1 if wrong else 0


def show(every: list[Told]) -> bool:
    """Print the table and the findings; true if something is wrong."""
    wrong = False
    print(f"{'target':15}{'executions':>12}{'per second':>12}{'corpus':>16}{'steps':>8}{'slowest ms':>12}{'findings':>10}")
    for reports in zip(*(told.reports for told in every), strict=True):
        executions = sum(report.executions for report in reports)
        rate = sum(report.executions / max(report.seconds, 0.001) for report in reports)
        corpus = f"{reports[0].given} -> {max(len(report.kept) for report in reports)}"
        findings = {finding.where: finding for report in reports for finding in report.findings}
        steps = max(report.steps for report in reports)
        slowest = 1000 * max(report.slowest for report in reports)
        print(f"{reports[0].target:15}{executions:12}{rate:12.0f}{corpus:>16}{steps:8}{slowest:12.0f}{len(findings):10}")
        for finding in findings.values():
            wrong = True
            print(f"  {finding.where}: {finding.told}\n    {text_of(finding.raw)}")
    for told in every:
        grown = told.second_half - told.first_half
        print(f"resident memory: {told.first_half >> 20} MiB in the first half, {told.second_half >> 20} MiB at most")
        if grown > MEMORY_GROWTH or told.second_half > MEMORY:
            wrong = True
            print("  it goes on growing")
    return wrong


def keep(every: list[Told]) -> None:
    """Write into the tree the short inputs that together reach what all of them reached."""
    for reports in zip(*(told.reports for told in every), strict=True):
        short = {raw for report in reports for raw in report.kept if len(raw) <= LONGEST_KEPT}
        write_grown(reports[0].target, fewest(reports[0].target, short))


def fewest(target: str, inputs: Iterable[bytes]) -> list[bytes]:
    """Those inputs, shortest first, that reach something which no named case and no shorter one does."""
    growth = Growth(TARGETS[target], (case.raw for case in named_cases(target)), random.Random(0), traced=1)
    growth.kept.clear()
    for raw in sorted(inputs, key=lambda raw: (len(raw), raw)):
        growth.run(raw)
    return growth.kept


if __name__ == "__main__":
    sys.exit(main())
