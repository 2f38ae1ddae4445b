"""Exchanges identities on many connections, and floods from another address if told to; knows no meaning of a token.

Reads a JSON object from standard input: port, exchanges, bodies (one connection each), bad (bodies that are to be refused), flooding
(connections that send them), stranger (the address they come from). Prints one: answered, failed, seconds, p50_ms, p99_ms, max_ms,
refused (how many bad ones were), mistaken (bad ones that were not refused, or not answered).
"""

import asyncio
import itertools
import json
import sys
import time

import uvloop


class Client(asyncio.Protocol):
    """One connection, with one request on it at a time."""

    def __init__(self, ended) -> None:
        self.ended = ended
        self.buffer = b""

    def connection_made(self, transport) -> None:
        self.transport = transport

    def ask(self, body: bytes) -> None:
        self.buffer = b""
        self.sent = time.perf_counter()
        head = b"POST /token HTTP/1.1\r\nHost: bench\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: %d\r\n\r\n"
        self.transport.write(head % len(body) + body)

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        head, mark, rest = self.buffer.partition(b"\r\n\r\n")
        if not mark:
            return
        lower = head.lower()
        at = lower.index(b"content-length: ") + 16
        if len(rest) >= int(lower[at:].split(b"\r\n", 1)[0]):
            self.ended(self, int(head[9:12]), rest)

    def connection_lost(self, _error) -> None:
        self.ended(self, 0, b"")


class Load:
    """Counts what is under way and what came of it."""

    def __init__(self, order: dict) -> None:
        self.order = order
        self.left = order["exchanges"]
        self.under_way = 0
        self.times: list[float] = []
        self.failed = self.refused = self.mistaken = 0
        self.bad = itertools.cycle([each.encode() for each in order["bad"]])
        self.done = asyncio.Event()
        self.bodies: dict[Client, bytes] = {}

    def next(self, client: Client) -> None:
        if self.left:
            self.left -= 1
            self.under_way += 1
            client.ask(self.bodies[client])
        elif not self.under_way:
            self.done.set()

    def exchanged(self, client: Client, status: int, rest: bytes) -> None:
        if self.done.is_set():
            return
        self.under_way -= 1
        if status == 200 and b'"access_token"' in rest:
            self.times.append(time.perf_counter() - client.sent)
        else:
            self.failed += 1
        if status:
            self.next(client)
        elif not self.under_way:
            self.done.set()

    def answered_bad(self, client: Client, status: int, rest: bytes) -> None:
        if self.done.is_set():
            return
        if 400 <= status < 500 and b"dwt_" not in rest:
            self.refused += 1
        else:
            self.mistaken += 1
        if status:
            client.ask(next(self.bad))


async def run(order: dict) -> dict:
    loop = asyncio.get_running_loop()
    load = Load(order)
    clients, strangers = [], []
    for body in order["bodies"]:
        _, client = await loop.create_connection(lambda: Client(load.exchanged), "127.0.0.1", order["port"])
        load.bodies[client] = body.encode()
        clients.append(client)
    for _ in range(order["flooding"]):
        local = (order["stranger"], 0)
        _, client = await loop.create_connection(
            lambda: Client(load.answered_bad), "127.0.0.1", order["port"], local_addr=local
        )
        strangers.append(client)
    began = time.perf_counter()
    for client in strangers:
        client.ask(next(load.bad))
    for client in clients:
        load.next(client)
    await load.done.wait()
    seconds = time.perf_counter() - began
    times = sorted(load.times)

    def at(part: float) -> float:
        return round(times[min(len(times) - 1, int(len(times) * part))] * 1000, 2)

    return {
        "answered": len(times), "failed": load.failed, "seconds": round(seconds, 3), "p50_ms": at(0.5), "p99_ms": at(0.99),
        "max_ms": at(1), "refused": load.refused, "mistaken": load.mistaken,
    }  # fmt: skip


if __name__ == "__main__":
    print(json.dumps(uvloop.run(run(json.load(sys.stdin)))))
