"""Describes the machine and the versions of everything that was measured, without a name or a path of it; measures nothing."""

import importlib.metadata
import os
import platform
import re
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks.peers.intercepting import PLACE

ROOT = Path(__file__).parents[1]
LIBRARIES = ("uvloop", "aiohttp", "PyJWT", "cryptography", "orjson", "structlog")


def machine() -> dict:
    """What has to be the same for two results to be comparable."""
    cpuinfo = Path("/proc/cpuinfo").read_text()
    meminfo = Path("/proc/meminfo").read_text()
    return {
        "cpu": " ".join(re.search(r"model name\s*: (.*)", cpuinfo)[1].split()),
        "cores": os.cpu_count(),
        "cores_share_hardware": _siblings(),
        "memory_gib": round(int(re.search(r"MemTotal:\s+(\d+)", meminfo)[1]) / 2**20),
        "virtual": "hypervisor" in cpuinfo,
        "kernel": platform.release(),
        "python": platform.python_version(),
        "libraries": {name: importlib.metadata.version(name) for name in LIBRARIES},
        "programs": {name: version for name, version in _programs() if version},
    }


def commit() -> str:
    """The commit that was measured, marked if files differ from it."""
    found = subprocess.run(
        ["git", "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    return found.stdout.strip() or "unknown"


def with_steal(run: Callable[[], dict]) -> dict:
    """The figures of one run, and as `steal` how many cores the host took away meanwhile."""
    stolen, began = _steal_seconds(), time.monotonic()
    figures = run()
    return {**figures, "steal": round((_steal_seconds() - stolen) / (time.monotonic() - began), 2)}


def busy_seconds() -> float:
    """What all processes together have used of all cores since boot."""
    fields = Path("/proc/stat").read_text().split("\n", 1)[0].split()
    return sum(int(fields[number]) for number in (1, 2, 3, 6, 7)) / os.sysconf("SC_CLK_TCK")


def _steal_seconds() -> float:
    """What the host has taken away from all cores since boot."""
    fields = Path("/proc/stat").read_text().split("\n", 1)[0].split()
    return int(fields[8]) / os.sysconf("SC_CLK_TCK")


def _siblings() -> bool:
    """Whether the first two cores are threads of one, so that load and proxy slow each other down."""
    file = Path("/sys/devices/system/cpu/cpu0/topology/thread_siblings_list")
    return file.exists() and file.read_text().strip() in ("0-1", "0,1")


def _programs():
    beside = str(Path(shutil.which("python") or "").parent)
    environment = os.environ.get("VIRTUAL_ENV", "")
    place = f"{environment}/bin:{beside}:{ROOT / '.venv' / 'bin'}:{os.environ['PATH']}"
    envoy = shutil.which("envoy", path=place)
    yield "envoy", _first(r"/(\d+\.\d+\.\d+)/", [envoy, "--version"]) if envoy else None
    yield "haproxy", _first(r"version (\d[\d.]+)", ["haproxy", "-v"])
    yield "nginx", _first(r"nginx/([\d.]+)", ["nginx", "-v"])
    yield "wrk", _first(r"wrk \S*?(\d[\d.]+)", ["wrk", "-v"])
    yield "mitmproxy", _first(r"Mitmproxy: (\S+)", [str(PLACE / "bin" / "mitmdump"), "--version"])


def _first(pattern: str, words: list[str]) -> str | None:
    try:
        done = subprocess.run(words, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return None
    found = re.search(pattern, done.stdout + done.stderr)
    return found[1] if found else None
