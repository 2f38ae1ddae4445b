"""Does a request notice that the configuration changes under it? Knows one real `doorward serve`, and nothing of its inside.

A steady 1,000 requests a second on 20 connections. First a small configuration changes 100 times, one time in five to one
that is refused; every answer must be 200, and after each change another upstream must be where the file says. Then one of
1,000 upstreams and 5,000 grants changes a few times; the latencies stand beside those of the same load without changes.
"""

import asyncio
import json
import os
import pwd
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import uvloop

from benchmarks.results import percentile, save
from gateway.fetch import Fetch

RATE = 1000
CONNECTIONS = 20
CHANGES = 100
BIG = (1000, 5000)
BIG_CHANGES = 5
AGENT = "spiffe://bench.test/agent"
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


def configuration(port: int, upstream: int, prefix: str, upstreams: int, grants: int) -> str:
    """One that differs from others by where `moving` is found."""
    names = ["steady", "moving", *(f"other{number}" for number in range(upstreams - 2))]
    lines = [
        "version: 1", "tenant: bench", f"gateway: {{listen: ['127.0.0.1:{port}']}}",
        "authority: {listen: ['unix:authority.sock'], issuer: 'http://authority.test', store: {sqlite: doorward.db}}",
        f"admin: {{socket: 'unix:admin.sock', operators: [{pwd.getpwuid(os.getuid()).pw_name}]}}",
        f"identities: {{host: {{unix: {{users: {{'{os.getuid()}': '{AGENT}'}}}}, same_user: true}}}}", "upstreams:",
    ]  # fmt: skip
    for name in names:
        at = f", at: {{prefix: {prefix}}}" if name == "moving" else ""
        lines.append(f"  {name}: {{url: 'http://127.0.0.1:{upstream}', credential: {name}, networks: [127.0.0.0/8]{at}}}")
    today, later = (time.strftime("%Y-%m-%d", time.gmtime(time.time() + days * 86400)) for days in (0, 90))
    lines.append("credentials:")
    for name in names:
        lines += [f"  {name}:", "    secret: {env: BENCH_KEY}", "    inject: {header: X-Api-Key}",
                  f"    exception: {{owner: bench, reason: bench, expires: {later}, review_every: 30d, reviewed: {today}}}"]  # fmt: skip
    lines.append("intents:")
    lines += [f"  {name}.read: {{upstream: {name}, operations: ['GET /{{rest...}}']}}" for name in names]
    lines.append("grants:")
    for number in range(grants):
        lines += [f"  - name: grant {number}", f"    agents: ['{AGENT}']", f"    intents: [{names[number % upstreams]}.read]"]
    return "\n".join([*lines, "audit: {sinks: {local: {file: {path: audit.jsonl}, required: true}}}", ""])


