"""Asks with the tokens of tasks while they are revoked, and notes for each what was accepted last; knows no configuration.

Reads a JSON object from standard input and prints one, see `main`. The rule of what counts stands in `benchmarks.revocation`.
It runs on asyncio's own loop, which hands what is written to the kernel at once: the time noted before is that of sending.
"""

import asyncio
import json
import sys
import time
from collections import deque
from collections.abc import Iterator
from pathlib import Path

PATIENCE = 10.0
"""Seconds for anything to happen."""
PAUSE = 0.05
"""Seconds between two revocations of one lane."""
MOST_DIALLED = 4000
"""Connections that are opened to find some at each process."""
OK, REVOKED = b"200", b"401"


def get(path: str, token: str) -> bytes:
    lines = f"Host: 127.0.0.1\r\nAuthorization: Bearer {token}\r\nAgent-Intent: items.read\r\n"
    return f"GET /api{path} HTTP/1.1\r\n{lines}\r\n".encode()


class Asker(asyncio.Protocol):
    """A kept connection with one request on it at a time."""

    def __init__(self) -> None:
        self.answered: asyncio.Future | None = None
        self.sent = 0
        self.waiting = b""

    def connection_made(self, transport) -> None:
        self.transport = transport

    def ask(self, request: bytes) -> asyncio.Future:
        """The status of the answer; `sent` is when this request was sent, in nanoseconds."""
        self.answered = asyncio.get_running_loop().create_future()
        self.sent = time.monotonic_ns()
        self.transport.write(request)
        return self.answered

    def data_received(self, data: bytes) -> None:
        self.waiting += data
        head, separator, body = self.waiting.partition(b"\r\n\r\n")
        if not separator:
            return
        length = int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0])
        if len(body) >= length:
            self.waiting = b""
            self.answered.set_result(head[9:12])

    def connection_lost(self, _error) -> None:
        if self.answered is not None and not self.answered.done():
            self.answered.set_exception(ConnectionError("the connection was cut between request and answer"))


class Stream(asyncio.Protocol):
    """One event stream that nobody may cut."""

    def __init__(self, request: bytes) -> None:
        self.request = request
        self.begun = asyncio.get_running_loop().create_future()
        self.ended = asyncio.get_running_loop().create_future()

    def connection_made(self, transport) -> None:
        transport.write(self.request)

    def data_received(self, data: bytes) -> None:
        if not self.begun.done():
            self.begun.set_result(data[9:12])

    def connection_lost(self, _error) -> None:
        if not self.ended.done():
            self.ended.set_result(None)


class Apart:
    """A process that does one thing, so that its times are exact."""

    def __init__(self, program: str) -> None:
        self.program = str(Path(__file__).with_name(program))

    async def __aenter__(self):
        pipe = asyncio.subprocess.PIPE
        self.process = await asyncio.create_subprocess_exec(sys.executable, self.program, stdin=pipe, stdout=pipe)
        self.reading = asyncio.ensure_future(self._read())
        return self

    async def __aexit__(self, *_error) -> None:
        self.process.stdin.close()
        await self.process.wait()
        await self.reading

    def order(self, *words: object) -> None:
        self.process.stdin.write(f"{' '.join(map(str, words))}\n".encode())

    async def _read(self) -> None:
        async for line in self.process.stdout:
            self.told(*line.decode().split())


class Revoker(Apart):
    """The process that revokes."""

    def __init__(self) -> None:
        super().__init__("revoker.py")
        self.asked: dict[str, asyncio.Future] = {}

    def revoke(self, socket: str, task: str) -> asyncio.Future:
        """When it was acknowledged, in nanoseconds."""
        self.asked[task] = asyncio.get_running_loop().create_future()
        self.order(socket, task)
        return self.asked[task]

    def told(self, task: str, status: str, at: str) -> None:
        assert status == "200", f"the revocation was answered with {status}"
        self.asked.pop(task).set_result(int(at))


class Watcher(Apart):
    """The process that holds the streams which are cut."""

    def __init__(self) -> None:
        super().__init__("stream_watcher.py")
        self.streams: dict[str, deque[asyncio.Future]] = {}

    async def open(self, port: int, token: str) -> asyncio.Future:
        """When it has ended, in nanoseconds."""
        loop, name = asyncio.get_running_loop(), str(len(self.streams))
        begun, ended = loop.create_future(), loop.create_future()
        self.streams[name] = deque((begun, ended))
        self.order(name, port, token)
        assert await begun == int(OK)
        return ended

    def told(self, name: str, value: str) -> None:
        self.streams[name].popleft().set_result(int(value))


async def dial(gateways: list[dict], each: int, hello: bytes) -> Iterator[tuple[Asker, ...]]:
    """`each` times one connection to every process that serves; which of them took a connection is looked up in /proc."""
    loop = asyncio.get_running_loop()
    found: dict[int, deque[Asker]] = {gateway["process"]: deque() for gateway in gateways}
    for number in range(MOST_DIALLED):
        if all(len(askers) >= each for askers in found.values()):
            return zip(*found.values(), strict=False)
        lacking = [gateway for gateway in gateways if len(found[gateway["process"]]) < each]
        port = lacking[number % len(lacking)]["port"]
        _, asker = await loop.create_connection(Asker, "127.0.0.1", port)
        assert await asker.ask(hello) == OK
        process = server_of(asker, [gateway["process"] for gateway in gateways if gateway["port"] == port])
        if len(found[process]) < each:
            found[process].append(asker)
        else:
            asker.transport.close()
    raise TimeoutError("some process takes no connections")


