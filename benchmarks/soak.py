"""Does Doorward stay the same under load and misbehaviour for half an hour? Measures Doorward alone.

    python -m benchmarks.soak --seconds 1800

At two thirds of the measured capacity, while clients leave, stall, drip and send nonsense and an upstream resets, ends early
and sends garbage. Memory and descriptors at the end are compared with those at a sixth of the time (minute five of thirty);
then the audit log is verified offline, and each request must have its two records. Exits 1 if anything is not as it must be.
"""

import argparse
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict
from pathlib import Path

from benchmarks import tokens, upstreams
from benchmarks.compare import allow_descriptors, present
from benchmarks.peers.doorward import configured, use_compiled
from benchmarks.results import save
from benchmarks.scene import AGENT, LackingError, Peer, Scene, descriptors, end, free_port
from benchmarks.soak_log import Records, faults, verified
from benchmarks.throughput import figures_of

INTENTS = {"items.read": ("api", "GET"), "items.write": ("api", "POST"), "items.trouble": ("trouble", "GET")}
IDLE = 5
"""Seconds after which the gateway gives up a body that stands still."""
TROUBLES_A_SECOND = 20
DELAY_MS = 20
BYTES_A_REQUEST = 1400
"""Two records, and room to spare."""
LONG_ENOUGH = 600
"""Seconds; in a shorter soak the bounded memories of heads are still filling, so growth is told and not judged."""
MORE_KIB = 4 * 1024
MORE_PART = 0.03
MORE_DESCRIPTORS = 24
"""What is within the noise of a load that comes and goes."""

# DELAY, PREFIX and FIRST are filled in: every other head is one that never came before.
STEADY = """
local number = FIRST
delay = function() return DELAY end
request = function()
  number = number + 1
  if number % 2 == 0 then return wrk.format("GET", "PREFIX/v1/items/1?page=1") end
  wrk.headers["traceparent"] = string.format("00-%032x-%016x-01", number, number)
  return wrk.format("GET", string.format("PREFIX/v1/items/%d?page=%d", number, number))
end
"""


def doorward(scene: Scene, trouble_port: int) -> Peer:
    """Two upstreams, one of them troubled, and little patience, so that time-outs are part of it."""
    intents = ", ".join(
        f'{name}: {{upstream: {upstream}, operations: ["{method} /v1/{{rest...}}"]}}'
        for name, (upstream, method) in INTENTS.items()
    )
    return configured(
        scene,
        free_port(),
        intents=f"{{{intents}}}",
        grants=f'[{{name: the agent works, agents: ["{AGENT}"], intents: ["items.*"]}}]',
        limits=f", limits: {{head_timeout: 3s, stream_idle_timeout: {IDLE}s}}",
        upstreams={"api": scene.upstream_port, "trouble": trouble_port},
        keep=100_000,
    )


def start_wrk(peer: Peer, connections: int, seconds: int, delay_ms: int) -> subprocess.Popen:
    """The good requests: each connection waits so long between an answer and its next request."""
    scene = peer.scene
    scene.round += 1
    script = STEADY.replace("PREFIX", peer.prefix).replace("DELAY", str(delay_ms))
    file = scene.folder / "steady.lua"
    file.write_text(script.replace("FIRST", str(scene.round * 1_000_000_000)))
    lines = [word for name, value in peer.headers().items() for word in ("-H", f"{name}: {value}")]
    words = ["taskset", "-c", scene.load_core, "wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--latency", *lines]
    return subprocess.Popen([*words, "-s", str(file), f"http://127.0.0.1:{peer.port}"], stdout=subprocess.PIPE, text=True)


def run_wrk(peer: Peer, connections: int, seconds: int, delay_ms: int) -> dict:
    said, _ = start_wrk(peer, connections, seconds, delay_ms).communicate(timeout=seconds + 60)
    return figures_of(said, 0.0)


