"""An upstream of server-sent events: each stream gets one every interval, which says when it was sent; serves no other body than events.

Usage: event_source.py PORT KEY [SECONDS between two events of a stream]. Answers 401 unless the key came and no Authorization did.
"""

import asyncio
import sys
import time
from typing import ClassVar

import uvloop

INTERVAL = 0.010
SLOTS = 10
"""Streams are spread over so many moments of an interval, as strangers would be."""
PADDING = b"x" * 64
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nCache-Control: no-store\r\nTransfer-Encoding: chunked\r\n\r\n"
OTHER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
REFUSED = b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 11\r\n\r\nnot swapped"


class Source(asyncio.Protocol):
    """One connection; requests on it come one after the other."""

    slots: ClassVar[list[set]] = [set() for _ in range(SLOTS)]
    opened = 0
    key = b""

    def connection_made(self, transport) -> None:
        self.transport = transport
        self.head = b""

    def data_received(self, data: bytes) -> None:
        self.head += data
        if b"\r\n\r\n" not in self.head:
            return
        head, self.head = self.head.lower(), b""
        if b"x-api-key: " + self.key + b"\r\n" not in head or b"\nauthorization:" in head:
            self.transport.write(REFUSED)
        elif b"/v1/events" in head.split(b"\r\n", 1)[0]:
            self.transport.write(HEAD)
            Source.slots[Source.opened % SLOTS].add(self.transport)
            Source.opened += 1
        else:
            self.transport.write(OTHER)

    def connection_lost(self, _error) -> None:
        for slot in Source.slots:
            slot.discard(self.transport)


async def send_forever(interval: float) -> None:
    """Send by a timetable: a late moment does not put off the ones after it."""
    loop = asyncio.get_running_loop()
    due, number = loop.time(), 0
    while True:
        due += interval / SLOTS
        number += 1
        await asyncio.sleep(max(0, due - loop.time()))
        for transport in tuple(Source.slots[number % SLOTS]):
            event = b"data: {t=%020d} %b\n\n" % (time.monotonic_ns(), PADDING)
            transport.write(b"%x\r\n%b\r\n" % (len(event), event))


async def main() -> None:
    Source.key = sys.argv[2].lower().encode()
    await asyncio.get_running_loop().create_server(Source, "127.0.0.1", int(sys.argv[1]), backlog=4096)
    await send_forever(float(sys.argv[3]) if len(sys.argv) > 3 else INTERVAL)


if __name__ == "__main__":
    uvloop.run(main())
