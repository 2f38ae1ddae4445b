"""How long after its acknowledgement is a revocation not yet in force? Knows what a client sees, and the audit log's word on it.

A steady 1,000 requests a second whose tokens stay good, and 200 event streams that nobody may cut. Meanwhile tasks are revoked
over the admin socket, several at a time, in turn at each authority; every task has an event stream through each gateway, and
on a kept connection to each process that serves, requests with its token follow each other until they are refused.

The rule, on the one monotonic clock of the machine:

- A revocation is acknowledged when a process that does nothing else has read the whole answer to it.
- Of the requests with the task's token that were accepted (status 200), at whichever process, the one that was SENT latest counts; what
  was sent before the acknowledgement is never held against it, whenever it was answered. Its time less that of the
  acknowledgement is the figure. It is negative if nothing was accepted that was sent afterwards.
- For streams it is the time at which a process that does nothing else had seen the last stream of the task end, less that of
  the acknowledgement.
- No task is left out. One that is not refused everywhere, or whose streams are not cut, within 10 s ends the measurement.

Requests with one token follow each other as fast as they are answered, so a figure is exact to one answer's time. After each setting all processes
stop, and `doorward audit replay` judges all chains together by what was seen acknowledged.
"""

import argparse
import asyncio
import json
import subprocess
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

import jwt

from benchmarks import upstreams
from benchmarks.installations import SETTINGS, Installation, replayed
from benchmarks.machine import busy_seconds
from benchmarks.results import percentile
from benchmarks.scene import INTENT, Scene, end
from benchmarks.settings import measured, parser_of
from benchmarks.table import Rows

BOUNDS_MS = dict(zip(SETTINGS, (1.0, 20.0, 100.0), strict=True))
"""What p99 has to be below, for acceptance and for streams."""
WITHIN = dict(zip(SETTINGS, (0.0, 1.0, 1.0), strict=True))
"""Seconds after an acknowledgement for which the replay lets pass what another writer recorded."""
RATE, CONNECTIONS, STREAMS, LANES, OTHERS = 1000, 16, 200, 4, 20
CORES = ("0", "1")
"""One for one process and one for the load; several processes run on both."""
EVENTS_EVERY = 1.0
"""Seconds between two events of a stream."""


def main() -> int:
    """1 if a setting does not hold what it has to."""
    every = [*measured("revocation", [*SETTINGS], parsed(), measure, rows_of)]
    return int(any(not found["held"] for found in every))


def parsed() -> argparse.Namespace:
    parser = parser_of("revocation", __doc__, [*SETTINGS])
    parser.add_argument("--tasks", type=int, default=320, help="tasks to revoke in each round (320)")
    parser.add_argument("--streams", type=int, default=STREAMS, help=f"event streams that stay open ({STREAMS})")
    return parser.parse_args()


def measure(setting: str, arguments: argparse.Namespace) -> dict:
    """One setting: what all of its rounds together have seen."""
    rounds = [measure_once(setting, arguments) for _ in range(arguments.rounds)]
    return {"compiled": arguments.compiled, **figures_of(rounds, BOUNDS_MS[setting])}


def measure_once(setting: str, arguments: argparse.Namespace) -> dict:
    """One round, from its start to the judgement of its logs."""
    with tempfile.TemporaryDirectory(dir="/dev/shm") as place:
        Path(place).chmod(0o755)
        alone = setting == next(iter(SETTINGS))
        scene = Scene(Path(place), CORES[0] if alone else ",".join(CORES), CORES[1])
        upstream = upstreams.events(scene, EVENTS_EVERY)
        try:
            with SETTINGS[setting](scene, compiled=arguments.compiled) as made:
                order = asyncio.run(prepared(made, arguments))
                offset, busy = time.time() - time.monotonic(), busy_seconds()
                seen = loaded(scene, order)
                seen["busy"] = busy_seconds() - busy
        finally:
            end(upstream)
        noted = scene.folder / "acknowledged"
        noted.write_text("".join(note(each["id"], each["at"] / 1e9 + offset) for each in seen["ended"]))
        return {**seen, "judged": replayed(made.logs(), noted, WITHIN[setting])}


