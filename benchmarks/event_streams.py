"""How late do events come through each proxy, and what CPU does one cost, with many streams at once? Knows only server-sent events."""

import json
import subprocess

from benchmarks import upstreams
from benchmarks.scenario import STOLEN, Column, Figures, Scenario, Stage
from benchmarks.scene import Peer

STREAMS = 200
PER_SECOND = 100
WARM_UP = 5


def listen(peer: Peer, seconds: int) -> Figures:
    """Open the streams, let them settle, measure. Source and listener share the core of the load."""
    order = {"port": peer.port, "head": peer.head("/v1/events"), "streams": STREAMS, "seconds": seconds}
    words = ["taskset", "-c", peer.scene.load_core, *peer.scene.program("event_listener")]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as listener:
        listener.stdin.write(json.dumps(order) + "\n")
        listener.stdin.flush()
        assert listener.stdout.readline() == "ready\n"
        proxy, source = peer.cpu_seconds(), peer.scene.upstream_seconds()
        assert listener.stdout.readline() == "done\n"
        proxy, source = peer.cpu_seconds() - proxy, peer.scene.upstream_seconds() - source
        figures = json.loads(listener.stdout.readline())
    figures["cpu_us"] = round(proxy / figures["events"] * 1e6, 1) if figures["events"] else None
    figures["cpu_share"] = round(proxy / seconds, 3)
    figures["load_share"] = round(source / seconds + figures.pop("generator"), 2)
    figures["arrived"] = round(figures["events"] / (STREAMS * PER_SECOND * seconds), 3)
    return figures


SCENARIOS = (
    Scenario(
        "event-streams",
        f"{STREAMS} event streams of {PER_SECOND} events/s",
        ("direct", "doorward", "envoy", "nginx", "haproxy", "aiohttp"),
        listen,
        (
            Column("p99_us", "p99 µs"),
            Column("p50_us", "p50 µs"),
            Column("cpu_us", "CPU µs/event", 1),
            Column("cpu_share", "CPU of core", 2),
            Column("arrived", "arrived", 3),
            Column("load_share", "load's core", 2),
            STOLEN,
            Column("broken", "broken"),
        ),
        stage=Stage(upstream=upstreams.events),
        seconds=8,
    ),
)
