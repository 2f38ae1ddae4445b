"""What this authority can do, for clients that look before they ask (RFC 8414); knows no client and no key."""

from collections.abc import Mapping, Sequence
from typing import Final
from urllib.parse import urlsplit

from gateway.endpoints.details import TYPE
from gateway.endpoints.token import GRANT_TYPES
from gateway.identity.dpop import ALGORITHMS as PROOFS
from gateway.identity.jose import ALGORITHMS as ASSERTIONS

WELL_KNOWN: Final = "/.well-known/oauth-authorization-server"

# RFC 7523 §2.2 and draft-ietf-oauth-spiffe-client-auth §3: a JWT of the client's own issuer, never a shared secret.
_METHODS: Final = ("private_key_jwt", "spiffe_jwt")


def metadata(issuer: str, *, binds_certificates: bool) -> Mapping[str, object]:
    """RFC 8414 §2, RFC 9449 §5.1, RFC 9396 §10 and, where tokens are bound to certificates, RFC 8705 §3.3."""
    authenticated: dict[str, object] = {}
    for endpoint in ("token", "introspection", "revocation"):
        authenticated[f"{endpoint}_endpoint_auth_methods_supported"] = _METHODS
        authenticated[f"{endpoint}_endpoint_auth_signing_alg_values_supported"] = tuple(ASSERTIONS)
    return {
        "issuer": issuer,
        "token_endpoint": f"{issuer}/token",
        "introspection_endpoint": f"{issuer}/introspect",
        "revocation_endpoint": f"{issuer}/revoke",
        "jwks_uri": f"{issuer}/jwks.json",
        "response_types_supported": (),  # required, and there is no authorization endpoint to respond
        "grant_types_supported": GRANT_TYPES,
        "authorization_details_types_supported": (TYPE,),
        "dpop_signing_alg_values_supported": PROOFS,
        "tls_client_certificate_bound_access_tokens": binds_certificates,
        **authenticated,
    }


def metadata_paths(issuer: str) -> Sequence[str]:
    """Where it is looked for: the well-known name goes between host and path of the issuer (RFC 8414 §3.1).

    A proxy in front may have taken the path away.
    """
    path = urlsplit(issuer).path
    return (WELL_KNOWN, WELL_KNOWN + path) if path else (WELL_KNOWN,)
