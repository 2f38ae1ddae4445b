"""What one request costs in process, without kernel and network: the gateway's own protocols on transports that do nothing.

Prints microseconds for a whole request (repeated heads, and every head different), and for its steps called alone.
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
from pathlib import Path

import uvloop

from gateway.app import Doorward
from gateway.clock import Clock
from gateway.credentials.apply import apply
from gateway.fetch import Fetch
from gateway.http.downstream import Downstream
from gateway.http.head import parse_request, parse_response
from gateway.http.upstream import UpstreamConnection
from gateway.identity.authenticate import authenticate
from gateway.intent.read_intent import read_intent
from gateway.model import Outcome
from gateway.policy.decide import decide
from gateway.settings.load import load_text

AGENT = "spiffe://bench.test/agent"
CONFIGURATION = """
version: 1
tenant: bench
gateway: {{listen: [127.0.0.1:0], url: "http://127.0.0.1:1"}}
authority: {{listen: ["unix:authority.sock"], issuer: "http://authority.test", store: {{sqlite: doorward.db}}}}
admin: {{socket: "unix:admin.sock", operators: [{user}]}}
identities: {{host: {{unix: {{users: {{{user}: {agent}}}}}, same_user: true}}}}
upstreams: {{api: {{url: "http://127.0.0.1:9", credential: key, networks: [127.0.0.0/8]}}}}
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

    def is_closing(self) -> bool:
        return False

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
        snapshot = doorward.snapshot
        self.client = Downstream(doorward.listener)
        self.client.connection_made(Idle())
        self.upstream: UpstreamConnection | None = None
        pool = doorward.pool
        taken = pool.take

        def take(key):
            connection = taken(key)
            if connection is None:
                connection = UpstreamConnection(key, pool._forget, 65536, doorward.sweep.turn)
                connection.connection_made(Idle())
                pool._open.add(connection)
            self.upstream = connection
            return connection

        pool.take = take
        self.snapshot = snapshot

    def run(self, requests: list[bytes]) -> float:
        """Seconds for each request."""
        client = self.client
        started = time.perf_counter()
        for each in requests:
            client.data_received(each)
            self.upstream.data_received(RESPONSE)
        return (time.perf_counter() - started) / len(requests)


async def steps(bench: Bench, raw: bytes, count: int) -> dict[str, float]:
    """Microseconds of each step alone, on repeated heads."""
    now = bench.snapshot
    vocabulary, limits = now.admission.vocabulary, now.admission.limits
    head_bytes = raw[:-4]
    head = parse_request(head_bytes, vocabulary, most_lines=limits.headers)
    upstream = now.routes.match(head)
    principal = authenticate(head, upstream, now.standing)
    use = await read_intent(head, upstream, bench.client, now.intents)
    permit = decide(now.policy, principal, use, upstream)
    credential = await now.credentials.obtain(permit)

    def drive(coroutine) -> None:
        with contextlib.suppress(StopIteration):
            coroutine.send(None)

    def record() -> None:
        entry = now.audit.open("127.0.0.1")
        entry.reserve()
        entry.head, entry.upstream, entry.principal, entry.use, entry.credential = head, upstream, principal, use, credential
        entry.decided(permit)
        entry.close(Outcome(ending="complete", status=200))

    traced = now.audit.open("127.0.0.1")
    traced.head = head
    response = RESPONSE[: RESPONSE.index(b"\r\n\r\n")]
    table = {
        "parse the request head": lambda: parse_request(head_bytes, vocabulary, most_lines=limits.headers),
        "route": lambda: now.routes.match(head),
        "authenticate (token remembered)": lambda: authenticate(head, upstream, now.standing),
        "read the intent": lambda: drive(read_intent(head, upstream, bench.client, now.intents)),
        "decide": lambda: decide(now.policy, principal, use, upstream),
        "both records, chained": record,
        "obtain": lambda: drive(now.credentials.obtain(permit)),
        "apply": lambda: apply(credential, permit, head, traced),
        "parse the response head": lambda: parse_response(response, now.relay._vocabulary, method="GET", most_lines=100),
    }
    measured = {}
    for name, step in table.items():
        best = 9e9
        for _ in range(5):
            started = time.perf_counter()
            for _ in range(count):
                step()
            best = min(best, (time.perf_counter() - started) / count)
            await asyncio.sleep(0.03)
        measured[name] = round(best * 1e6, 2)
    return measured


async def main(arguments: argparse.Namespace) -> None:
    clock = Clock()
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        (folder / "secret").write_text("benchmark-secret-0123456789abcdef")
        day = clock.stamp(clock.now())[:10]
        text = CONFIGURATION.format(
            user=pwd.getpwuid(os.getuid()).pw_name,
            agent=AGENT,
            today=day,
            expires=clock.stamp(clock.now() + 60 * 86400)[:10],
        )
        doorward = Doorward(load_text(text, folder / "doorward.yaml"), clock)
        await doorward.start()
        token = await issue(folder)
        bench = Bench(doorward)
        gc.collect()
        gc.freeze()
        count = arguments.requests
        result: dict[str, object] = {}
        for name, different in (("repeated heads", False), ("every head different", True)):
            rounds = []
            for turn in range(arguments.rounds + 1):
                requests = [request(token, turn * count + number, different=different) for number in range(count)]
                rounds.append(bench.run(requests) * 1e6)
                await asyncio.sleep(0.1)  # lets the journal's writer catch up
            result[name] = {"median_us": round(statistics.median(rounds[1:]), 1), "best_us": round(min(rounds[1:]), 1)}
        result["steps_us"] = await steps(bench, request(token, 1, different=False), count)
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
        doorward.pool.close()
        await doorward.stop()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--profile", action="store_true")
    uvloop.run(main(parser.parse_args(sys.argv[1:])))
