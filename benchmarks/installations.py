"""Starts the installations whose revocations are timed: one process, four workers, two authorities on one Redis; times nothing."""

import contextlib
import json
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.peers.doorward import configured, use_compiled
from benchmarks.scene import AGENT, INTENT, ISSUER, Peer, Scene, end, family, free_port, need

WORKERS = 4
AUTHORITY = re.compile(r"(?<=\n)authority:\n.*?(?=\nadmin:)", re.DOTALL)


@dataclass
class Installation:
    """Processes that believe the same, in folders of one scene."""

    scene: Scene
    authorities: list[Peer] = field(default_factory=list)
    """Those that issue and revoke; each lives in the folder of its name."""
    gateways: list[dict] = field(default_factory=list)
    """The port and the process id of each process that serves."""

    def sockets(self, name: str) -> list[str]:
        """One for each authority."""
        return [str(self.scene.folder / each.name / name) for each in self.authorities]

    def logs(self) -> list[Path]:
        """The audit logs of all writers."""
        return sorted(self.scene.folder.glob("*/audit*.jsonl"))


def make(scene: Scene, name: str, *, compiled: bool, limits: str = "") -> Peer:
    """One Doorward, configured and not started."""
    peer = configured(
        scene,
        free_port(),
        name=name,
        intents=f'{{{INTENT}: {{upstream: api, operations: ["GET /v1/{{rest...}}"]}}}}',
        grants=f'[{{name: the agent reads, agents: ["{AGENT}"], intents: [{INTENT}]}}]',
        limits=limits,
    )
    return use_compiled(peer) if compiled else peer


@contextlib.contextmanager
def one_process(scene: Scene, *, compiled: bool) -> Iterator[Installation]:
    """Authority and gateway in one."""
    made = Installation(scene)
    with started(make(scene, "one", compiled=compiled)) as peer:
        made.authorities.append(peer)
        made.gateways.append({"port": peer.port, "process": peer.process.pid})
        yield made


@contextlib.contextmanager
def workers(scene: Scene, *, compiled: bool) -> Iterator[Installation]:
    """A parent with the authority, and workers that hear its feed."""
    made = Installation(scene)
    with started(make(scene, "parent", compiled=compiled, limits=f", workers: {WORKERS}")) as peer:
        while len(pids := family(peer.process)[1:]) < WORKERS:
            time.sleep(0.1)
        made.authorities.append(peer)
        made.gateways += ({"port": peer.port, "process": pid} for pid in pids)
        yield made


@contextlib.contextmanager
def two_authorities(scene: Scene, *, compiled: bool) -> Iterator[Installation]:
    """Each with a gateway in its own process and one in a sidecar; what they share is a Redis that syncs what it acknowledges."""
    made = Installation(scene)
    with contextlib.ExitStack() as stack:
        port = stack.enter_context(redis(scene))
        for name in ("first", "second"):
            peer = make(scene, name, compiled=compiled)
            edit(
                peer,
                lambda text: text.replace(
                    "{sqlite: doorward.db}", f"{{redis: {{url: 'redis://127.0.0.1:{port}/0', folder: .}}}}"
                ),
            )
            made.authorities.append(stack.enter_context(started(peer)))
            beside = make(scene, f"{name}-sidecar", compiled=compiled)
            remote = f"authority: {{remote: 'unix:../{name}/authority.sock', issuer: '{ISSUER}'}}"
            edit(beside, lambda text, remote=remote: AUTHORITY.sub(remote, text))
            stack.enter_context(started(beside))
            made.gateways += ({"port": each.port, "process": each.process.pid} for each in (peer, beside))
        yield made


SETTINGS: Mapping[str, Callable[..., contextlib.AbstractContextManager[Installation]]] = {
    "one process": one_process,
    f"{WORKERS} workers": workers,
    "two authorities on one Redis": two_authorities,
}
"""Every setting by its name."""


def edit(peer: Peer, change: Callable[[str], str]) -> None:
    """Change its configuration, which must change."""
    file = peer.scene.folder / peer.name / "doorward.yaml"
    before = file.read_text()
    after = change(before)
    assert after != before
    file.write_text(after)


@contextlib.contextmanager
def started(peer: Peer) -> Iterator[Peer]:
    peer.start()
    try:
        yield peer
    finally:
        peer.stop()


@contextlib.contextmanager
def redis(scene: Scene) -> Iterator[int]:
    """A Redis of our own; its port."""
    program, port, folder = need("redis-server", "apt-get install redis-server"), free_port(), scene.folder / "redis"
    folder.mkdir()
    words = [program, "--port", str(port), "--bind", "127.0.0.1", "--dir", str(folder), "--save", ""]
    words += ["--appendonly", "yes", "--appendfsync", "always", "--maxmemory-policy", "noeviction"]
    process = scene.spawn("redis", words, scene.load_core)
    try:
        scene.wait_for("redis", process, port)
        yield port
    finally:
        end(process)


def replayed(logs: list[Path], acknowledged: Path, within: float) -> dict:
    """What `doorward audit replay` finds in all chains together."""
    words = [sys.executable, "-m", "gateway", "audit", "replay", "--json", "--acknowledged", str(acknowledged)]
    words += ["--within", str(within), *(word for log in logs for word in ("--log", str(log)))]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.stdout, done.stderr
    return {**json.loads(done.stdout), "held": done.returncode == 0}
