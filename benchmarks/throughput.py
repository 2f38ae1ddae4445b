"""How many requests a second does one core of each proxy carry in a closed loop, and what CPU does one cost; knows only wrk."""

import re
import resource
import subprocess
from collections.abc import Callable

from benchmarks import machine, tokens
from benchmarks.scenario import STOLEN, Column, Figures, Scenario, Stage
from benchmarks.scene import Peer, Scene

COLUMNS = (
    Column("rps", "requests/s"),
    Column("cpu_us", "CPU µs", 1),
    Column("p50_us", "p50 µs"),
    Column("p90_us", "p90 µs"),
    Column("strangers", "others' CPU", 2),
    STOLEN,
    Column("failed", "failed"),
)
EVERYBODY = ("direct", "doorward", "envoy", "envoy-no-cache", "haproxy", "nginx", "mitmproxy", "aiohttp")
REPEATED = "/v1/items/1?page=1"
ROTATING = 2000
MOST_COLD = 10_000
"""More tokens than any peer verifies in a second."""

# PREFIX, TARGET, FIRST and FILE are filled in. The numbers go on from round to round, so that no head ever comes again.
DIFFERENT = """
local number = FIRST
request = function()
  number = number + 1
  wrk.headers["traceparent"] = string.format("00-%032x-%016x-01", number, number)
  return wrk.format("GET", string.format("PREFIX/v1/items/TARGET?page=%d", number, number))
end
"""
TOKENS = """
local tokens = {}
for line in io.lines("FILE") do tokens[#tokens + 1] = line end
local number = 0
request = function()
  number = number % #tokens + 1
  wrk.headers["Authorization"] = "Bearer " .. tokens[number]
  return wrk.format("GET", "PREFIX/v1/items/1?page=1")
end
"""

Script = Callable[[Peer, int], str]


def closed_loop(path: str, connections: int, script: Script | None = None) -> Callable[[Peer, int], Figures]:
    """Measure with so many connections that each ask again as soon as they are answered."""

    def measure(peer: Peer, seconds: int) -> Figures:
        words = ["taskset", "-c", peer.scene.load_core, "wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--latency"]
        for name, value in peer.headers().items():
            words += ["-H", f"{name}: {value}"]
        if script is not None:
            file = peer.scene.folder / f"{peer.name}.lua"
            file.write_text(script(peer, peer.scene.round))
            words += ["-s", str(file)]
        busy, proxy = machine.busy_seconds(), peer.cpu_seconds()
        upstream, load = peer.scene.upstream_seconds(), _children_seconds()
        url = f"http://127.0.0.1:{peer.port}{peer.prefix}{path}"
        done = subprocess.run([*words, url], capture_output=True, text=True, check=True)
        proxy = peer.cpu_seconds() - proxy
        known = proxy + peer.scene.upstream_seconds() - upstream + _children_seconds() - load
        return {
            **figures_of(done.stdout, proxy),
            "strangers": round(max(0.0, machine.busy_seconds() - busy - known) / seconds, 2),
        }

    return measure


def figures_of(said: str, cpu_seconds: float) -> Figures:
    """What wrk has printed, and the CPU time of the proxy for one request."""
    failed = re.search(r"Non-2xx or 3xx responses: (\d+)", said)
    errors = re.search(r"Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)", said)
    requests = int(re.search(r"(\d+) requests in", said)[1])
    return {
        "requests": requests,
        "rps": float(re.search(r"Requests/sec:\s+([\d.]+)", said)[1]),
        "p50_us": _microseconds(re.search(r"50%\s+([\d.]+)(us|ms|s)", said)),
        "p90_us": _microseconds(re.search(r"90%\s+([\d.]+)(us|ms|s)", said)),
        "cpu_us": round(cpu_seconds / requests * 1e6, 1) if requests else None,
        "failed": (int(failed[1]) if failed else 0) + (sum(map(int, errors.groups())) if errors else 0),
    }


def _microseconds(found: re.Match) -> float:
    return round(float(found[1]) * {"us": 1, "ms": 1e3, "s": 1e6}[found[2]], 1)


def _children_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def different(target: str) -> Script:
    """Every head with its own trace id, path and query."""

    def script(peer: Peer, turn: int) -> str:
        filled = DIFFERENT.replace("PREFIX", peer.prefix).replace("TARGET", target)
        return filled.replace("FIRST", str(turn * 10_000_000))

    return script


def with_tokens(name: str) -> Script:
    """Repeated heads but for the token, which comes from a file of the scene."""

    def script(peer: Peer, _turn: int) -> str:
        return TOKENS.replace("PREFIX", peer.prefix).replace("FILE", str(peer.scene.folder / name))

    return script


def cold(peer: Peer, seconds: int) -> Figures:
    """No token comes twice: more were minted than requests can be made."""
    figures = closed_loop(REPEATED, 16, with_tokens("cold.txt"))(peer, seconds)
    assert figures["requests"] + 16 <= MOST_COLD * seconds, "tokens came twice; mint more"
    return figures


def mint_cold(scene: Scene, seconds: int) -> None:
    tokens.mint_into(scene, scene.folder / "cold.txt", MOST_COLD * seconds)


def mint_rotating(scene: Scene, _seconds: int) -> None:
    file = scene.folder / "rotating.txt"
    if not file.exists():
        tokens.mint_into(scene, file, ROTATING)


CONDITION = Stage(with_condition=True)
WITH_BODIES = ("direct", "doorward", "envoy", "haproxy", "nginx", "aiohttp")

SCENARIOS = (
    *(
        Scenario(
            f"repeated-{count}",
            f"1 KiB, repeated heads, {count} connection{'s' if count > 1 else ''}",
            EVERYBODY,
            closed_loop(REPEATED, count),
            COLUMNS,
        )
        for count in (1, 16, 64)
    ),
    Scenario(
        "different-16",
        "1 KiB, every head different, 16 connections",
        EVERYBODY,
        closed_loop("/", 16, different("%d")),
        COLUMNS,
    ),
    Scenario(
        "rotating-tokens",
        f"1 KiB, {ROTATING:,} tokens in rotation, 16 connections",
        ("doorward", "envoy", "nginx", "aiohttp"),
        closed_loop(REPEATED, 16, with_tokens("rotating.txt")),
        COLUMNS,
        prepare=mint_rotating,
    ),
    Scenario(
        "cold-tokens",
        "1 KiB, a token never seen before on each request, 16 connections",
        ("doorward", "envoy-no-cache", "haproxy", "aiohttp"),
        cold,
        COLUMNS,
        prepare=mint_cold,
        against=("envoy-no-cache", "haproxy"),
    ),
    Scenario("body-64k", "64 KiB bodies, 16 connections", WITH_BODIES, closed_loop("/v1/bodies/64k", 16), COLUMNS),
    Scenario("body-1m", "1 MiB bodies, 16 connections", WITH_BODIES, closed_loop("/v1/bodies/1m", 16), COLUMNS),
    Scenario(
        "when-repeated-16",
        "1 KiB, repeated heads, when: path.id == task.params.id, 16 connections",
        ("doorward", "envoy", "nginx"),
        closed_loop(REPEATED, 16),
        COLUMNS,
        stage=CONDITION,
    ),
    Scenario(
        "when-different-16",
        "1 KiB, every head different, when: path.id == task.params.id, 16 connections",
        ("doorward", "envoy", "nginx"),
        closed_loop("/", 16, different("1/%d")),
        COLUMNS,
        stage=CONDITION,
    ),
)
