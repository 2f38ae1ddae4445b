"""An upstream for bodies of any size: sends as many bytes as the path says, and counts and sums what it is sent; keeps no body.

Usage: body_upstream.py PORT KEY. `GET /v1/bodies/N` and `GET /v1/chunks/N` answer N bytes, `PUT /v1/bodies` what came in,
`GET /v1/sent` how many bytes of the downloads that still run were handed to the kernel. 401 unless the key was swapped.
"""

import asyncio
import json
import random
import sys
import zlib
from typing import ClassVar

import uvloop

BLOCK = random.Random(1).randbytes(64 << 10)  # noqa: S311 bytes that do not compress, the same on both sides
PART = 256 << 10


def body_checksum(size: int) -> int:
    """CRC-32 of the first `size` bytes of the block, repeated."""
    checksum = 0
    for _ in range(size // len(BLOCK)):
        checksum = zlib.crc32(BLOCK, checksum)
    return zlib.crc32(BLOCK[: size % len(BLOCK)], checksum)


class Bodies(asyncio.Protocol):
    """One connection; requests on it come one after the other."""

    key = b""
    sending: ClassVar[set["Bodies"]] = set()

    def connection_made(self, transport) -> None:
        self.transport = transport
        self.writable = asyncio.Event()
        self.writable.set()
        self.rest = b""
        self.begin()

    def begin(self) -> None:
        self.head = b""
        self.received = self.missing = self.checksum = 0
        self.chunked = self.in_body = False
        self.sent = 0

    def data_received(self, data: bytes) -> None:
        if self.in_body:
            self.take(data)
            return
        self.head += data
        end = self.head.find(b"\r\n\r\n")
        if end < 0:
            return
        head, data = self.head[:end].lower(), self.head[end + 4 :]
        if b"x-api-key: " + self.key not in head or b"\nauthorization:" in head:
            self.answer(b"401 Unauthorized", b"not swapped")
            return
        method, path, _ = head.split(b"\r\n", 1)[0].split(b" ")
        if method == b"put":
            self.chunked = b"transfer-encoding: chunked" in head
            self.missing = 0 if self.chunked else int(head.split(b"content-length: ")[1].split(b"\r\n")[0])
            self.in_body = True
            self.take(data)
        elif path.endswith(b"/sent"):
            sent = sum(each.sent - each.transport.get_write_buffer_size() for each in Bodies.sending)
            self.answer(b"200 OK", b'{"sent": %d}' % sent)
        elif path.startswith((b"/v1/bodies/", b"/v1/chunks/")):
            self.task = asyncio.get_running_loop().create_task(self.send(int(path.rsplit(b"/", 1)[1]), b"chunks" in path))
        else:
            self.answer(b"200 OK", b"ok")

    def take(self, data: bytes) -> None:
        """Sum what has come; chunks are taken apart, for their borders are the gateway's own affair."""
        if not self.chunked:
            self.add(data)
            self.missing -= len(data)
            if self.missing <= 0:
                self.report()
            return
        data, self.rest = self.rest + data, b""
        while data:
            if self.missing > 2:
                part, data = data[: self.missing - 2], data[self.missing - 2 :]
                self.add(part)
                self.missing -= len(part)
            elif self.missing:
                gone = min(self.missing, len(data))
                self.missing, data = self.missing - gone, data[gone:]
            else:
                end = data.find(b"\r\n")
                if end < 0:
                    self.rest = data
                    return
                size, data = int(data[:end].split(b";")[0], 16), data[end + 2 :]
                if size == 0:
                    self.report()
                    return
                self.missing = size + 2

    def add(self, data: bytes) -> None:
        self.received += len(data)
        self.checksum = zlib.crc32(data, self.checksum)

    def report(self) -> None:
        self.answer(b"200 OK", json.dumps({"received": self.received, "checksum": self.checksum}).encode())

    def answer(self, status: bytes, body: bytes) -> None:
        self.transport.write(b"HTTP/1.1 %b\r\nContent-Length: %d\r\n\r\n%b" % (status, len(body), body))
        self.begin()

    async def send(self, size: int, chunked: bool) -> None:  # noqa: FBT001 as the path says
        framing = b"Transfer-Encoding: chunked" if chunked else b"Content-Length: %d" % size
        self.transport.write(b"HTTP/1.1 200 OK\r\n%b\r\n\r\n" % framing)
        self.begin()
        Bodies.sending.add(self)
        part = BLOCK * (PART // len(BLOCK))
        while self.sent < size and not self.transport.is_closing():
            await self.writable.wait()
            now = part[: size - self.sent]
            self.transport.write(b"%x\r\n%b\r\n" % (len(now), now) if chunked else now)
            self.sent += len(now)
            await asyncio.sleep(0)
        if chunked and not self.transport.is_closing():
            self.transport.write(b"0\r\n\r\n")
        Bodies.sending.discard(self)

    def pause_writing(self) -> None:
        self.writable.clear()

    def resume_writing(self) -> None:
        self.writable.set()

    def connection_lost(self, _error) -> None:
        Bodies.sending.discard(self)
        self.writable.set()


async def main() -> None:
    Bodies.key = sys.argv[2].lower().encode()
    server = await asyncio.get_running_loop().create_server(Bodies, "127.0.0.1", int(sys.argv[1]), backlog=4096)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(main())
