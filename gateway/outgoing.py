"""Sends requests with aiohttp, and says in one sentence why there is no answer; knows nothing of what is asked and why."""

import os
import socket
import ssl
from collections.abc import AsyncGenerator, Mapping
from ipaddress import IPv4Address
from typing import Final, final

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult

from gateway.fetched import Answer, FetchError
from gateway.lookups import Lookups

_CHUNK: Final = 64 * 1024
_OK: Final = 200


@final
class Sessions:
    """The connections to all others, over TCP and Unix sockets. `there` names the other side in errors."""

    def __init__(self) -> None:
        """Nothing is opened before the first request."""
        self._sessions: Final[dict[str | None, aiohttp.ClientSession]] = {}

    async def close(self) -> None:
        """Close every connection, in use or kept."""
        while self._sessions:
            _, session = self._sessions.popitem()
            await session.close()

    async def request(  # noqa: PLR0913 each is one part of a request
        self,
        method: str,
        url: str,
        *,
        there: str,
        headers: Mapping[str, str],
        body: bytes | None,
        limit: int,
        seconds: float,
        unix: str | None,
        tls: ssl.SSLContext | None,
    ) -> Answer:
        """Send one request and read the whole answer, of at most `limit` bytes, within `seconds`. Raises `FetchError`."""
        try:
            async with self._session(unix).request(
                method,
                url,
                data=body,
                headers=headers,
                timeout=aiohttp.ClientTimeout(total=seconds),
                allow_redirects=False,
                ssl=tls or True,
            ) as response:
                if response.headers.get("Content-Encoding", "identity") != "identity":
                    raise FetchError(f"{there} sent a compressed answer that was not asked for")
                content = await _read(response, limit, there)
        except TimeoutError:
            raise FetchError(f"{there} did not answer within {seconds:g} seconds") from None
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise FetchError(f"{there} {_what_happened(error)}") from None
        return Answer(response.status, response.headers, content)

    async def stream(
        self, url: str, *, there: str, headers: Mapping[str, str], patience: float, unix: str | None, tls: ssl.SSLContext | None
    ) -> AsyncGenerator[bytes, None]:
        """Send a GET and yield what comes, as it comes, with at most `patience` seconds in between. Raises `FetchError`."""
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=patience, sock_read=patience)
        try:
            async with self._session(unix).get(
                url, headers=headers, timeout=timeout, allow_redirects=False, ssl=tls or True
            ) as response:
                if response.status != _OK:
                    raise FetchError(f"{there} answers with status {response.status}")
                try:
                    async for piece in response.content.iter_any():
                        yield piece
                finally:
                    response.close()
        except TimeoutError:
            raise FetchError(f"{there} said nothing for {patience:g} seconds") from None
        except (aiohttp.ClientError, OSError) as error:
            raise FetchError(f"{there} {_what_happened(error)}") from None

    def _session(self, unix: str | None) -> aiohttp.ClientSession:
        session = self._sessions.get(unix)
        if session is None:
            connector = aiohttp.UnixConnector(unix) if unix is not None else aiohttp.TCPConnector(resolver=_Resolver())
            session = self._sessions[unix] = aiohttp.ClientSession(
                connector=connector, cookie_jar=aiohttp.DummyCookieJar(), trust_env=False, auto_decompress=False
            )
        return session


@final
class _Resolver(AbstractResolver):
    """Resolves names where nobody waits for a name of somebody else; the threads of the event loop are too few for that."""

    def __init__(self) -> None:
        self._lookups: Final = Lookups()

    async def resolve(self, host: str, port: int = 0, family: int = socket.AF_UNSPEC) -> list[ResolveResult]:
        """See `AbstractResolver`. Raises `OSError`."""
        del family  # the connector wants all of them
        addresses = await self._lookups.addresses_of(host)
        if not addresses:
            raise OSError
        return [
            ResolveResult(
                hostname=host,
                host=str(address),
                port=port,
                family=socket.AF_INET if isinstance(address, IPv4Address) else socket.AF_INET6,
                proto=socket.IPPROTO_TCP,
                flags=socket.AI_NUMERICHOST | socket.AI_NUMERICSERV,
            )
            for address in addresses
        ]

    async def close(self) -> None:
        """Nothing is open."""


async def _read(response: aiohttp.ClientResponse, limit: int, there: str) -> bytes:
    content = bytearray()
    async for chunk in response.content.iter_chunked(_CHUNK):
        content += chunk
        if len(content) > limit:
            response.close()
            raise FetchError(f"{there} sent more than {limit} bytes")
    return bytes(content)


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
