"""What each thing that is remembered saves of a request, in process and without a kernel; knows no step of a request.

The same requests go through the snapshot in force, and through one that lacks one memory; what it takes longer is what the memory
gains. `flows/test_memory.py` shows that answers and records are the same without any of them. Rounds are interleaved.

    python -m benchmarks.levers --requests 2000 --rounds 9
    PYTHONSAFEPATH=1 PYTHONPATH=build/compiled:. python -m benchmarks.levers      after `make compiled`
"""

import argparse
import asyncio
import sys
from dataclasses import replace

import uvloop

from benchmarks.cost_of_steps import build
from benchmarks.forgetful import forgetful_relay, forgetful_standing, without_any, without_each
from benchmarks.request_in_process import KINDS, RESPONSE, Bench, Idle, prepared, request
from benchmarks.results import median, save, spread
from benchmarks.table import Rows, as_text
from gateway.handle_request import handle_request
from gateway.http.downstream import Downstream
from gateway.http.house import House
from gateway.snapshot import Snapshot

EVERYTHING = "everything is remembered"
NOTHING = "nothing is remembered"
BODY = RESPONSE[-1024:]


async def snapshots(bench: Bench) -> dict[str, Snapshot]:
    """The snapshot in force, and for each memory one without it."""
    now = bench.snapshot
    standing = await forgetful_standing(now, bench.doorward.authority)
    without = {f"no {name}": replace(now, **parts) for name, parts in without_each(now, standing).items()}
    return {EVERYTHING: now, **without, NOTHING: without_any(now, standing, forgetful_relay(now))}


class Client:
    """A connection whose requests are served with one snapshot."""

    def __init__(self, bench: Bench, snapshot: Snapshot) -> None:
        house = bench.doorward.listener
        self._bench = bench
        self._transport = Idle()
        self._connection = Downstream(House(lambda caller: handle_request(snapshot, caller), house.limits, house.sweep))
        self._connection.connection_made(self._transport)

    def run(self, requests: list[bytes]) -> float:
        """Microseconds for each request. All must be served: a refusal would cost less."""
        self._bench.client = self._connection
        taken = self._bench.run(requests) * 1e6
        assert self._transport.last.endswith(BODY), "a request was not served"
        return taken


async def measure(bench: Bench, token: str, *, different: bool, count: int, rounds: int) -> dict[str, dict[str, float]]:
    """Microseconds for a request without each memory, how far they lie apart, and what the memory gains: beside the same round."""
    runs: dict[str, list[dict]] = {}
    clients = {name: Client(bench, snapshot) for name, snapshot in (await snapshots(bench)).items()}
    number = 1
    for turn in range(rounds + 1):
        taken = {}
        for name, client in clients.items():
            taken[name] = client.run([request(token, number + each, different=different) for each in range(count)])
            number += count
            await asyncio.sleep(0.1)  # lets the journal's writer catch up
        if turn:  # the first round fills the memories
            for name, us in taken.items():
                runs.setdefault(name, []).append({"us": us, "gained": us - taken[EVERYTHING]})
    return {
        name: {
            "us": round(median(each, "us"), 2),
            "spread": round(spread(each, "us"), 3),
            "gained": round(median(each, "gained"), 2),
        }
        for name, each in runs.items()
    }


def rows_of(found: dict[str, dict]) -> Rows:
    """One line for each memory that is left out: what a request takes then, and what of it the memory saves."""
    rows = [["", *(cell for kind in found for cell in (f"µs, {kind}", "±", "gained"))]]
    for name in next(iter(found.values())):
        figures = (measured[name] for measured in found.values())
        cells = ((f"{one['us']:.1f}", f"±{one['spread']:.0%}", f"{one['gained']:.1f}") for one in figures)
        rows.append([name, *(cell for group in cells for cell in group)])
    return rows


async def main(arguments: argparse.Namespace) -> None:
    found = {}
    for name, different in KINDS:
        async with prepared() as (bench, token):
            found[name] = await measure(bench, token, different=different, count=arguments.requests, rounds=arguments.rounds)
    for line in as_text(rows_of(found)):
        print(line)
    save("levers", build(), {"requests": arguments.requests, "rounds": arguments.rounds, "kinds": found})


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m benchmarks.levers", description=__doc__.partition("\n")[0])
    parser.add_argument("--requests", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=9)
    uvloop.run(main(parser.parse_args(sys.argv[1:])))
