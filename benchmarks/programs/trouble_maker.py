"""Clients that misbehave in turn, at a steady rate, until told to stop, and count what they asked and what they were answered; knows no record.

Reads a JSON object from standard input: port, rate, headers (lines of a good request), idle (seconds after which a stalled
reader is cut off). On SIGTERM it finishes what it does and prints a JSON object: parsed (heads sent whole), answered,
malformed, malformed_answered, odd (answers that nobody could expect, a few), kinds.
"""

import asyncio
import itertools
import json
import signal
import socket
import struct
import sys
from collections import Counter

import uvloop

RESET = struct.pack("ii", 1, 0)
MALFORMED = (
    "GET /api/v1/items/1 HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n{headers}\r\n",
    "GET /api/v1/items/1 HTTP/1.1\r\nHost : a\r\n{headers}\r\n",
    "GET /api/v1/../items/1 HTTP/1.1\r\nHost: a\r\n{headers}\r\n",
    "GET /api/v1/items/1 HTTP/1.1\r\n{headers}\r\n",
    "GET /api/v1/items/1 HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n{headers}\r\n",
    "NONSENSE\r\n\r\n",
)


class Maker:
    """One order, and everything that is done for it."""

    def __init__(self, order: dict) -> None:
        self.port = order["port"]
        self.headers = order["headers"]
        self.idle = order["idle"]
        self.counts: Counter[str] = Counter()
        self.kinds: Counter[str] = Counter()
        self.odd: list[str] = []
        self.malformed = itertools.cycle(MALFORMED)
        self.turns = itertools.cycle(
            (
                self.leave_amid_head, self.leave_amid_request, self.leave_amid_answer, self.read_slowly, self.write_slowly,
                self.send_nonsense, self.send_no_token, self.stall, *(self.trouble(kind) for kind in TROUBLES),
            )
        )  # fmt: skip

    def trouble(self, kind: str):
        """Ask for what the troubled upstream breaks in this way."""

        async def ask() -> None:
            reader, writer = await self.ask(f"GET /trouble/v1/{kind}", "items.trouble")
            await self.expect(reader, *TROUBLES[kind])
            await reader.read(-1) if kind in ("midway", "short") else await reader.read(100)
            writer.close()

        ask.__name__ = f"upstream_{kind}"
        return ask

    async def ask(self, request: str, intent: str = "items.read", *lines: str, buffer: int | None = None):
        """Send a whole good head on a connection of its own."""
        reader, writer = await self.connect(buffer)
        head = "\r\n".join((f"{request} HTTP/1.1", "Host: a", f"Agent-Intent: {intent}", *lines, self.headers, ""))
        writer.write(head.encode())
        self.counts["parsed"] += 1
        return reader, writer

    async def connect(self, buffer: int | None = None):
        connection = socket.socket()
        connection.settimeout(0)
        if buffer:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
        await asyncio.get_running_loop().sock_connect(connection, ("127.0.0.1", self.port))
        return await asyncio.open_connection(sock=connection, limit=4096)

    async def expect(self, reader: asyncio.StreamReader, *statuses: int) -> None:
        line = await asyncio.wait_for(reader.readline(), 30)
        self.counts["answered"] += bool(line)
        if not line or int(line.split()[1]) not in statuses:
            self.odd.append(line.decode(errors="replace").strip() or "no answer")

    async def leave_amid_head(self) -> None:
        _, writer = await self.connect()
        writer.write(b"GET /api/v1/items/1 HTTP/1.1\r\nHost: a\r\nAuthoriz")
        await asyncio.sleep(0.05)
        reset(writer)

    async def leave_amid_request(self) -> None:
        _, writer = await self.ask("POST /api/v1/items", "items.write", "Content-Length: 200000")
        writer.write(b"x" * 50_000)
        await asyncio.sleep(0.05)
        reset(writer)

    async def leave_amid_answer(self) -> None:
        reader, writer = await self.ask("GET /api/v1/bodies/1m")
        await self.expect(reader, 200)
        await reader.read(1000)
        reset(writer)

    async def read_slowly(self) -> None:
        reader, writer = await self.ask("GET /api/v1/bodies/1m", "items.read", "Connection: close", buffer=8192)
        await self.expect(reader, 200)
        while await reader.read(16_384):
            await asyncio.sleep(0.03)
        writer.close()

    async def write_slowly(self) -> None:
        reader, writer = await self.ask("POST /api/v1/items", "items.write", "Content-Length: 60")
        for _ in range(60):
            writer.write(b"x")
            await asyncio.sleep(0.03)
        await self.expect(reader, 200)
        writer.close()

    async def stall(self) -> None:
        """Read nothing until the gateway has lost patience."""
        reader, writer = await self.ask("GET /api/v1/bodies/1m", "items.read", buffer=4096)
        await self.expect(reader, 200)
        await asyncio.sleep(self.idle + 2)
        reset(writer)

    async def send_no_token(self) -> None:
        reader, writer = await self.connect()
        writer.write(b"GET /api/v1/items/1 HTTP/1.1\r\nHost: a\r\nAgent-Intent: items.read\r\n\r\n")
        self.counts["parsed"] += 1
        await self.expect(reader, 401)
        writer.close()

    async def send_nonsense(self) -> None:
        reader, writer = await self.connect()
        writer.write(next(self.malformed).format(headers=self.headers).encode())
        self.counts["malformed"] += 1
        line = await asyncio.wait_for(reader.readline(), 30)
        if b" 400 " in line:
            self.counts["malformed_answered"] += 1
        else:
            self.odd.append(f"nonsense was answered {line!r}")
        writer.close()

    async def one(self, action) -> None:
        self.kinds[action.__name__] += 1
        try:
            await action()
        except ConnectionError as error:
            if action.__name__ not in BREAKING:
                self.odd.append(f"{action.__name__}: {type(error).__name__}")
        except TimeoutError:
            self.odd.append(f"{action.__name__}: no answer in time")

    def report(self) -> str:
        return json.dumps({**self.counts, "kinds": self.kinds, "odd": len(self.odd), "odd_examples": self.odd[:5]})


TROUBLES = {"reset": (502,), "midway": (200,), "short": (200,), "garbage": (502,), "drip": (200,)}
"""What the troubled upstream does, and the statuses with which it is answered."""
BREAKING = frozenset(("upstream_midway", "upstream_short"))
"""Where the client is cut off, as it must be."""


def reset(writer: asyncio.StreamWriter) -> None:
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    writer.transport.abort()


async def main() -> None:
    order = json.loads(sys.stdin.readline())
    maker, stopping = Maker(order), asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopping.set)
    running: set[asyncio.Task] = set()
    while not stopping.is_set():
        task = asyncio.get_running_loop().create_task(maker.one(next(maker.turns)))
        running.add(task)
        task.add_done_callback(running.discard)
        await asyncio.sleep(1 / order["rate"])
    if running:
        await asyncio.wait(running, timeout=60)
    print(maker.report(), flush=True)


if __name__ == "__main__":
    uvloop.run(main())
