"""Is a valid request refused, or a revoked token accepted, while keys are exchanged and authority and Redis restart? Counts only.

500 requests a second go through a sidecar, with the tokens of tasks that are opened and completed all the time; one in ten has a token
whose end was acknowledged. Meanwhile the signing key is exchanged, the authority is stopped and started, killed and started, and
the Redis that it keeps its state in is killed and started. Judged by counts:

- A valid request is one whose token was good for ten seconds more, and of whose task nobody had asked the end before it was answered.
  Refused may be only what design §14 lets be: `revocations_stale`, while the sidecar has heard nothing for `feed.max_staleness`.
- A revoked token may be accepted only for `feed.max_staleness` after its end was acknowledged: an authority that dies then has told nobody,
  and a sidecar that is starved of its core reads a later request together with the news. How many, and how late, is shown.
- `doorward audit replay` judges all chains by the same acknowledgements.
"""

import argparse
import asyncio
import json
import signal
import sys
import tempfile
import time
from collections import Counter, deque
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import jwt

from benchmarks import upstreams
from benchmarks.installations import AUTHORITY, edit, make, replayed, started
from benchmarks.results import save
from benchmarks.scene import INTENT, ISSUER, Peer, Scene, end, free_port, need
from gateway.fetch import Fetch, FetchError

RATE, CONNECTIONS, OPENED_EVERY, ALIVE, DEAD = 500, 32, 0.25, 40, 200
STALENESS = 10.0
"""Seconds: the default of `feed.max_staleness`."""
PATIENCE = 10.0
EXCHANGE = {
    "grant_type": "urn:ietf:params:oauth:grant-type:token-exchange", "subject_token": "peer",
    "subject_token_type": "urn:doorward:unix-peer", "scope": INTENT,
}  # fmt: skip


@dataclass
class Task:
    """One task as the load knows it; times are Unix seconds."""

    id: str
    token: str
    kid: str
    expires: float
    asked: float | None = None
    ended: float | None = None


@dataclass
class Load:
    """What goes on, and what was seen."""

    port: int
    socket: str
    alive: deque[Task] = field(default_factory=deque)
    dead: deque[Task] = field(default_factory=lambda: deque(maxlen=DEAD))
    told: list[Task] = field(default_factory=list)
    kids: set[str] = field(default_factory=set)
    valid: Counter[str] = field(default_factory=Counter)
    revoked: Counter[str] = field(default_factory=Counter)
    latest: float = 0.0
    """Seconds after its acknowledged end at which a token was last accepted."""
    unopened: int = 0
    over: bool = False
    queue: asyncio.Queue[Task] = field(default_factory=lambda: asyncio.Queue(RATE * 4))

    async def open_and_complete(self) -> None:
        """Open a task whenever one is due, and complete the oldest; an authority that is away is asked again."""
        async with Fetch() as fetch:
            while not self.over:
                await asyncio.sleep(OPENED_EVERY)
                with suppress(FetchError, KeyError):
                    answer = await fetch.request("POST", "http://a/token", form=EXCHANGE, unix=self.socket, timeout=2)
                    self.unopened += answer.status != 200
                    self.alive.append(task_of(answer.json()["access_token"]))
                    self.kids.add(self.alive[-1].kid)
                if len(self.alive) > ALIVE:
                    await self._complete(fetch, self.alive.popleft())

    async def _complete(self, fetch: Fetch, task: Task) -> None:
        task.asked = time.time()
        with suppress(FetchError):
            done = await fetch.request("POST", f"http://a/tasks/{task.id}/complete", unix=self.socket, timeout=2)
            if done.status == 200:
                task.ended = time.time()
                self.dead.append(task)
                self.told.append(task)

    async def keep_time(self, seconds: float) -> None:
        """Put what is due into the queue, by the clock and whatever the answers do."""
        began, sent = time.monotonic(), 0
        while (passed := time.monotonic() - began) < seconds:
            while sent < passed * RATE and not self.queue.full():
                some = self.dead if self.dead and sent % 10 == 0 else self.alive
                self.queue.put_nowait(some[sent % len(some)])
                sent += 1
            await asyncio.sleep(0.002)
        self.over = True

    async def ask(self) -> None:
        """One connection, and one request after the other on it."""
        line = None
        while not (self.over and self.queue.empty()):
            try:
                task = await asyncio.wait_for(self.queue.get(), 0.2)
            except TimeoutError:
                continue
            at = time.time()
            try:
                async with asyncio.timeout(PATIENCE):
                    line = line or await asyncio.open_connection("127.0.0.1", self.port)
                    said = await answered(*line, task.token)
            except (OSError, TimeoutError, asyncio.IncompleteReadError) as error:
                said, line = type(error).__name__, None
            self._note(task, at, said)

    def _note(self, task: Task, at: float, said: str) -> None:
        if task.ended is not None and task.ended < at:
            late = said == "200" and at - task.ended > STALENESS
            self.revoked["late" if late else said] += 1
            if said == "200":
                self.latest = max(self.latest, at - task.ended)
        elif task.asked is None and time.time() < task.expires - 10:
            self.valid[said] += 1


async def answered(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, token: str) -> str:
    """The status of one request, or the code of its refusal."""
    writer.write(
        f"GET /api/v1/x HTTP/1.1\r\nHost: a\r\nAgent-Intent: {INTENT}\r\nAuthorization: Bearer {token}\r\n\r\n".encode()
    )
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
    body = await reader.readexactly(int(head.partition("content-length: ")[2].partition("\r\n")[0]))
    return "200" if head[9:12] == "200" else str(json.loads(body).get("code", head[9:12]))