class Upstream(asyncio.Protocol):
    """Answers each head at once."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.transport.write(ANSWER * data.count(b"\r\n\r\n"))  # type: ignore[attr-defined]


class Load:
    """Sends on time whatever the answers do; the latency of one counts from when it was due."""

    def __init__(self, port: int, request: bytes) -> None:
        self.port, self.request = port, request
        self.latencies: list[float] = []
        self.failed: list[bytes] = []
        self.running = True

    async def run(self) -> None:
        begun = time.perf_counter()
        await asyncio.gather(*(self._connection(begun + number / RATE) for number in range(CONNECTIONS)))

    async def _connection(self, due: float) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        while self.running:
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            writer.write(self.request)
            head = await reader.readuntil(b"\r\n\r\n")
            if not head.startswith(b"HTTP/1.1 200 "):
                self.failed.append(head)
                return
            await reader.readexactly(2)
            self.latencies.append(time.perf_counter() - due)
            due += CONNECTIONS / RATE
        writer.close()

    def figures(self) -> dict:
        ordered = sorted(self.latencies)
        return {
            "requests": len(ordered), "failed": len(self.failed),
            **{f"p{part}_ms": round(percentile(ordered, part / 100) * 1000, 2) for part in (50, 99, 99.9)},
            "max_ms": round(ordered[-1] * 1000, 1),
        }  # fmt: skip


async def status(port: int, path: str, token: str, intent: str) -> int:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(request(path, token, intent))
    head = await reader.readuntil(b"\r\n\r\n")
    writer.close()
    return int(head.split(b" ")[1])


def request(path: str, token: str, intent: str) -> bytes:
    return f"GET {path} HTTP/1.1\r\nHost: b\r\nAuthorization: Bearer {token}\r\nAgent-Intent: {intent}\r\n\r\n".encode()


async def take(folder: Path) -> tuple[int, float]:
    """Have the file read again; its status, and how long that took in seconds."""
    begun = time.perf_counter()
    async with Fetch() as fetch:
        while True:  # the watch may have been faster
            answer = await fetch.request("POST", "http://doorward/reload", unix=str(folder / "admin.sock"))
            if "another reload" not in json.dumps(answer.json()):
                return answer.status, time.perf_counter() - begun
            await asyncio.sleep(0.01)


async def measure(port: int, upstream: int, folder: Path, size: tuple[int, int], changes: int, *, pause: float) -> dict:
    file = folder / "doorward.yaml"
    file.write_text(configuration(port, upstream, "/m0", *size))
    environment = {**os.environ, "BENCH_KEY": "bench-secret-0123456789abcdef"}
    with (folder / "log").open("w") as log:
        served = subprocess.Popen(
            [sys.executable, "-m", "gateway", "serve", "-c", str(file)], env=environment, stderr=log, stdout=log
        )
    try:
        while not (folder / "admin.sock").exists():
            await asyncio.sleep(0.1)
            assert served.poll() is None, (folder / "log").read_text()[-2000:]
        await asyncio.sleep(2)
        form = {
            "grant_type": "urn:ietf:params:oauth:grant-type:token-exchange", "subject_token": "peer",
            "subject_token_type": "urn:doorward:unix-peer", "scope": "steady.read moving.read",
        }  # fmt: skip
        async with Fetch() as fetch:
            answer = await fetch.request("POST", "http://a/token", form=form, unix=str(folder / "authority.sock"))
        token = answer.json()["access_token"]
        quiet = await _loaded(Load(port, request("/steady/x", token, "steady.read")), pause * changes)
        texts = [configuration(port, upstream, f"/m{number}", *size) for number in range(changes + 1)]
        load = Load(port, request("/steady/x", token, "steady.read"))
        under_way = asyncio.ensure_future(load.run())
        right, taken, prefix = 0, [], "/m0"
        for number in range(1, changes + 1):
            broken = number % 5 == 0
            wanted = prefix if broken else f"/m{number}"
            aside = folder / "aside"
            aside.write_text(texts[number] + ("nonsense: 1\n" if broken else ""))
            aside.rename(file)
            got, seconds = await take(folder)
            taken.append(seconds)
            places = [await status(port, f"{place}/x", token, "moving.read") for place in (wanted, f"/m{number + 1}")]
            right += (got, places) == (409 if broken else 200, [200, 404])
            prefix = wanted
            await asyncio.sleep(max(0.0, pause - seconds))
        load.running = False
        await under_way
        rss = int(Path(f"/proc/{served.pid}/statm").read_text().split()[1]) * 4096 >> 20
        return {
            "upstreams": size[0], "grants": size[1], "changes": changes, "right_snapshot": right,
            "median_reload_ms": round(statistics.median(taken) * 1000), "resident_mib_after": rss,
            "without": quiet, "meanwhile": load.figures(),
        }  # fmt: skip
    finally:
        served.terminate()
        served.wait(30)


async def _loaded(load: Load, seconds: float) -> dict:
    under_way = asyncio.ensure_future(load.run())
    await asyncio.sleep(seconds)
    load.running = False
    await under_way
    return load.figures()


async def main() -> None:
    server = await asyncio.get_running_loop().create_server(Upstream, "127.0.0.1", 0)
    upstream = server.sockets[0].getsockname()[1]
    found = {}
    for name, size, changes, pause in (("small", (2, 2), CHANGES, 0.25), ("large", BIG, BIG_CHANGES, 4.0)):
        with tempfile.TemporaryDirectory() as folder:
            port = 20000 + os.getpid() % 20000
            found[name] = await measure(port, upstream, Path(folder), size, changes, pause=pause)
            print(json.dumps(found[name]))
    save("reload", None, found)


if __name__ == "__main__":
    uvloop.run(main())
