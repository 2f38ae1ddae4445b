"""What each step of `handle_request` costs, timed where it stands, in process and without a kernel; knows no step by heart.

A copy of `handle_request` is made from its source with a time stamp after each statement, and serves the requests in place of
the original; what lies before, between and after comes from stamps of the driver. The price of a stamp is measured and taken
off. The same requests also go through the original, with a stamp before and after only: how far the sum of the steps is from
that is the error, and is printed. The copy runs interpreted even where the rest is compiled.

    python -m benchmarks.cost_of_steps --requests 2000 --rounds 9
    PYTHONSAFEPATH=1 PYTHONPATH=build/compiled:. python -m benchmarks.cost_of_steps      after `make compiled`
"""

import argparse
import ast
import asyncio
import itertools
import statistics
import sys
import time
from collections.abc import Callable, Coroutine
from pathlib import Path

import uvloop

import gateway.handle_request
import gateway.http.head
from benchmarks.request_in_process import KINDS, RESPONSE, Bench, Idle, prepared, request
from benchmarks.results import save
from benchmarks.table import as_text
from gateway.http.downstream import Downstream
from gateway.http.house import House

STEP_OF = {
    "open": "open the record",
    "Outcome": "open the record",
    "reserve": "open the record",
    "expect": "admit",
    "match": "route",
    "still_good": "authenticate",
    "read_intent": "read the intent",
    "prove": "authenticate",
    "_learnt": "read the intent",
    "_of_bearer": "authenticate",
    "keep": "remember the head",
    "_settled": "record",
    "waiting_for": "spend",
    "decided": "record",
    "received": "close",
}
"""The step that a called function or an assigned attribute belongs to; others are steps by their own name."""
BEGIN, OUT, BACK, END = "connection: take the head", "relay: request out", "relay: response back", "connection: next"

Stamps = list[int]


class Stamping(ast.NodeTransformer):
    """Puts a stamp after each statement of `handle_request` and collects which step the time before it belongs to."""

    def __init__(self) -> None:
        self.steps: list[str] = []

    def stamped(self, statements: list[ast.stmt]) -> list[ast.stmt]:
        done: list[ast.stmt] = []
        for statement in statements:
            if isinstance(statement, ast.Try):
                statement.body = self.stamped(statement.body)
                statement.finalbody = self.stamped(statement.finalbody)
                done.append(statement)
            elif isinstance(statement, ast.With):
                step = step_of(statement.items[0].context_expr)
                statement.body = [self.stamp(step), *self.stamped(statement.body)]
                done += [statement, self.stamp(step)]
            else:
                done += [statement, self.stamp(step_of(statement))]
        return done

    def stamp(self, step: str) -> ast.stmt:
        self.steps.append(step)
        return ast.parse("_stamp(_now())").body[0]


def step_of(node: ast.AST) -> str:
    """The step of a statement: by what it calls, else by what it assigns, else by what it does on a condition."""
    if isinstance(node, ast.If):
        return step_of(node.body[0])
    value = getattr(node, "value", node)
    value = value.body if isinstance(value, ast.IfExp) else value
    value = value.value if isinstance(value, ast.Await) else value
    if isinstance(value, ast.Call):
        name = value.func.id if isinstance(value.func, ast.Name) else value.func.attr
    elif isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Attribute):
        name = node.targets[0].attr
    else:
        name = "?"
    return STEP_OF.get(name, name)


def stamped_copy(stamp: Callable[[int], None]) -> tuple[Callable[..., Coroutine], list[str]]:
    """The copy, and the step before each of its stamps."""
    file = Path(gateway.handle_request.__file__).parent / "handle_request.py"
    module = ast.parse(file.read_text())
    (function,) = (node for node in module.body if isinstance(node, ast.AsyncFunctionDef) and node.name == "handle_request")
    stamping = Stamping()
    docstring, *statements = function.body
    function.body = [docstring, stamping.stamp(BEGIN), *stamping.stamped(statements)]
    alone = ast.fix_missing_locations(ast.Module([function], []))
    names = {**vars(gateway.handle_request), "_stamp": stamp, "_now": time.perf_counter_ns}
    exec(compile(alone, str(file), "exec"), names)  # noqa: S102 our own source, with stamps
    return names["handle_request"], stamping.steps


def names_of(steps: list[str]) -> list[str]:
    """The step before each stamp of one request, those of the driver included."""
    place = steps.index("relay")
    return [*steps[:place], OUT, BACK, *steps[place + 1 :], END]


def run_stamped(bench: Bench, client: Downstream, requests: list[bytes], stamps: Stamps, per_request: int) -> list[list[int]]:
    """Nanoseconds between the stamps of each request of a client that is served by the copy."""
    now, gaps, end_turn = time.perf_counter_ns, [], bench.doorward.sweep.turn._end
    upstream = bench.upstream
    for each in requests:
        stamps.clear()
        stamps.append(now())
        client.data_received(each)
        end_turn()
        stamps.append(now())
        upstream.data_received(RESPONSE)
        end_turn()
        stamps.append(now())
        assert len(stamps) == per_request + 1, "a request went another way than the common one"
        gaps.append([later - earlier for earlier, later in itertools.pairwise(stamps)])
    return gaps


