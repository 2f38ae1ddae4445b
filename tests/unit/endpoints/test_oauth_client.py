"""The exchange driven by Authlib, an OAuth client that knows nothing of Doorward: what it needs is what the RFCs say."""

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from authlib.integrations.base_client.errors import OAuthError
from authlib.integrations.httpx_client import AsyncOAuth2Client
from authlib.oauth2.rfc8414 import AuthorizationServerMetadata, get_well_known_url
from authlib.oauth2.rfc9068.claims import JWTAccessTokenClaims
from fakes.authority import NOW
from fakes.chartered import ACCESS_TOKEN, ANN, ASSERTION, EXCHANGE, HELPER, ORCHESTRATOR, RECONCILER, WORKER, Chartered, element
from joserfc import jwt
from joserfc.jwk import KeySet

from gateway.endpoints.metadata import metadata
from gateway.identity.provider import JWT_TYPE

IDENTITY = "identity"
BROWSERS = ("authorization_endpoint", "response_types_supported")


class Client(AsyncOAuth2Client):
    """Authlib's client with an identity as its client assertion, as RFC 7523 §2.2 lets it be plugged in."""

    def __init__(self, agents: Chartered, name: str, **options: Any) -> None:
        super().__init__(token_endpoint_auth_method=IDENTITY, revocation_endpoint_auth_method=IDENTITY, **options)
        self.register_client_auth_method((IDENTITY, self._assert))
        self.base = f"http://127.0.0.1:{agents.world.port}"
        self._agents, self._name = agents, name

    def _assert(self, _client: Any, _method: str, uri: str, headers: dict, body: bytes) -> tuple[str, dict, str]:
        assertion = f"client_assertion_type={ASSERTION}&client_assertion={self._agents.identity(self._name)}"
        return uri, headers, f"{body.decode()}&{assertion}"

    async def exchange(self, token: str, kind: str = JWT_TYPE, **more: str) -> Any:
        return await self.fetch_token(
            f"{self.base}/token", grant_type=EXCHANGE, subject_token=token, subject_token_type=kind, **more
        )


@pytest.fixture
async def client(chartered: Chartered) -> AsyncIterator[Any]:
    """Makes clients for agents, closed after the test."""
    made: list[Client] = []

    def make(name: str) -> Client:
        made.append(Client(chartered, name))
        return made[-1]

    yield make
    for each in made:
        await each.aclose()


async def test_client_credentials(chartered: Chartered, client: Any):
    """The token is one of RFC 9068, verified by the published keys, and the client shows it as Bearer by itself."""
    agent = client("reconciler")
    token = await agent.fetch_token(f"{agent.base}/token", grant_type="client_credentials", scope="invoices.read status.read")
    assert (token["scope"], token["token_type"]) == ("invoices.read status.read", "Bearer")
    keys = KeySet.import_key_set((await chartered.world.ask("GET", "/jwks.json")).json())
    read = jwt.decode(token["access_token"].removeprefix("dwt_"), keys, algorithms=["ES256"])
    must = {name: {"essential": True} for name in ("exp", "sub", "client_id", "iat", "jti")}
    ours = {
        "iss": {"essential": True, "value": chartered.world.authority.issuer},
        "aud": {"essential": True, "value": "doorward"},
    }
    claims = JWTAccessTokenClaims(read.claims, read.header, options={**must, **ours})
    claims.validate(now=int(NOW), leeway=0)
    done = await agent.post(f"{agent.base}/tasks/{token['task']}/complete")
    assert done.json()["state"] == "completed"


async def test_the_exchange_of_an_identity(chartered: Chartered, client: Any):
    """Token exchange of RFC 8693 §2: what a client library makes of the answer has every member of it."""
    agent = client("reconciler")
    token = await agent.exchange(
        chartered.identity("reconciler"), scope="invoices.read", resource="http://gateway.example/billing"
    )
    assert (token["issued_token_type"], token["scope"], token["expires_in"]) == (ACCESS_TOKEN, "invoices.read", 300)
    assert token["authorization_details"] == [{"type": "agent_task", "intents": ["invoices.read"]}]
    again = await agent.exchange(chartered.identity("reconciler"), task=token["task"])
    assert again["access_token"] != token["access_token"]


