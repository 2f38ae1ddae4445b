"""Asks at a fixed rate by a timetable, whatever the answers do, and measures from the time that the table says; knows no proxy.

Reads a JSON object from standard input: port, head, rate, connections, seconds. Prints one: requests, p50_us, p99_us, late_us
(how late the requests went out, in the middle), failed, unanswered, generator (its share of a core). The kernel's timer keeps
the timetable, since those of event loops are no finer than a millisecond.
"""

import asyncio
import ctypes
import json
import os
import sys
import time
from collections import deque

import uvloop

WARM_UP = 0.5
PATIENCE = 30.0
"""Seconds within which each connection is answered once before the timetable begins: what came before may take its time to end."""
_MONOTONIC, _NONBLOCK, _ABSOLUTE = 1, 0o4000, 1


def timer(first_ns: int, interval_ns: int) -> int:
    """A descriptor that becomes readable at each moment of the timetable (timerfd_create(2))."""
    libc = ctypes.CDLL(None, use_errno=True)
    descriptor = libc.timerfd_create(_MONOTONIC, _NONBLOCK)
    setting = (ctypes.c_long * 4)(*divmod(interval_ns, 10**9), *divmod(first_ns, 10**9))
    if descriptor < 0 or libc.timerfd_settime(descriptor, _ABSOLUTE, ctypes.byref(setting), None):
        raise OSError(ctypes.get_errno(), "no timer")
    return descriptor


class Client(asyncio.Protocol):
    """One connection, with at most one request on it."""

    def __init__(self, load: "Load") -> None:
        self.load = load
        self.missing = None
        self.due = 0

    def connection_made(self, transport) -> None:
        self.transport = transport

    def ask(self, due: int) -> None:
        self.due = due
        self.missing = None
        self.transport.write(self.load.head)

    def data_received(self, data: bytes) -> None:
        if self.missing is None:
            end = data.index(b"\r\n\r\n") + 4
            head = data[:end].lower()
            if not head.startswith(b"http/1.1 200"):
                self.load.failed += 1
            length = head.index(b"content-length: ") + 16
            self.missing = int(head[length : head.index(b"\r\n", length)]) + end
        self.missing -= len(data)
        if self.missing == 0:
            self.load.answered(self)

    def connection_lost(self, _error) -> None:
        self.load.failed += not self.load.over


class Load:
    """The timetable, the free connections, and the requests that wait for one."""

    def __init__(self, order: dict) -> None:
        self.head = order["head"].encode()
        self.interval = 10**9 // order["rate"]
        self.connections = order["connections"]
        self.free: deque[Client] = deque()
        self.waiting: deque[int] = deque()
        self.ages: list[int] = []
        self.lags: list[int] = []
        self.failed = 0
        self.over = False

    def tick(self, descriptor: int) -> None:
        """Send what is due by now."""
        for _ in range(int.from_bytes(os.read(descriptor, 8), sys.byteorder)):
            self.due += self.interval
            self.lags.append(time.monotonic_ns() - self.due)
            if self.free:
                self.free.popleft().ask(self.due)
            else:
                self.waiting.append(self.due)

    def answered(self, client: Client) -> None:
        self.ages.append(time.monotonic_ns() - client.due)
        if self.waiting:
            client.ask(self.waiting.popleft())
        else:
            self.free.append(client)


def figures_of(load: Load, generator: float) -> dict:
    if not load.ages:
        sys.exit(f"nothing was answered; {load.failed} connections were lost, {len(load.waiting)} requests wait for one")
    ages, lags = sorted(load.ages), sorted(load.lags)
    return {
        "requests": len(ages),
        "p50_us": round(ages[len(ages) // 2] / 1000, 1),
        "p90_us": round(ages[len(ages) * 9 // 10] / 1000, 1),
        "p99_us": round(ages[len(ages) * 99 // 100] / 1000, 1),
        "late_us": round(lags[len(lags) // 2] / 1000, 1),
        "failed": load.failed,
        "unanswered": load.connections - len(load.free) + len(load.waiting),
        "generator": round(generator, 2),
    }


async def first_answers(load: Load) -> None:
    """Wait until each connection is free."""
    until = time.monotonic() + PATIENCE
    while len(load.free) < load.connections:
        if time.monotonic() > until or load.failed:
            sys.exit(
                f"{len(load.free)} of {load.connections} connections were answered at first, {load.failed} were lost or refused"
            )
        await asyncio.sleep(0.01)


async def main() -> None:
    order = json.loads(sys.stdin.readline())
    loop = asyncio.get_running_loop()
    load = Load(order)
    for _ in range(order["connections"]):
        _, client = await loop.create_connection(lambda: Client(load), "127.0.0.1", order["port"])
        client.ask(time.monotonic_ns())
    await first_answers(load)
    load.due = time.monotonic_ns() + 10**7
    descriptor = timer(load.due + load.interval, load.interval)
    loop.add_reader(descriptor, load.tick, descriptor)
    await asyncio.sleep(WARM_UP)
    load.ages.clear()
    load.lags.clear()
    started, used = time.monotonic(), time.process_time()
    await asyncio.sleep(order["seconds"])
    generator = (time.process_time() - used) / (time.monotonic() - started)
    loop.remove_reader(descriptor)
    load.over = True
    await asyncio.sleep(0.05)
    print(json.dumps(figures_of(load, generator)), flush=True)


if __name__ == "__main__":
    uvloop.run(main())
