"""The scene that all peers share: folder, upstream, token and cores, and how a process is started, watched and ended; knows no peer."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

PROGRAMS = Path(__file__).parent / "programs"
KEY = "benchmark-upstream-key-0123456789abcdef"
INTENT = "items.read"
ISSUER = "http://authority.test"
AGENT = "spiffe://bench.test/agent"
_TICK = os.sysconf("SC_CLK_TCK")


class LackingError(Exception):
    """Something cannot be measured here; the text says what is missing and how to get it."""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def need(program: str, how: str) -> str:
    """The path of a program, in this Python's environment or on the PATH."""
    beside = str(Path(sys.executable).parent)
    found = shutil.which(program, path=beside) or shutil.which(program)
    if found is None:
        raise LackingError(f"{program} is missing: {how}")
    return found


def cpu_seconds(pid: int) -> float:
    """User and system time of one process, from /proc."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICK


def resident_kib(pid: int) -> int:
    text = Path(f"/proc/{pid}/status").read_text()
    return next((int(line.split()[1]) for line in text.splitlines() if line.startswith("VmRSS:")), 0)


def family(process: subprocess.Popen) -> list[int]:
    """A process and its children: nginx works in a child."""
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    return [process.pid, *map(int, children.read_text().split())]


def descriptors(pid: int) -> int:
    return sum(1 for _ in Path(f"/proc/{pid}/fd").iterdir())


@dataclass
class Scene:
    """What all peers of one stage share."""

    folder: Path
    proxy_core: str = "0"
    load_core: str = "1"
    with_condition: bool = False
    """Whether Doorward's grant has a condition that compares a capture with a param of the task."""
    upstream_port: int = 0
    upstream: subprocess.Popen | None = None
    token: str = ""
    jwks: dict = field(default_factory=dict)
    round: int = 0
    """Counts rounds, so that what must be new in each one is."""

    def spawn(self, name: str, words: list[str], core: str, environment: dict[str, str] | None = None) -> subprocess.Popen:
        """Start a process on one core; what it says goes to a file of the folder."""
        with (self.folder / f"{name}.out").open("ab") as log:
            return subprocess.Popen(
                ["taskset", "-c", core, *words],
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, **(environment or {})},
            )

    def program(self, name: str, *words: object) -> list[str]:
        """The command line of one of our own programs, on this Python."""
        return [sys.executable, str(PROGRAMS / f"{name}.py"), *map(str, words)]

    def wait_for(self, name: str, process: subprocess.Popen, port: int) -> None:
        """Wait until a started process listens."""
        for _ in range(600):
            if process.poll() is not None:
                raise LackingError(f"{name} ended at once: {self.said(name)}")
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    return
            time.sleep(0.05)
        raise LackingError(f"{name} does not listen: {self.said(name)}")

    def upstream_seconds(self) -> float:
        return sum(map(cpu_seconds, family(self.upstream)))

    def said(self, name: str) -> str:
        return (self.folder / f"{name}.out").read_text(errors="replace")[-800:].strip()


@dataclass
class Peer:
    """A proxy that is configured, and started or not."""

    name: str
    scene: Scene
    port: int
    words: list[str]
    prefix: str = ""
    checks_tokens: bool = True
    environment: dict[str, str] = field(default_factory=dict)
    process: subprocess.Popen | None = None

    def launch(self) -> None:
        """Start it without waiting for it."""
        self.process = self.scene.spawn(self.name, self.words, self.scene.proxy_core, self.environment)

    def start(self) -> None:
        self.launch()
        self.scene.wait_for(self.name, self.process, self.port)

    def stop(self) -> None:
        if self.process is not None:
            end(self.process)
            self.process = None

    def cpu_seconds(self) -> float:
        return sum(map(cpu_seconds, family(self.process)))

    def resident_kib(self) -> int:
        return sum(map(resident_kib, family(self.process)))

    def headers(self, token: str | None = None) -> dict[str, str]:
        """What an agent's client sends; directly to the upstream it is what the upstream expects of a proxy."""
        own = {"X-Api-Key": KEY} if self.name == "direct" else {"Authorization": f"Bearer {token or self.scene.token}"}
        return {
            "User-Agent": "agent/1.0",
            "Accept": "application/json",
            "Accept-Encoding": "gzip, deflate",
            "Agent-Intent": INTENT,
            **own,
        }

    def head(self, path: str, method: str = "GET") -> str:
        """A whole request head for this peer."""
        lines = "".join(f"{name}: {value}\r\n" for name, value in self.headers().items())
        return f"{method} {self.prefix}{path} HTTP/1.1\r\nHost: 127.0.0.1:{self.port}\r\n{lines}\r\n"


def end(process: subprocess.Popen) -> None:
    """Ask a process to end, and end it if it does not."""
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
