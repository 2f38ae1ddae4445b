"""Shakes hands with an upstream on a new connection before anything is sent over it; knows no requests and no secrets."""

import asyncio
from collections.abc import Callable
from typing import cast, final

from gateway.http.sender import UNSENT
from gateway.http.tls_door import GOODBYE
from gateway.http.tls_watch import LiveContext
from gateway.http.upstream import UpstreamConnection
from gateway.model import Upstream


async def connect_securely(
    upstream: Upstream, address: str, live: LiveContext, make: Callable[[], UpstreamConnection]
) -> UpstreamConnection:
    """Connect to one address, with TLS for the upstream's own name: SNI where it is no address, and always verified.

    Raises `ssl.SSLCertVerificationError`, `ssl.SSLError` and `OSError`.
    """
    loop = asyncio.get_running_loop()
    context = live.context
    tcp, landing = await loop.create_connection(_Landing, address, upstream.origin.port)
    transport = await loop.start_tls(
        tcp,
        landing,
        context,
        server_hostname=upstream.origin.host,
        ssl_handshake_timeout=upstream.connect_timeout,
        ssl_shutdown_timeout=GOODBYE,
    )
    if transport is None or transport.is_closing():
        raise ConnectionResetError
    tcp.set_write_buffer_limits(high=UNSENT)
    transport.set_write_buffer_limits(high=UNSENT + 1)  # TLS stops a writer at the limit, TCP beyond it
    connection = make()
    transport.set_protocol(connection)
    connection.secured(transport, tcp, live, context)
    return connection


@final
class _Landing(asyncio.Protocol):
    """Holds the place of a connection until TLS is up. An upstream that speaks before it is spoken to is cut."""

    __slots__ = ("_transport",)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """TCP is up."""
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, _data: bytes) -> None:
        """Nothing was asked yet."""
        self._transport.abort()
