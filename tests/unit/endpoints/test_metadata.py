"""What the authority says of itself (RFC 8414): where it is found, and that what it names is there."""

import pytest

from gateway.endpoints.metadata import metadata, metadata_paths


async def test_the_metadata_is_of_this_issuer(world):
    """Every endpoint is below the issuer and answers; nothing is supported that is not there."""
    answer = await world.ask("GET", "/.well-known/oauth-authorization-server")
    document = answer.json()
    issuer = world.authority.issuer
    assert answer.headers["Content-Type"].startswith("application/json")
    assert document["issuer"] == issuer
    for name in ("token", "introspection", "revocation"):
        path = document[f"{name}_endpoint"].removeprefix(issuer)
        assert (await world.ask("GET", path)).status == 405
        assert document[f"{name}_endpoint_auth_methods_supported"] == ["private_key_jwt", "spiffe_jwt"]
        assert "none" not in document[f"{name}_endpoint_auth_signing_alg_values_supported"]
    keys = await world.ask("GET", document["jwks_uri"].removeprefix(issuer))
    assert keys.json() == world.authority.keys.jwks()
    assert document["grant_types_supported"] == ["urn:ietf:params:oauth:grant-type:token-exchange", "client_credentials"]
    assert (document["response_types_supported"], document["authorization_details_types_supported"]) == ([], ["agent_task"])
    assert "ES256" in document["dpop_signing_alg_values_supported"]
    assert document["tls_client_certificate_bound_access_tokens"] is False


@pytest.mark.parametrize(
    ("issuer", "paths"),
    [
        ("https://a.example", ("/.well-known/oauth-authorization-server",)),
        (
            "https://a.example/doorward",
            ("/.well-known/oauth-authorization-server", "/.well-known/oauth-authorization-server/doorward"),
        ),
    ],
)
def test_the_path_of_an_issuer_comes_after_the_well_known_name(issuer: str, paths: tuple[str, ...]):
    """RFC 8414 §3.1; the issuer itself is named byte for byte (§3.3)."""
    assert metadata_paths(issuer) == paths
    assert metadata(issuer, binds_certificates=True)["issuer"] == issuer
