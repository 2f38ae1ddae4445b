"""What the gateway says of its upstreams to those who want to know where to get tokens (RFC 9728); answers nobody itself."""

from collections.abc import Mapping
from typing import Any

import orjson

from gateway.http.challenges import PROOF_ALGORITHMS, WELL_KNOWN
from gateway.model import Upstream
from gateway.settings.document import Document


def resource_documents(document: Document, upstreams: Mapping[str, Upstream], *, told: bool = True) -> dict[str, bytes]:
    """The protected-resource metadata of every upstream, by the path at which they are asked for (RFC 9728 §3.1).

    Anybody may ask; only where intents may be `told` to anybody they say which there are.
    """
    return {
        WELL_KNOWN + upstream.prefix: orjson.dumps(_metadata(document, name, upstream, told=told))
        for name, upstream in upstreams.items()
    }


def _metadata(document: Document, name: str, upstream: Upstream, *, told: bool) -> dict[str, Any]:
    """RFC 9728 §2. A member that would say nothing is left out (§3.2)."""
    gateway = document.gateway
    further = [rule.issuer for rule in document.issuers.values() if document.tenant in rule.tenants]
    certificates = gateway.tls is not None and gateway.tls.client_ca is not None
    members = {
        "resource": upstream.resource,
        "authorization_servers": [document.authority.issuer, *further],
        "scopes_supported": [intent for intent, rule in document.intents.items() if told and rule.upstream == name],
        "bearer_methods_supported": ["header"],
        "resource_name": name,
        "authorization_details_types_supported": ["agent_task"],
        "dpop_signing_alg_values_supported": PROOF_ALGORITHMS.split(" "),
        "tls_client_certificate_bound_access_tokens": certificates,
        "dpop_bound_access_tokens_required": gateway.proof == "required" and not certificates,
    }
    return {member: value for member, value in members.items() if value}
