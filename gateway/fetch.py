"""The one outgoing client for everything but relayed requests; knows no key, no token and no meaning of an answer.

It follows no redirect, keeps no cookie, reads no proxy from the environment and stops reading at a limit.
"""

import json as json_text
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Final, Self, final
from urllib.parse import urlencode, urlsplit

import aiohttp

from gateway.errors import DoorwardError

ANSWER_BYTES: Final = 1024 * 1024
TIMEOUT: Final = 10.0
_CHUNK: Final = 64 * 1024


class FetchError(DoorwardError):
    """There is no usable answer; one sentence that names the other side and says what happened."""


@final
@dataclass(frozen=True, slots=True)
class Answer:
    """What came back, whatever its status. Header names are looked up in any case."""

    status: int
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)

    def json(self) -> Any:
        """The body read as JSON. Raises `FetchError`."""
        try:
            return json_text.loads(self.body)
        except (ValueError, RecursionError):
            raise FetchError(f"the answer with status {self.status} is not JSON") from None


@final
class Fetch:
    """A client over TCP and Unix sockets, to be used as an async context manager or closed with `close`."""

    def __init__(self) -> None:
        """Nothing is opened before the first request."""
        self._sessions: dict[str | None, aiohttp.ClientSession] = {}
        self._closed = False

    async def __aenter__(self) -> Self:
        """Nothing to prepare."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close every connection."""
        await self.close()

    async def close(self) -> None:
        """Close every connection, in use or kept; no request is sent after that."""
        self._closed = True
        while self._sessions:
            _, session = self._sessions.popitem()
            await session.close()

    async def request(
        self,
        method: str,
        url: str,
        *,
        form: Mapping[str, str] | Sequence[tuple[str, str]] | None = None,
        json: object = None,
        headers: Mapping[str, str] | None = None,
        limit: int = ANSWER_BYTES,
        timeout: float = TIMEOUT,  # noqa: ASYNC109 the bound covers connecting, sending and reading, so it belongs to the client
        unix: str | None = None,
    ) -> Answer:
        """Send one request and read the whole answer. `limit` is in bytes, `timeout` in seconds for everything together.

        `form` is sent form-encoded, `json` as JSON; at most one of them. With `unix` the connection goes to the socket at
        that path and the host of the URL is only a name. Raises `FetchError` whenever there is no complete answer.
        """
        if form is not None and json is not None:
            raise ValueError("a request has one body: form or json")
        there = f"unix:{unix}" if unix is not None else _origin(url)
        sent = {"Accept-Encoding": "identity", **(headers or {})}
        body: bytes | None = None
        if form is not None:
            sent["Content-Type"], body = "application/x-www-form-urlencoded", urlencode(form).encode()
        elif json is not None:
            sent["Content-Type"], body = "application/json", json_text.dumps(json).encode()
        try:
            async with self._session(unix).request(
                method, url, data=body, headers=sent, timeout=aiohttp.ClientTimeout(total=timeout), allow_redirects=False
            ) as response:
                if response.headers.get("Content-Encoding", "identity") != "identity":
                    raise FetchError(f"{there} sent a compressed answer that was not asked for")
                content = await _read(response, limit, there)
        except TimeoutError:
            raise FetchError(f"{there} did not answer within {timeout:g} seconds") from None
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise FetchError(f"{there} {_what_happened(error)}") from None
        return Answer(response.status, response.headers, content)

    def _session(self, unix: str | None) -> aiohttp.ClientSession:
        if self._closed:
            raise FetchError("this program is stopping and sends no more requests")
        session = self._sessions.get(unix)
        if session is None:
            connector = aiohttp.UnixConnector(unix) if unix is not None else aiohttp.TCPConnector()
            session = self._sessions[unix] = aiohttp.ClientSession(
                connector=connector, cookie_jar=aiohttp.DummyCookieJar(), trust_env=False, auto_decompress=False
            )
        return session


async def _read(response: aiohttp.ClientResponse, limit: int, there: str) -> bytes:
    content = bytearray()
    async for chunk in response.content.iter_chunked(_CHUNK):
        content += chunk
        if len(content) > limit:
            response.close()
            raise FetchError(f"{there} sent more than {limit} bytes")
    return bytes(content)


def _origin(url: str) -> str:
    """What of an address may stand in an error: never its user, path or query, which could hold a secret."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        raise FetchError("the address is not a URL") from None
    if parts.scheme not in ("http", "https") or not host:
        raise FetchError("the address is not an http:// or https:// URL")
    if "@" in parts.netloc:
        raise FetchError("the address holds a user name or password, which is not supported")
    host = f"[{host}]" if ":" in host else host
    return f"{parts.scheme}://{host}" if port is None else f"{parts.scheme}://{host}:{port}"


def _what_happened(error: Exception) -> str:
    match error:
        case aiohttp.ClientConnectorCertificateError():
            return "has a TLS certificate that is not trusted"
        case aiohttp.ClientConnectorDNSError():
            return "cannot be reached: its name does not resolve"
        case aiohttp.ClientSSLError():
            return "cannot be reached: the TLS handshake failed"
        case aiohttp.ServerDisconnectedError() | aiohttp.ClientPayloadError():
            return "closed the connection before the answer was complete"
        case aiohttp.ClientResponseError():
            return "did not answer in valid HTTP"
        case OSError(errno=int(number)):
            return f"cannot be reached: {os.strerror(number).lower()}"
    return "cannot be reached"