def run_plain(bench: Bench, requests: list[bytes]) -> list[int]:
    """Nanoseconds of each whole request."""
    now, taken, end_turn = time.perf_counter_ns, [], bench.doorward.sweep.turn._end
    client, upstream = bench.client, bench.upstream
    for each in requests:
        started = now()
        client.data_received(each)
        end_turn()
        upstream.data_received(RESPONSE)
        end_turn()
        taken.append(now() - started)
    return taken


def price_of_a_stamp() -> float:
    """Nanoseconds that a stamp adds to the gap before it."""
    stamps: Stamps = []
    add, now = stamps.append, time.perf_counter_ns
    for _ in range(20_000):
        add(now())
    return statistics.median(later - earlier for earlier, later in itertools.pairwise(stamps))


class Measurement:
    """Rounds of one kind of heads: through the stamped copy and through the original, in turn."""

    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        self.stamps: Stamps = []
        copy, steps = stamped_copy(self.stamps.append)
        self.names = names_of(steps)
        house = bench.doorward.listener
        self.client = Downstream(House(lambda caller: copy(bench.snapshot, caller), house.limits, house.sweep))
        self.client.connection_made(Idle())

    def take(self, requests: list[bytes], price: float) -> dict[str, float]:
        """Microseconds of each step, the median of all requests of this round."""
        gaps = run_stamped(self.bench, self.client, requests, self.stamps, len(self.names))
        taken = dict.fromkeys(self.names, 0.0)
        for place, name in enumerate(self.names):
            taken[name] += max(0.0, statistics.median(each[place] for each in gaps) - price) / 1000
        return taken


async def measure(bench: Bench, token: str, *, different: bool, count: int, rounds: int) -> dict:
    measurement, price = Measurement(bench), price_of_a_stamp()
    steps: list[dict[str, float]] = []
    whole: list[float] = []
    for turn in range(rounds + 1):
        first = turn * 2 * count
        stamped, plain = (
            [request(token, begin + number, different=different) for number in range(count)] for begin in (first, first + count)
        )
        steps.append(measurement.take(stamped, price))
        await asyncio.sleep(0.1)  # lets the journal's writer catch up
        whole.append((statistics.median(run_plain(bench, plain)) - price) / 1000)
        await asyncio.sleep(0.1)
    del steps[0], whole[0]  # the first round fills the memories
    table = {
        name: {
            "us": round(statistics.median(each[name] for each in steps), 2),
            "spread_us": round((max(each[name] for each in steps) - min(each[name] for each in steps)) / 2, 2),
        }
        for name in steps[0]
    }
    total = statistics.median(whole)
    return {
        "steps": table,
        "sum_us": round(sum(each["us"] for each in table.values()), 2),
        "whole_us": round(total, 2),
        "whole_spread_us": round((max(whole) - min(whole)) / 2, 2),
        "price_of_a_stamp_ns": price,
    }


async def main(arguments: argparse.Namespace) -> None:
    found = {}
    async with prepared() as (bench, token):
        for name, different in KINDS:
            found[name] = await measure(bench, token, different=different, count=arguments.requests, rounds=arguments.rounds)
    for line in as_text(rows_of(found)):
        print(line)
    print(f"\n{build()}. Timed in place by stamps whose price is taken off; ± is half of least to greatest over the rounds.")
    save("steps", build(), {"requests": arguments.requests, "rounds": arguments.rounds, "kinds": found})


def build() -> str:
    """Which Doorward was measured: as it is imported here."""
    return "pure Python" if gateway.http.head.__file__.endswith(".py") else "compiled"


def rows_of(found: dict[str, dict]) -> list[list[str]]:
    """A header, a row for each step, the sum, and the whole request as the original takes it."""
    rows = [["step", *(cell for name in found for cell in (f"µs, {name}", "±"))]]
    for step in next(iter(found.values()))["steps"]:
        cells = (each["steps"][step] for each in found.values())
        rows.append([step, *(text for cell in cells for text in (f"{cell['us']:.2f}", f"{cell['spread_us']:.2f}"))])
    rows.append(["sum of the steps", *(text for each in found.values() for text in (f"{each['sum_us']:.2f}", ""))])
    rows.append(
        [
            "the original, whole",
            *(text for each in found.values() for text in (f"{each['whole_us']:.2f}", f"{each['whole_spread_us']:.2f}")),
        ]
    )
    errors = (each["sum_us"] / each["whole_us"] - 1 for each in found.values())
    rows.append(["error", *(text for error in errors for text in (f"{error:+.1%}", ""))])
    return rows


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m benchmarks.cost_of_steps", description=__doc__.partition("\n")[0])
    parser.add_argument("--requests", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=9)
    uvloop.run(main(parser.parse_args(sys.argv[1:])))