def task_of(token: str) -> Task:
    bare = token.removeprefix("dwt_")
    claims = jwt.decode(bare, options={"verify_signature": False})
    return Task(claims["txn"], token, jwt.get_unverified_header(bare)["kid"], claims["exp"])


async def trouble(load: Load, authority: Peer, redis: "Redis", seconds: float) -> None:
    """The scene of what goes wrong, each at its part of the time."""
    admin = load.socket.replace("authority.sock", "admin.sock")
    began = time.monotonic()

    async def at(part: float) -> None:
        await asyncio.sleep(max(0.0, began + part * seconds - time.monotonic()))

    async with Fetch() as fetch:
        await at(0.02)
        first = await fetch.request("POST", "http://a/keys/rotate", unix=admin)
        assert first.status == 200, first.body
        for part, number in ((0.4, signal.SIGTERM), (0.55, signal.SIGKILL)):
            await at(part)
            authority.process.send_signal(number)
            await asyncio.to_thread(authority.process.wait)
            authority.launch()
            await asyncio.to_thread(authority.scene.wait_for, authority.name, authority.process, authority.port)
        await at(0.75)
        redis.kill()
        await asyncio.to_thread(redis.start)
        await at(0.9)


class Redis:
    """A Redis that has on the disk what it has acknowledged, and can die."""

    def __init__(self, scene: Scene) -> None:
        self.scene, self.port, self.folder = scene, free_port(), scene.folder / "redis"
        self.folder.mkdir()
        self.program = need("redis-server", "apt-get install redis-server")

    def start(self) -> None:
        words = [self.program, "--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(self.folder), "--save", ""]
        words += ["--appendonly", "yes", "--appendfsync", "always", "--maxmemory-policy", "noeviction"]
        self.process = self.scene.spawn("redis", words, self.scene.load_core)
        self.scene.wait_for("redis", self.process, self.port)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


async def measured(scene: Scene, authority: Peer, sidecar: Peer, redis: Redis, seconds: float) -> Load:
    load = Load(sidecar.port, str(scene.folder / authority.name / "authority.sock"))
    opening = asyncio.create_task(load.open_and_complete())
    while len(load.alive) < 4:
        await asyncio.sleep(0.1)
    asking = [asyncio.create_task(load.ask()) for _ in range(CONNECTIONS)]
    await asyncio.gather(load.keep_time(seconds), trouble(load, authority, redis, seconds), *asking)
    await opening
    return load


def measure(seconds: float) -> dict:
    """One run, from its start to the judgement."""
    with tempfile.TemporaryDirectory(dir="/dev/shm") as place, ExitStack() as stack:
        scene = Scene(Path(place))
        scene.folder.chmod(0o755)
        stack.callback(end, upstreams.pages(scene))
        redis = Redis(scene)
        redis.start()
        stack.callback(redis.kill)
        authority, sidecar = make(scene, "authority", compiled=False), make(scene, "sidecar", compiled=False)
        kept = f"{{redis: {{url: 'redis://127.0.0.1:{redis.port}/0', folder: .}}}}\n  signing: {{lead: 1s}}"
        edit(authority, lambda text: text.replace("{sqlite: doorward.db}", kept))
        edit(sidecar, beside)
        stack.enter_context(started(authority))
        stack.enter_context(started(sidecar))
        load = asyncio.run(measured(scene, authority, sidecar, redis, seconds))
        sidecar.stop()
        authority.stop()
        noted = scene.folder / "acknowledged"
        noted.write_text("".join(note(task) for task in load.told))
        judged = replayed(sorted(scene.folder.glob("*/audit*.jsonl")), noted, STALENESS)
    wrongly = {said: count for said, count in load.valid.items() if said not in ("200", "revocations_stale")}
    return {
        "seconds": seconds, "valid": load.valid.total(), "valid_refused": sum(wrongly.values()), "refusals": wrongly,
        "stale": load.valid["revocations_stale"], "revoked": load.revoked.total(), "revoked_accepted": load.revoked["late"],
        "revoked_accepted_before_bound": load.revoked["200"], "latest_s": round(load.latest, 3), "signing_keys": len(load.kids),
        "unopened": load.unopened, "revocations": len(load.told), "replay": {"held": judged["held"], "accepted": judged["accepted"]},
        "held": not wrongly and not load.revoked["late"] and judged["held"] and len(load.kids) > 1,
    }  # fmt: skip


def beside(text: str) -> str:
    """The configuration of a sidecar, of that of its authority."""
    return AUTHORITY.sub(f"authority: {{remote: 'unix:../authority/authority.sock', issuer: '{ISSUER}'}}", text)


def note(task: Task) -> str:
    """A line for the replay."""
    return json.dumps({"kind": "task", "id": task.id, "time": datetime.fromtimestamp(task.ended, UTC).isoformat()}) + "\n"


def main() -> int:
    parser = argparse.ArgumentParser(prog="benchmarks.continuity", description=__doc__.partition("\n")[0])
    parser.add_argument(
        "--seconds", type=float, default=120.0, help="how long the load lasts (120); the key needs 12 to change"
    )
    parser.add_argument("--no-save", dest="save", action="store_false", help="show the figures and keep none")
    arguments = parser.parse_args()
    found = measure(arguments.seconds)
    print(json.dumps(found, indent=1))
    if arguments.save:
        save("continuity", None, found)
    return 0 if found["held"] else 1


if __name__ == "__main__":
    sys.exit(main())