def server_of(asker: Asker, processes: list[int]) -> int:
    """The process at the other end of a connection of this machine."""
    here, there = (asker.transport.get_extra_info(name)[1] for name in ("sockname", "peername"))
    rows = (line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:])
    ends = (f"{there:04X}", f"{here:04X}")
    inode = next(row[9] for row in rows if (row[1][-4:], row[2][-4:]) == ends)
    for process in processes:
        for descriptor in Path(f"/proc/{process}/fd").iterdir():
            if descriptor.is_symlink() and str(descriptor.readlink()) == f"socket:[{inode}]":
                return process
    raise ProcessLookupError("nobody has this connection")


class Lane:
    """Revokes one task after the other, and asks with the token of each until every process has refused it."""

    def __init__(self, order: dict, askers: tuple[Asker, ...], revoker: Revoker, watcher: Watcher) -> None:
        self.order = order
        self.askers = askers
        self.revoker = revoker
        self.watcher = watcher

    async def end(self, number: int, task: dict) -> dict:
        """What was seen of the end of one task, in nanoseconds after its acknowledgement."""
        request = get("/v1/items/1", task["token"])
        streams = [await self.watcher.open(gateway["port"], task["token"]) for gateway in self.order["gateways"]]
        for asker in self.askers:
            assert await asker.ask(request) == OK
        asking = [asyncio.ensure_future(last_accepted(asker, request)) for asker in self.askers]
        await asyncio.sleep(0)
        sockets = self.order["sockets"]
        acknowledged = await self.revoker.revoke(sockets[number % len(sockets)], task["id"])
        last, cut = [await each for each in asking], [await stream for stream in streams]
        return {"id": task["id"], "at": acknowledged, "acceptance": max(last) - acknowledged, "cut": max(cut) - acknowledged}

    async def run(self, tasks: Iterator[tuple[int, dict]]) -> list[dict]:
        seen = []
        for number, task in tasks:
            async with asyncio.timeout(PATIENCE):
                seen.append(await self.end(number, task))
            await asyncio.sleep(PAUSE)
        return seen


async def last_accepted(asker: Asker, request: bytes) -> int:
    """Ask until it is refused; when the last request was sent that was accepted."""
    last = 0
    while (status := await asker.ask(request)) == OK:
        last = asker.sent
    assert status == REVOKED, f"refused with {status}"
    return last


async def open_stream(port: int, request: bytes) -> Stream:
    _, stream = await asyncio.get_running_loop().create_connection(lambda: Stream(request), "127.0.0.1", port)
    assert await stream.begun == OK
    return stream


class Steady:
    """Requests at a fixed rate whose tokens stay good."""

    def __init__(self, order: dict, askers: list[Asker]) -> None:
        self.requests = [get("/v1/items/1", token) for token in order["tokens"]]
        self.interval = len(askers) / order["rate"]
        self.askers = askers
        self.answered = self.failed = 0
        self.running = True

    async def run(self) -> None:
        begun = time.perf_counter()
        share = self.interval / len(self.askers)
        await asyncio.gather(*(self._ask(each, begun + place * share) for place, each in enumerate(self.askers)))

    async def _ask(self, asker: Asker, due: float) -> None:
        while self.running:
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            self.failed += await asker.ask(self.requests[self.answered % len(self.requests)]) != OK
            self.answered += 1
            due += self.interval


async def main() -> None:
    """Takes gateways (port, process), sockets, tokens and tasks (id, token), rate, lanes, connections, streams.

    Gives `ended` (see `Lane.end`) and of the rest, that must not notice: `answered`, `failed`, `seconds`, `broken` streams.
    """
    order = json.loads(sys.stdin.readline())
    async with Revoker() as revoker, Watcher() as watcher:
        seen = await loaded(order, revoker, watcher)
    print(json.dumps(seen))


async def loaded(order: dict, revoker: Revoker, watcher: Watcher) -> dict:
    gateways, tokens = order["gateways"], order["tokens"]
    hello = get("/v1/items/1", tokens[0])
    lanes = [Lane(order, askers, revoker, watcher) for askers in await dial(gateways, order["lanes"], hello)]
    each = -(-order["connections"] // len(gateways))
    steady = Steady(order, [asker for row in await dial(gateways, each, hello) for asker in row])
    others = [
        await open_stream(gateways[number % len(gateways)]["port"], get("/v1/events", tokens[number % len(tokens)]))
        for number in range(order["streams"])
    ]
    load = asyncio.ensure_future(steady.run())
    await asyncio.sleep(1)
    begun, before = time.perf_counter(), steady.answered
    tasks = enumerate(order["tasks"])
    ended = [each for lane in await asyncio.gather(*(lane.run(tasks) for lane in lanes)) for each in lane]
    answered, seconds = steady.answered - before, time.perf_counter() - begun
    steady.running = False
    await load
    broken = sum(stream.ended.done() for stream in others)
    return {"ended": ended, "answered": answered, "failed": steady.failed, "seconds": seconds, "broken": broken}


if __name__ == "__main__":
    asyncio.run(main())
