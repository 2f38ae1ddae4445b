"""Stands before a gateway and puts a token on each request, for clients that have none; knows nothing else of what passes."""

import asyncio
import contextlib
from contextlib import AsyncExitStack


class Front:
    """One listener; each connection has one of its own to the gateway."""

    def __init__(self, gateway: str, token: str) -> None:
        self._host, _, port = gateway.rpartition(":")
        self._port = int(port)
        self._line = f"\r\nAuthorization: Bearer {token}\r\n\r\n".encode()

    async def start(self, stack: AsyncExitStack) -> int:
        """Listen on a free port, until the stack is left; returns it."""
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        stack.callback(server.close)
        return server.sockets[0].getsockname()[1]

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        onward, outward = await asyncio.open_connection(self._host, self._port)
        back = asyncio.ensure_future(_pipe(onward, writer))
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                outward.write(head[:-4] + self._line)
                outward.write(await reader.readexactly(_length(head)))
                await outward.drain()
        outward.close()
        await asyncio.gather(back, return_exceptions=True)


async def _pipe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(ConnectionError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    writer.close()


def _length(head: bytes) -> int:
    for line in head.lower().split(b"\r\n"):
        if line.startswith(b"content-length:"):
            return int(line[15:])
    return 0
