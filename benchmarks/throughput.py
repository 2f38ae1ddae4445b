"""How many requests a second does one core of each proxy carry, doing the same job? Closed loop, interleaved, medians.

The proxy has one core, the load generator (wrk) and the upstream (nginx) share the other. Each peer is first shown to refuse
a bad token and a wrong intent (where it checks them) and to swap the key. Prints a table and writes JSON beside it.
"""

import argparse
import json
import os
import platform
import re
import statistics
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from benchmarks import peers as peering
from benchmarks.peers import INTENT, PEERS, LackingError, Peer, Scene

SCENARIOS = {
    "1 KiB, repeated heads, 1 connection": ("repeated", "/v1/items/1?page=1", 1),
    "1 KiB, repeated heads, 16 connections": ("repeated", "/v1/items/1?page=1", 16),
    "1 KiB, repeated heads, 64 connections": ("repeated", "/v1/items/1?page=1", 64),
    "1 KiB, every head different, 16 connections": ("different", "", 16),
    "64 KiB, 16 connections": ("repeated", "/v1/bodies/64k", 16),
    "1 MiB, 16 connections": ("repeated", "/v1/bodies/1m", 16),
}

DIFFERENT = """
local number = 0
request = function()
  number = number + 1
  wrk.headers["traceparent"] = string.format("00-%032x-%016x-01", number, number)
  return wrk.format("GET", string.format("PREFIX/v1/items/%d?page=%d", number, number))
end
"""


def headers(scene: Scene) -> dict[str, str]:
    return {
        "Authorization": f"Bearer {scene.token}",
        "Agent-Intent": INTENT,
        "User-Agent": "agent/1.0",
        "Accept": "application/json",
        "Accept-Encoding": "gzip, deflate",
    }


def status(peer: Peer, path: str, sent: dict[str, str]) -> int:
    request = urllib.request.Request(f"http://127.0.0.1:{peer.port}{peer.prefix}{path}", headers=sent)
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status
    except urllib.error.HTTPError as error:
        return error.code


def prove(peer: Peer, scene: Scene) -> None:
    """The upstream answers 401 unless it sees its key and no Authorization, so 200 proves the swap."""
    good = headers(scene)
    if peer.name == "direct":
        good = {**good, "X-Api-Key": peering.KEY}
        del good["Authorization"]
    assert status(peer, "/v1/items/1", good) == 200, f"{peer.name} does not swap"
    if peer.checks_tokens:
        broken = scene.token[:-10] + ("A" if scene.token[-10] != "A" else "B") + scene.token[-9:]
        assert status(peer, "/v1/items/1", {**good, "Authorization": f"Bearer {broken}"}) == 401, (
            f"{peer.name} takes a bad token"
        )
    if peer.name != "direct":
        assert status(peer, "/v1/items/1", {**good, "Agent-Intent": "items.write"}) == 403, f"{peer.name} takes a wrong intent"


def load(peer: Peer, scene: Scene, kind: str, path: str, connections: int, seconds: int, core: str) -> dict:
    sent = headers(scene)
    if peer.name == "direct":
        sent = {**sent, "X-Api-Key": peering.KEY}
        del sent["Authorization"]
    words = ["taskset", "-c", core, "wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--latency"]
    for name, value in sent.items():
        words += ["-H", f"{name}: {value}"]
    if kind == "different":
        script = scene.folder / f"different-{peer.name}.lua"
        script.write_text(DIFFERENT.replace("PREFIX", peer.prefix))
        words += ["-s", str(script)]
    before = peer.cpu_seconds()
    done = subprocess.run(
        [*words, f"http://127.0.0.1:{peer.port}{peer.prefix}{path}"], capture_output=True, text=True, check=True
    )
    cpu = peer.cpu_seconds() - before
    text = done.stdout
    failed = re.search(r"Non-2xx or 3xx responses: (\d+)", text)
    requests = int(re.search(r"(\d+) requests in", text)[1])
    return {
        "rps": float(re.search(r"Requests/sec:\s+([\d.]+)", text)[1]),
        "p50_us": microseconds(re.search(r"50%\s+([\d.]+)(us|ms|s)", text)),
        "cpu_us": round(cpu / requests * 1e6, 1) if requests else None,
        "failed": int(failed[1]) if failed else 0,
    }


def microseconds(found: re.Match) -> float:
    return round(float(found[1]) * {"us": 1, "ms": 1e3, "s": 1e6}[found[2]], 1)


def machine() -> dict:
    model = next(
        (line.partition(":")[2].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line), ""
    )
    return {"cpu": model, "cores": os.cpu_count(), "kernel": platform.release(), "python": platform.python_version()}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=4)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--peers", default=",".join(PEERS))
    parser.add_argument("--only", default="", help="a part of the names of the scenarios")
    parser.add_argument("--out", default="benchmarks/results/throughput.json")
    parser.add_argument("--proxy-core", default="0")
    parser.add_argument("--load-core", default="1")
    arguments = parser.parse_args()
    try:
        peering.need("wrk", "apt-get install wrk")
    except LackingError as lack:
        print(lack, file=sys.stderr)
        return 1
    started: list[Peer] = []
    results: dict[str, dict[str, list[dict]]] = {}
    with tempfile.TemporaryDirectory(dir="/dev/shm") as place:
        Path(place).chmod(0o755)
        scene = Scene(Path(place), arguments.proxy_core)
        upstream = peering.start_upstream(scene, arguments.load_core)
        try:
            wanted = ["doorward", *(name for name in arguments.peers.split(",") if name != "doorward")]
            for name in wanted:
                try:
                    started.append(PEERS[name](scene))
                except LackingError as lack:
                    print(f"left out: {lack}", file=sys.stderr)
                if name == "doorward":
                    peering.run(peering.issue(scene))
            for peer in started:
                prove(peer, scene)
            for title, (kind, path, connections) in SCENARIOS.items():
                if arguments.only not in title:
                    continue
                rows = results.setdefault(title, {peer.name: [] for peer in started})
                for _ in range(arguments.runs):
                    for peer in started:
                        rows[peer.name].append(
                            load(peer, scene, kind, path, connections, arguments.seconds, arguments.load_core)
                        )
                print_table(title, rows)
        finally:
            for peer in started:
                peer.stop()
            upstream.terminate()
            upstream.wait()
    out = Path(arguments.out)
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps({"machine": machine(), "seconds": arguments.seconds, "results": results}, indent=1) + "\n")
    return 0


def print_table(title: str, rows: dict[str, list[dict]]) -> None:
    print(f"\n{title}")
    print(f"  {'':16} {'rps':>9} {'p50 us':>9} {'cpu us':>8} {'to envoy':>9} {'failed':>7}")
    reference = rows.get("envoy")
    for name, runs in rows.items():
        rps = statistics.median(run["rps"] for run in runs)
        p50 = statistics.median(run["p50_us"] for run in runs)
        cpu = statistics.median(run["cpu_us"] or 0 for run in runs)
        ratio = (
            f"{statistics.median(mine['rps'] / other['rps'] for mine, other in zip(runs, reference, strict=True)):.2f}"
            if reference
            else ""
        )
        print(f"  {name:16} {rps:9.0f} {p50:9.0f} {cpu:8.1f} {ratio:>9} {sum(run['failed'] for run in runs):7}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
