"""The certificate that the other end of a TLS connection has shown; knows neither whose it is nor what it is good for."""

import asyncio
from typing import Any, Final, NamedTuple

DEEPEST: Final = 8
"""How many certificates of what a client has sent are handed on; no honest chain is as long."""
_DER: Final = 2


class PeerCertificate(NamedTuple):
    """A certificate and what was sent beside it to verify it with, all as DER.

    The handshake has proved that the peer holds the key, and has verified the certificate against what the listener trusts.
    """

    leaf: bytes
    intermediates: tuple[bytes, ...]


def peer_certificate(transport: asyncio.BaseTransport | None) -> PeerCertificate | None:
    """What the peer has shown in the handshake of this very connection; None without TLS, and if it showed none."""
    tls = None if transport is None else transport.get_extra_info("ssl_object")
    leaf = None if tls is None else tls.getpeercert(binary_form=True)
    if leaf is None:
        return None
    return PeerCertificate(leaf, tuple(each for each in _sent(tls)[:DEEPEST] if each != leaf))


def _sent(tls: Any) -> list[bytes]:
    """Everything that the peer has sent, as it came."""
    if hasattr(tls, "get_unverified_chain"):  # Python 3.13
        return list(tls.get_unverified_chain())
    chain = tls._sslobj.get_unverified_chain()  # noqa: SLF001 the same function, before it had a public name
    return [each.public_bytes(_DER) for each in chain]
