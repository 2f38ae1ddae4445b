"""What one request costs in process, without kernel and network: the gateway's own protocols on transports that do nothing.

Prints microseconds for a whole request, with repeated heads and with every head different; `cost_of_steps.py` takes it apart.
With `--profile` it prints where the time of repeated heads goes. The figures depend on the machine; compare only within one run.
"""

import argparse
import asyncio
import contextlib
import cProfile
import gc
import json
import os
import platform
import pstats
import pwd
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from pathlib import Path

import uvloop

from gateway.app import Doorward
from gateway.clock import Clock
from gateway.fetch import Fetch
from gateway.http.downstream import Downstream
from gateway.settings.load import load_text

KINDS = (("repeated heads", False), ("every head different", True))
AGENT = "spiffe://bench.test/agent"
CONFIGURATION = """
version: 1
tenant: bench
gateway: {{listen: [127.0.0.1:0], url: "http://127.0.0.1:1"}}
authority: {{listen: ["unix:authority.sock"], issuer: "http://authority.test", store: {{sqlite: doorward.db}}}}
admin: {{socket: "unix:admin.sock", operators: [{user}]}}
identities: {{host: {{unix: {{users: {{{user}: {agent}}}}}, same_user: true}}}}
upstreams: {{api: {{url: "http://127.0.0.1:{port}", credential: key, networks: [127.0.0.0/8]}}}}
credentials:
  key:
    secret: {{file: secret}}
    inject: {{header: X-Api-Key}}
    exception: {{owner: bench, reason: bench, expires: {expires}, review_every: 30d, reviewed: {today}}}
intents: {{items.read: {{upstream: api, operations: ["GET /v1/items/{{id}}"], touches: [item]}}}}
grants: [{{name: the agent reads, agents: ["{agent}"], intents: [items.read]}}]
"""
RESPONSE = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 1024\r\nServer: x\r\n\r\n" + b"x" * 1024


class Idle:
    """A transport that goes nowhere."""

    def write(self, data: bytes) -> None:
        self.last = data

    def get_extra_info(self, _name: str) -> object:
        return ("127.0.0.1", 1)

    def writelines(self, parts: list[bytes]) -> None:
        self.last = parts[-1]

    def is_closing(self) -> bool:
        return False

    def set_write_buffer_limits(self, high: int) -> None: ...

    def pause_reading(self) -> None: ...

    resume_reading = close = abort = pause_reading


def request(token: str, number: int, *, different: bool) -> bytes:
    """About 1 KiB of head, as an agent's client sends it."""
    own = f"traceparent: 00-{number + 1:032x}-{number + 1:016x}-01\r\n" if different else ""
    path = f"/api/v1/items/{number}?page={number}" if different else "/api/v1/items/1?page=1"
    return (
        f"GET {path} HTTP/1.1\r\nHost: gateway.test\r\nUser-Agent: agent/1.0\r\nAccept: application/json\r\n"
        f'Accept-Encoding: gzip, deflate\r\nAgent-Intent: items.read;reason="benchmark"\r\n{own}Authorization: Bearer {token}\r\n\r\n'
    ).encode()


class Upstream(asyncio.Protocol):
    """Answers whatever comes."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def data_received(self, _data: bytes) -> None:
        self.transport.write(RESPONSE)


async def issue(folder: Path) -> str:
    async with Fetch() as fetch:
        form = {
            "grant_type": "urn:ietf:params:oauth:grant-type:token-exchange",
            "subject_token": "peer",
            "subject_token_type": "urn:doorward:unix-peer",
            "scope": "items.read",
        }
        answer = await fetch.request("POST", "http://authority/token", form=form, unix=str(folder / "authority.sock"))
    return answer.json()["access_token"]


class Bench:
    """One client connection and one pooled upstream connection."""

    def __init__(self, doorward: Doorward) -> None:
        self.doorward = doorward
        self.snapshot = doorward.snapshot
        self.client = Downstream(doorward.listener)
        self.client.connection_made(Idle())

    async def connect(self, first: bytes) -> None:
        """Let the gateway dial a real server for one request, then put what it keeps on a transport that does nothing."""
        self.client.data_received(first)
        idle = self.doorward.pool._idle
        while not idle:
            await asyncio.sleep(0.01)
        ((self.upstream,),) = idle.values()
        self.upstream.connection_made(Idle())

    def run(self, requests: list[bytes]) -> float:
        """Seconds for each request, each with the ends of its two turns."""
        turn = self.doorward.sweep.turn
        client = self.client
        started = time.perf_counter()
        for each in requests:
            client.data_received(each)
            turn._end()
            self.upstream.data_received(RESPONSE)
            turn._end()
        return (time.perf_counter() - started) / len(requests)


@contextlib.asynccontextmanager
async def prepared() -> AsyncIterator[tuple[Bench, str]]:
    """A whole Doorward in this process, started, with a token of its own authority."""
    clock = Clock()
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        (folder / "secret").write_text("benchmark-secret-0123456789abcdef")
        server = await asyncio.get_running_loop().create_server(Upstream, "127.0.0.1", 0)
        text = CONFIGURATION.format(
            port=server.sockets[0].getsockname()[1],
            user=pwd.getpwuid(os.getuid()).pw_name,
            agent=AGENT,
            today=clock.stamp(clock.now())[:10],
            expires=clock.stamp(clock.now() + 60 * 86400)[:10],
        )
        file = folder / "doorward.yaml"
        file.write_text(text)  # where it is looked for again while it runs
        doorward = Doorward(load_text(text, file), clock)
        await doorward.start()
        try:
            bench, token = Bench(doorward), await issue(folder)
            await bench.connect(request(token, 1, different=False))
            gc.collect()
            gc.freeze()
            yield bench, token
        finally:
            doorward.pool.close()
            await doorward.stop()
            server.close()


async def main(arguments: argparse.Namespace) -> None:
    count = arguments.requests
    async with prepared() as (bench, token):
        result: dict[str, object] = {}
        for name, different in KINDS:
            rounds = []
            for turn in range(arguments.rounds + 1):
                requests = [request(token, turn * count + number, different=different) for number in range(count)]
                rounds.append(bench.run(requests) * 1e6)
                await asyncio.sleep(0.1)  # lets the journal's writer catch up
            result[name] = {"median_us": round(statistics.median(rounds[1:]), 1), "best_us": round(min(rounds[1:]), 1)}
        result["machine"] = {
            "python": platform.python_version(),
            "processor": platform.processor() or platform.machine(),
            "cores": os.cpu_count(),
        }
        if arguments.profile:
            requests = [request(token, 1, different=False)] * count
            profile = cProfile.Profile()
            profile.runcall(bench.run, requests)
            pstats.Stats(profile).sort_stats("tottime").print_stats(35)
        print(json.dumps(result, indent=2))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--profile", action="store_true")
    uvloop.run(main(parser.parse_args(sys.argv[1:])))
