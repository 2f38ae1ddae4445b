"""An upstream that breaks in the way its path says, for the soak; checks no key.

Usage: troubled_upstream.py PORT. Paths end in reset (before any answer), midway (a reset amid the body), short (it ends before
its length), garbage (no HTTP) and drip (a body that comes in small pieces for two seconds).
"""

import asyncio
import socket
import struct
import sys

import uvloop

RESET = struct.pack("ii", 1, 0)
BEGUN = b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n" + b"x" * 5000
DRIPS = 40


class Troubled(asyncio.Protocol):
    """One connection; every request ends it but for the dripping one."""

    def connection_made(self, transport) -> None:
        self.transport = transport
        self.head = b""

    def data_received(self, data: bytes) -> None:
        self.head += data
        if b"\r\n\r\n" not in self.head:
            return
        path, self.head = self.head.split(b" ", 2)[1], b""
        trouble = path.rpartition(b"/")[2]
        if trouble == b"reset":
            self.reset()
        elif trouble == b"midway":
            self.transport.write(BEGUN)
            asyncio.get_running_loop().call_later(0.02, self.reset)
        elif trouble == b"short":
            self.transport.write(BEGUN)
            self.transport.close()
        elif trouble == b"garbage":
            self.transport.write(b"this is no HTTP\r\n\r\n")
        else:
            self.dripping = asyncio.get_running_loop().create_task(self.drip())

    def reset(self) -> None:
        self.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        self.transport.abort()

    async def drip(self) -> None:
        self.transport.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        for _ in range(DRIPS):
            self.transport.write(b"5\r\ndrip\n\r\n")
            await asyncio.sleep(0.05)
        self.transport.write(b"0\r\n\r\n")


async def main() -> None:
    server = await asyncio.get_running_loop().create_server(Troubled, "127.0.0.1", int(sys.argv[1]), backlog=1024)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(main())