class Loads:
    """The good requests at a steady rate, and the clients that misbehave."""

    def __init__(self, peer: Peer, connections: int, seconds: int) -> None:
        scene = peer.scene
        self.wrk = start_wrk(peer, connections, seconds, DELAY_MS)
        self.maker = subprocess.Popen(
            ["taskset", "-c", scene.load_core, *scene.program("trouble_maker")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        headers = f"Authorization: Bearer {scene.token}\r\n"
        order = {"port": peer.port, "rate": TROUBLES_A_SECOND, "headers": headers, "idle": IDLE}
        self.maker.stdin.write(json.dumps(order) + "\n")
        self.maker.stdin.flush()

    def finish(self) -> tuple[dict, dict]:
        """What wrk counted, and what the trouble maker did."""
        said, _ = self.wrk.communicate(timeout=60)
        self.maker.terminate()
        told, _ = self.maker.communicate(timeout=90)
        return figures_of(said, 0.0), json.loads(told)

    def stop(self) -> None:
        for process in (self.wrk, self.maker):
            process.kill()
            process.wait()


def watch(peer: Peer, seconds: int) -> list[dict]:
    """Memory and descriptors, often, for as long as the load lasts; the last samples are taken while it still runs."""
    started, samples = time.monotonic(), []
    step = max(0.2, seconds / 900)
    while (at := time.monotonic() - started) < seconds - 0.5:
        assert peer.process.poll() is None, f"Doorward has ended: {peer.scene.said(peer.name)}"
        pid = peer.process.pid
        samples.append({"at": round(at, 1), "kib": peer.resident_kib(), "descriptors": descriptors(pid)})
        time.sleep(step)
    return samples


def around(samples: list[dict], begin: float, until: float) -> dict:
    window = [each for each in samples if begin <= each["at"] <= until]
    return {
        "at": round((begin + until) / 2),
        "kib": statistics.median(each["kib"] for each in window),
        "descriptors": statistics.median(each["descriptors"] for each in window),
    }


def grown(early: dict, late: dict) -> list[str]:
    """Sentences about what has grown beyond the noise."""
    found = []
    if late["kib"] > early["kib"] + max(MORE_KIB, early["kib"] * MORE_PART):
        found.append(f"memory grew from {early['kib']:,} to {late['kib']:,} KiB")
    if late["descriptors"] > early["descriptors"] + MORE_DESCRIPTORS:
        found.append(f"descriptors grew from {early['descriptors']} to {late['descriptors']}")
    return found


def soak(peer: Peer, seconds: int) -> dict:
    """Capacity, load, comparison; the log is read when Doorward has stopped."""
    before = descriptors(peer.process.pid)
    short = max(2, min(10, seconds // 10))
    capacity = run_wrk(peer, 32, short, 0)
    rate = capacity["rps"] * 2 / 3
    # A load that waits between requests is the slower the slower the answers are: one trial tells how many connections it takes.
    first = max(1, round(rate * (DELAY_MS + 1) / 1000))
    trial = run_wrk(peer, first, short, DELAY_MS)
    connections = min(2 * first, round(first * rate / trial["rps"]))
    print(f"capacity {capacity['rps']:,.0f} requests/s; soaking at two thirds of it for {seconds} s", flush=True)
    need_room(peer.scene.folder, rate * seconds * BYTES_A_REQUEST)
    loads = Loads(peer, connections, seconds)
    try:
        samples = watch(peer, seconds)
        steady, trouble = loads.finish()
    finally:
        loads.stop()
    time.sleep(IDLE + 1)
    early = around(samples, seconds / 6 - seconds / 30, seconds / 6 + seconds / 30)
    late = around(samples, seconds - seconds / 15, seconds)
    return {
        "seconds": seconds,
        "compiled": "PYTHONPATH" in peer.environment,
        "capacity_rps": capacity["rps"],
        "rps": steady["rps"],
        "steady": steady,
        "trouble": trouble,
        "early": early,
        "late": late,
        "descriptors_before": before,
        "descriptors_after": descriptors(peer.process.pid),
        "asked_before": capacity["requests"] + trial["requests"],
        "most_cut_off": 32 + first + connections,
        "samples": samples[:: max(1, len(samples) // 200)],
    }


def need_room(folder: Path, wanted: float) -> None:
    free = shutil.disk_usage(folder).free
    print(f"the audit log will take up to {wanted / 2**30:.1f} GiB of {free / 2**30:.0f} GiB that are free", flush=True)
    if wanted > free * 0.9:
        raise LackingError("there is no room for the audit log; name another folder with --folder, or fewer --seconds")


def judged(found: dict, configuration: Path) -> dict:
    """Read the log and say what is wrong."""
    log = configuration.with_name("audit.jsonl")
    records, verification = Records().read(log), verified(configuration)
    steady, trouble = found["steady"], found["trouble"]
    good = steady["requests"] + found["asked_before"]
    answered, asked = good + trouble["answered"], good + found["most_cut_off"] + trouble["parsed"]
    growth = grown(found["early"], found["late"])
    told, wrong = ([], growth) if found["seconds"] >= LONG_ENOUGH else (growth, [])
    wrong += faults(records, verification, answered, asked, trouble["malformed"])
    if steady["failed"]:
        wrong.append(f"{steady['failed']} good requests failed")
    if trouble["odd"]:
        wrong.append(f"{trouble['odd']} troubles were answered in an odd way, such as {trouble['odd_examples']}")
    return {
        **found,
        "told": told,
        "records": asdict(records),
        "verification": verification,
        "wrong": wrong,
        "passed": not wrong,
    }


def show(found: dict) -> None:
    early, late, records = found["early"], found["late"], found["records"]
    print(f"{found['steady']['requests']:,} good requests at {found['rps']:,.0f}/s, {found['steady']['failed']} failed")
    print(f"{sum(found['trouble']['kinds'].values()):,} troubles of {len(found['trouble']['kinds'])} kinds")
    print(f"memory       {early['kib']:,.0f} KiB at {early['at']} s, {late['kib']:,.0f} KiB at {late['at']} s")
    print(
        f"descriptors  {early['descriptors']:.0f} and {late['descriptors']:.0f}; {found['descriptors_before']} before the load, "
        f"{found['descriptors_after']} after it"
    )
    print(
        f"records      {records['requests']:,} requests, {records['responses']:,} responses, {records['unparsed']:,} unparsed"
    )
    print(f"endings      {dict(records['endings'])}")
    print(f"verified     {found['verification']}")
    for sentence in found["told"]:
        print(f"too short a soak to judge by it: {sentence}")
    for sentence in found["wrong"]:
        print(f"WRONG: {sentence}")
    print("passed" if found["passed"] else "FAILED")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.soak", description=__doc__.partition("\n")[0])
    parser.add_argument("--seconds", type=int, default=1800)
    parser.add_argument("--folder", help="where the audit log goes; without it, the usual place for temporary files")
    parser.add_argument("--compiled", action="store_true", help="measure the compiled Doorward")
    arguments = parser.parse_args()
    allow_descriptors()
    if not present():
        return 1
    with tempfile.TemporaryDirectory(dir=arguments.folder) as place:
        Path(place).chmod(0o755)
        scene = Scene(Path(place))
        started = [upstreams.pages(scene)]
        try:
            trouble_port, troubled = upstreams.troubled(scene)
            started.append(troubled)
            peer = doorward(scene, trouble_port)
            try:
                if arguments.compiled:
                    use_compiled(peer)
                peer.start()
                tokens.issue(scene, scope=" ".join(INTENTS))
                found = soak(peer, arguments.seconds)
            finally:
                peer.stop()
            found = judged(found, scene.folder / "doorward" / "doorward.yaml")
        finally:
            for process in started:
                end(process)
    show(found)
    save("soak", None, found)
    return 0 if found["passed"] else 1


if __name__ == "__main__":
    sys.exit(main())
