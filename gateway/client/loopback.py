"""A listener on this host that turns one random key into the current token of a task; decides nothing, and reads no body.

For programs whose SDK takes a base URL and an API key and nothing else (`doorward run`). A request is passed on with its own
connection, so that after the head it is bytes in both directions: streams, WebSockets and uploads pass as they come.
Whatever else a connection says after its request has no token, and the gateway refuses it.
"""

import asyncio
import hmac
import json
import secrets
import socket
import ssl
import struct
from contextlib import suppress
from http import HTTPStatus
from typing import Final, NamedTuple, Protocol, final
from urllib.parse import urlsplit

from gateway.client.errors import ClientError, MisusedError
from gateway.client.keyed_head import HEAD_BYTES, BadHeadError, KeyedHead, read_head

CONNECTIONS: Final = 256
"""How many requests may be under way; further ones are answered with 503."""
HEAD_SECONDS: Final = 10.0
"""How long a request's head may take, and connecting to the gateway."""
LINGERING_SECONDS: Final = 1.0
"""How long what still comes is read away after an answer of its own."""
PIECE: Final = 64 * 1024
"""How many bytes are read at once, and may wait for the slower side."""

_KEY_BYTES: Final = 32
_NO_LINGERING: Final = struct.pack("ii", 1, 0)


class Keeper(Protocol):
    """What gives the headers of a request to the gateway."""

    def for_request(self, path: str, *, declared: bool) -> dict[str, str]:
        """The headers for a request to this path; without an intent if the request has `declared` one. Raises `ClientError`."""


class Way(NamedTuple):
    """How the gateway is reached."""

    host: str
    port: int
    tls: ssl.SSLContext | None
    authority: str

    @classmethod
    def to(cls, url: str) -> "Way":
        """The way to an `http://` or `https://` address without a path. Raises `MisusedError`."""
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.path.strip("/"):
            raise MisusedError("the address of the gateway has to be http://HOST:PORT or https://HOST:PORT")
        tls = ssl.create_default_context() if parts.scheme == "https" else None
        return cls(parts.hostname, parts.port or (80 if tls is None else 443), tls, parts.netloc)


@final
class Loopback:
    """An async context manager: listens inside of its block, and cuts what is open at its end."""

    def __init__(self, keeper: Keeper, way: Way) -> None:
        """`keeper` gives tokens; `way` leads to the gateway."""
        self.key: Final = f"dwk_{secrets.token_urlsafe(_KEY_BYTES)}"
        """What the listener accepts, and nothing else. It means nothing to the gateway."""
        self.url = ""
        """Where it listens, once it does."""
        self._keeper: Final = keeper
        self._way: Final = way
        self._open: Final[set[asyncio.StreamWriter]] = set()
        self._serving = 0
        self._idle: Final = asyncio.Event()
        self._server: asyncio.Server | None = None

    async def __aenter__(self) -> "Loopback":
        """Listen on a free port of 127.0.0.1."""
        self._idle.set()
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, limit=HEAD_BYTES)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        """Listen no longer, and cut what is open; nothing is left when this returns."""
        if self._server is not None:
            self._server.close()
            for writer in self._open:
                writer.transport.abort()
            await self._idle.wait()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._serving += 1
        self._idle.clear()
        self._open.add(writer)
        try:
            await self._request(reader, writer)
        except _Answer as answer:
            with suppress(OSError, TimeoutError):
                await _say(answer, reader, writer)
        except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, TimeoutError):
            _cut(writer)
        finally:
            await _closed(writer)
            self._open.discard(writer)
            self._serving -= 1
            if not self._serving:
                self._idle.set()

    async def _request(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._serving > CONNECTIONS:
            raise _Answer(503, "overloaded", f"More than {CONNECTIONS} requests of this command are under way.")
        async with asyncio.timeout(HEAD_SECONDS):
            raw = await reader.readuntil(b"\r\n\r\n")
        head = self._checked(raw)
        try:
            async with asyncio.timeout(HEAD_SECONDS):
                there, back = await asyncio.open_connection(
                    self._way.host, self._way.port, ssl=self._way.tls, limit=PIECE, server_hostname=self._name()
                )
        except (OSError, TimeoutError):
            raise _Answer(502, "gateway_unreachable", f"The gateway at {self._way.authority} cannot be reached.") from None
        self._open.add(back)
        try:
            back.write(head)
            await _both_ways(reader, writer, there, back)
        finally:
            await _closed(back)
            self._open.discard(back)

    def _name(self) -> str | None:
        return None if self._way.tls is None else self._way.host

    def _checked(self, raw: bytes) -> bytes:
        """The head for the gateway, of one that shows the key. Raises `_Answer`."""
        try:
            head: KeyedHead = read_head(raw)
        except BadHeadError as error:
            raise _Answer(400, "request_malformed", str(error)) from None
        if len(head.keys) != 1 or not hmac.compare_digest(head.keys[0].encode(), self.key.encode()):
            raise _Answer(401, "key_wrong", "Send the key that doorward run has set for this command, in one place.")
        try:
            added = self._keeper.for_request(head.path, declared=head.declares)
        except ClientError as error:
            raise _Answer(401, "no_token", str(error)) from None
        return head.with_headers({"Host": self._way.authority, **added})


async def _both_ways(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, there: asyncio.StreamReader, back: asyncio.StreamWriter
) -> None:
    """Pass bytes on both ways. It is over when the gateway has closed, for it closes after its answer, or the command has."""
    await asyncio.gather(_pump(reader, back), _pump(there, writer), return_exceptions=True)


async def _pump(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
    """One way. Its end closes the other side, which ends the other way too; after an end that is none it is cut off."""
    try:
        while piece := await source.read(PIECE):
            target.write(piece)
            await target.drain()
    except OSError:
        _cut(target)
    finally:
        target.close()


async def _say(answer: "_Answer", reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer, and read away what still comes for a moment: closing over unread bytes would take the answer back."""
    writer.write(answer.bytes)
    writer.write_eof()
    async with asyncio.timeout(LINGERING_SECONDS):
        while await reader.read(PIECE):
            pass


async def _closed(writer: asyncio.StreamWriter) -> None:
    writer.close()
    with suppress(OSError):
        await writer.wait_closed()


def _cut(writer: asyncio.StreamWriter) -> None:
    """Reset a connection: the other side shall see that this was no good end."""
    connection = writer.get_extra_info("socket")
    with suppress(OSError):
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGERING)
    writer.transport.abort()


@final
class _Answer(Exception):
    """The listener answers itself, with a problem document (RFC 9457)."""

    def __init__(self, status: int, code: str, detail: str) -> None:
        super().__init__(code)
        phrase = HTTPStatus(status).phrase
        body = json.dumps({"title": phrase, "status": status, "code": code, "detail": detail}).encode("ascii")
        head = f"HTTP/1.1 {status} {phrase}\r\nContent-Type: application/problem+json\r\nContent-Length: {len(body)}\r\n"
        self.bytes: Final = head.encode("ascii") + b"Connection: close\r\n\r\n" + body
