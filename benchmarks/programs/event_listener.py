"""Opens many event streams at one address and measures how old each event is when it comes; knows nothing of who stands between.

Reads a JSON object from standard input: port, head, streams, seconds. Prints one: events, p50_us, p99_us, most_us, broken, cpu.
"""

import asyncio
import json
import sys
import time
from typing import ClassVar

import uvloop

MARK = b"{t="
DIGITS = 20


class Stream(asyncio.Protocol):
    """One stream; ages are kept only while `measuring`."""

    measuring = False
    ages: ClassVar[list[int]] = []
    broken = 0

    def __init__(self, head: bytes) -> None:
        self.head = head
        self.rest = b""
        self.begun = False

    def connection_made(self, transport) -> None:
        transport.write(self.head)

    def data_received(self, data: bytes) -> None:
        now = time.monotonic_ns()
        if not self.begun:
            self.begun = True
            if not data.startswith(b"HTTP/1.1 200"):
                Stream.broken += 1
        data = self.rest + data
        place = data.find(MARK)
        end = 0
        while place >= 0 and len(data) >= place + len(MARK) + DIGITS:
            end = place + len(MARK) + DIGITS
            if Stream.measuring:
                Stream.ages.append(now - int(data[place + len(MARK) : end]))
            place = data.find(MARK, end)
        self.rest = data[max(end, len(data) - len(MARK) - DIGITS) :]

    def connection_lost(self, _error) -> None:
        if Stream.measuring:
            Stream.broken += 1


async def main() -> None:
    order = json.loads(sys.stdin.readline())
    loop = asyncio.get_running_loop()
    opened = [
        await loop.create_connection(lambda: Stream(order["head"].encode()), "127.0.0.1", order["port"])
        for _ in range(order["streams"])
    ]
    await asyncio.sleep(1)
    print("ready", flush=True)
    started, used = time.monotonic(), time.process_time()
    Stream.measuring = True
    await asyncio.sleep(order["seconds"])
    Stream.measuring = False
    share = (time.process_time() - used) / (time.monotonic() - started)
    print("done", flush=True)
    ages = sorted(Stream.ages)
    figures = {
        "events": len(ages),
        "p50_us": ages[len(ages) // 2] // 1000 if ages else None,
        "p99_us": ages[len(ages) * 99 // 100] // 1000 if ages else None,
        "most_us": ages[-1] // 1000 if ages else None,
        "broken": Stream.broken,
        "generator": round(share, 2),
    }
    print(json.dumps(figures), flush=True)
    for transport, _ in opened:
        transport.abort()


if __name__ == "__main__":
    uvloop.run(main())
