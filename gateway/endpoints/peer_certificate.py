"""The client certificate of a request to the authority, as `callers.peer_of` is its process; knows not what it proves."""

from aiohttp import web

from gateway.http.tls_peer import PeerCertificate, peer_certificate
from gateway.http.tls_serving import ServingContext


def certificate_of(request: web.Request) -> PeerCertificate | None:
    """What the client has shown in the TLS handshake of this very connection; None if it showed none.

    It comes from our own TLS alone, never from a header (RFC 8705 §3). Only who holds its key can have shown it, and it
    verified against what the listener trusts (`authority.tls.client_ca`); that it is of a certain agent, it does not say yet.
    """
    return peer_certificate(request.transport)


def own_authorities_of(request: web.Request) -> tuple[bytes, ...] | None:
    """The certificates of the listener's own `client_ca` (DER), where others than those may stand above a client's too.

    None where they alone do, so that the handshake has verified against them already.
    """
    context = None if request.transport is None else request.transport.get_extra_info("sslcontext")
    return context.own_authorities if isinstance(context, ServingContext) else None