async def test_a_started_task_and_its_child(chartered: Chartered, client: Any):
    """A starter opens, the worker joins and hands a part to the helper, each with its own client."""
    starter, worker, helper = client("orchestrator"), client("worker"), client("helper")
    form = {"agent": WORKER, "scope": "invoices.read", "authorization_details": element(params={"customer": "42"})}
    started = await starter.request(
        "POST", f"{starter.base}/tasks", data={**form, **chartered.client("orchestrator")}, withhold_token=True
    )
    joined = await worker.exchange(chartered.identity("worker"), task=started.json()["task"])
    handed = await worker.exchange(
        chartered.identity("worker"), task=joined["task"], authorization_details=element(may_act=HELPER)
    )
    assert handed["token_type"] == "N_A"
    child = await helper.exchange(handed["access_token"], ACCESS_TOKEN)
    claims = jwt.decode(
        child["access_token"].removeprefix("dwt_"), KeySet.import_key_set(chartered.world.authority.keys.jwks())
    ).claims
    assert (claims["sub"], claims["act"]) == (ORCHESTRATOR, {"sub": HELPER, "act": {"sub": WORKER}})


async def test_delegation(chartered: Chartered, client: Any):
    """Subject token and actor token together (RFC 8693 §1.1)."""
    agent = client("worker")
    actor = {"actor_token": chartered.identity("worker"), "actor_token_type": JWT_TYPE}
    token = await agent.exchange(chartered.identity("ann"), scope="mail.read", **actor)
    seen = await agent.introspect_token(f"{agent.base}/introspect", token=token["access_token"])
    assert (seen.json()["sub"], seen.json()["act"]) == (ANN, {"sub": WORKER})


async def test_introspection_and_revocation(client: Any):
    """RFC 7662 and RFC 7009 as the library speaks them; what is revoked is inactive and says nothing else."""
    agent, stranger = client("reconciler"), client("helper")
    token = await agent.fetch_token(f"{agent.base}/token", grant_type="client_credentials", scope="status.read")
    seen = (await agent.introspect_token(f"{agent.base}/introspect", token=token["access_token"])).json()
    assert (seen["active"], seen["client_id"], seen["scope"]) == (True, RECONCILER, "status.read")
    other = await stranger.introspect_token(f"{agent.base}/introspect", token=token["access_token"])
    assert other.json() == {"active": False}
    refused = await stranger.revoke_token(f"{agent.base}/revoke", token["access_token"], "access_token")
    assert (refused.status_code, refused.json()["error"]) == (400, "unauthorized_client")
    for hint in ("access_token", "refresh_token"):
        assert (await agent.revoke_token(f"{agent.base}/revoke", token["access_token"], hint)).status_code == 200
    assert (await agent.introspect_token(f"{agent.base}/introspect", token=token["access_token"])).json() == {"active": False}


async def test_errors_are_those_of_oauth(client: Any):
    """The library raises what it knows, with the code of RFC 6749 §5.2."""
    agent = client("reconciler")
    with pytest.raises(OAuthError) as refused:
        await agent.fetch_token(f"{agent.base}/token", grant_type="client_credentials", scope="mail.read")
    assert refused.value.error == "invalid_scope"
    assert "mail.read" in refused.value.description


def test_the_metadata_is_what_the_library_accepts():
    """RFC 8414: every member has its form, and it is found where the library looks."""
    issuer = "https://authority.example/doorward"
    document = AuthorityMetadata(json.loads(json.dumps(metadata(issuer, binds_certificates=True))))
    document.validate()
    assert get_well_known_url(issuer) == "/.well-known/oauth-authorization-server/doorward"


class AuthorityMetadata(AuthorizationServerMetadata):
    """The library's own checks, without those of an endpoint for browsers, which an authority for agents has not got.

    RFC 8414 §2 wants the response types all the same, and the library takes an empty list for none.
    """

    REGISTRY_KEYS = tuple(key for key in AuthorizationServerMetadata.REGISTRY_KEYS if key not in BROWSERS)
