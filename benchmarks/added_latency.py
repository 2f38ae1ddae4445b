"""What does each proxy add to the time of a request when it is far from full? An open loop at a fixed rate; knows no other load."""

import json
import subprocess

from benchmarks.scenario import STOLEN, Column, Figures, Scenario
from benchmarks.scene import Peer

RATE = 1000
CONNECTIONS = 16


def ask(peer: Peer, seconds: int) -> Figures:
    """Times count from the moment the timetable names, so that a slow answer makes those behind it late too."""
    order = {
        "port": peer.port, "head": peer.head("/v1/items/1?page=1"), "rate": RATE, "connections": CONNECTIONS, "seconds": seconds,
    }  # fmt: skip
    words = ["taskset", "-c", peer.scene.load_core, *peer.scene.program("open_loop")]
    before = peer.cpu_seconds()
    done = subprocess.run(words, input=json.dumps(order) + "\n", capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{peer.name} could not be asked at a fixed rate: {done.stderr}")
    figures = json.loads(done.stdout)
    return {**figures, "cpu_us": round((peer.cpu_seconds() - before) / figures["requests"] * 1e6, 1)}


def add_pairs(runs: dict[str, list[Figures]]) -> None:
    """To each run what its peer added to the direct run of the same round, and its p99 beside Envoy's of that round."""
    for rows in runs.values():
        for turn, mine in enumerate(rows):
            if "direct" in runs:
                bare = runs["direct"][turn]
                for part in ("p50", "p99"):
                    mine[f"added_{part}_us"] = round(mine[f"{part}_us"] - bare[f"{part}_us"], 1)
            if "envoy" in runs:
                mine["p99_to_envoy"] = round(mine["p99_us"] / runs["envoy"][turn]["p99_us"], 3)


SCENARIOS = (
    Scenario(
        "added-latency",
        f"What is added to each of {RATE:,} requests/s, {CONNECTIONS} connections",
        ("direct", "doorward", "envoy", "nginx", "haproxy", "aiohttp"),
        ask,
        (
            Column("added_p50_us", "added p50 µs"),
            Column("added_p99_us", "added p99 µs"),
            Column("p50_us", "p50 µs"),
            Column("p99_us", "p99 µs"),
            Column("p99_to_envoy", "p99 to envoy", 2),
            Column("cpu_us", "CPU µs", 1),
            Column("late_us", "sent late µs"),
            Column("generator", "generator's CPU", 2),
            STOLEN,
            Column("unanswered", "unanswered"),
            Column("failed", "failed"),
        ),
        conclude=add_pairs,
        repeats=15,
    ),
)
