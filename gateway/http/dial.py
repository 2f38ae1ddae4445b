"""Opens connections to upstreams: resolves the name, checks every address, connects to one that passed; knows no requests."""

import asyncio
import errno
import ssl
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from typing import Final

from gateway.errors import ProxyError, Refusal
from gateway.http.networks import is_permitted
from gateway.http.tls_upstream import connect_securely
from gateway.http.tls_watch import LiveContext
from gateway.http.upstream import UpstreamConnection
from gateway.lookups import Address, Lookups, TooManyLookupsError
from gateway.model import Upstream

MOST_ADDRESSES: Final = 4
"""How many addresses of a name are tried, one after the other."""
_UNREACHABLE: Final[ProxyError] = "destination_unavailable"
_ERROR_TYPES: Final[Mapping[int, ProxyError]] = {
    errno.ECONNREFUSED: "connection_refused",
    errno.ECONNRESET: "connection_terminated",
    errno.ETIMEDOUT: "connection_timeout",
    errno.EHOSTUNREACH: "destination_ip_unroutable",
    errno.ENETUNREACH: "destination_ip_unroutable",
}


async def dial(
    upstream: Upstream, make: Callable[[], UpstreamConnection], lookups: Lookups, live: LiveContext | None = None
) -> UpstreamConnection | Refusal:
    """Connect to an address in the upstream's networks, or return the `Refusal` that says why there is no connection.

    The address that was checked is the one that is connected to, so a name cannot be rebound in between. With `live` it is
    spoken to over TLS. One address that does not answer leaves the others their part of the time.
    """
    loop = asyncio.get_running_loop()
    until = loop.time() + upstream.connect_timeout
    problem, error_type = "no address", _UNREACHABLE
    addresses = await _permitted_addresses(upstream, lookups)
    if isinstance(addresses, Refusal):
        return addresses
    tried = addresses[:MOST_ADDRESSES]
    for left, address in zip(range(len(tried), 0, -1), tried, strict=True):
        try:
            async with _part_of(until, left):
                connection = await _connect(upstream, str(address), make, live)
        except ssl.SSLCertVerificationError:
            problem, error_type = "its certificate does not verify", "tls_certificate_error"
        except ssl.SSLError:
            problem, error_type = "the TLS handshake failed", "tls_protocol_error"
        except TimeoutError:
            problem, error_type = "it does not answer", "connection_timeout"
        except OSError as error:
            if error.errno in (errno.EMFILE, errno.ENFILE):
                return Refusal(
                    "overloaded",
                    "The gateway has no file descriptor left for a connection.",
                    retry_after=1,
                    error="connection_limit_reached",
                )
            problem, error_type = "it refuses connections", _ERROR_TYPES.get(error.errno or 0, _UNREACHABLE)
        else:
            return connection
    return Refusal("upstream_failed", f"The upstream {upstream.name} cannot be reached: {problem}.", error=error_type)


async def _connect(
    upstream: Upstream, address: str, make: Callable[[], UpstreamConnection], live: LiveContext | None
) -> UpstreamConnection:
    if live is not None:
        return await connect_securely(upstream, address, live, make)
    _, connection = await asyncio.get_running_loop().create_connection(make, address, upstream.origin.port)
    return connection


def _part_of(until: float, left: int) -> AbstractAsyncContextManager[object]:
    """The time for the next of the addresses that are left: an equal part of what is left, by the time of the event loop.

    The last has all of it, and whoever waits for the connection ends that.
    """
    if left == 1:
        return nullcontext()
    return asyncio.timeout((until - asyncio.get_running_loop().time()) / left)


async def _permitted_addresses(upstream: Upstream, lookups: Lookups) -> Sequence[Address] | Refusal:
    try:
        found = await lookups.addresses_of(upstream.origin.host)
    except TooManyLookupsError:
        return Refusal("overloaded", "The gateway waits for the addresses of too many names.", retry_after=1, error="dns_error")
    if not found:
        return Refusal("upstream_failed", f"The name of the upstream {upstream.name} cannot be resolved.", error="dns_error")
    permitted = [address for address in found if is_permitted(address, upstream.networks)]
    if not permitted:
        return Refusal(
            "upstream_failed",
            f"The upstream {upstream.name} resolves to no address in the networks that its configuration names.",
            error="destination_ip_prohibited",
        )
    return permitted