async def prepared(made: Installation, arguments: argparse.Namespace) -> dict:
    """What the load is to do; all tokens come from the first authority."""
    tokens = [await token_of(made) for _ in range(OTHERS + arguments.tasks)]
    tasks = [{"id": task_of(token), "token": token} for token in tokens[OTHERS:]]
    return {
        "gateways": made.gateways, "sockets": made.sockets("admin.sock"), "tokens": tokens[:OTHERS], "tasks": tasks,
        "rate": RATE, "connections": CONNECTIONS, "streams": arguments.streams, "lanes": LANES,
    }  # fmt: skip


async def token_of(made: Installation) -> str:
    """The token of a task of its own."""
    from gateway.fetch import Fetch

    form = {
        "grant_type": "urn:ietf:params:oauth:grant-type:token-exchange", "subject_token": "peer",
        "subject_token_type": "urn:doorward:unix-peer", "scope": INTENT,
    }  # fmt: skip
    async with Fetch() as fetch:
        answer = await fetch.request("POST", "http://a/token", form=form, unix=made.sockets("authority.sock")[0])
    return answer.json()["access_token"]


def task_of(token: str) -> str:
    return jwt.decode(token.removeprefix("dwt_"), options={"verify_signature": False})["txn"]


def loaded(scene: Scene, order: dict) -> dict:
    """What the load has seen."""
    words = ["taskset", "-c", scene.load_core, *scene.program("revocation_load")]
    done = subprocess.run(words, input=json.dumps(order), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def note(task: str, at: float) -> str:
    """A line for the replay: an acknowledgement at that Unix time."""
    return json.dumps({"kind": "task", "id": task, "time": datetime.fromtimestamp(at, UTC).isoformat()}) + "\n"


def figures_of(rounds: list[dict], bound: float) -> dict:
    """The figures, in milliseconds, and whether the setting has held all that it must."""
    found = {}
    ended = [each for seen in rounds for each in seen["ended"]]
    for what in ("acceptance", "cut"):
        ordered = sorted(each[what] / 1e6 for each in ended)
        found[what] = {
            **{f"p{part}_ms": round(percentile(ordered, part / 100), 3) for part in (50, 99)},
            "max_ms": round(ordered[-1], 3),
            "after": sum(each > 0 for each in ordered),
        }
    answered, seconds, busy, disturbed = (
        sum(seen[name] for seen in rounds for name in names)
        for names in (("answered",), ("seconds",), ("busy",), ("failed", "broken"))
    )
    held = not disturbed and all(seen["judged"]["held"] for seen in rounds)
    return {
        "bound_ms": bound, "held": held and all(each["p99_ms"] < bound for each in found.values()), **found,
        "rounds": len(rounds), "revocations": len(ended), "breaches": sum(seen["judged"]["breaches"] for seen in rounds),
        "per_second": round(answered / seconds), "disturbed": disturbed, "cores_busy": round(busy / seconds, 2),
    }  # fmt: skip


def rows_of(settings: dict) -> Rows:
    """Two lines for each setting: the last acceptance and the last cut after an acknowledgement."""
    rows = [["after the acknowledgement", "bound ms", "p50 ms", "p99 ms", "max ms", "seen after", "revocations", "breaches"]]
    for setting, found in settings.items():
        for what, title in (("acceptance", "last acceptance"), ("cut", "streams cut")):
            figures = found[what]
            times = (f"{figures[name]:,.2f}" for name in ("p50_ms", "p99_ms", "max_ms"))
            after, ended = f"{figures['after']:,}", f"{found['revocations']:,}"
            rows.append([f"{setting}: {title}", f"{found['bound_ms']:g}", *times, after, ended, f"{found['breaches']:,}"])
    return rows


if __name__ == "__main__":
    raise SystemExit(main())
