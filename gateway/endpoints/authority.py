"""The authority's routes for agents (design §9); knows which endpoint answers where and nothing of how."""

from typing import Final

from aiohttp import web

from gateway.authority.authority import Authority
from gateway.clock import Clock
from gateway.endpoints.answers import answer_errors
from gateway.endpoints.callers import Callers
from gateway.endpoints.own import OwnEndpoints
from gateway.endpoints.sites import BODY
from gateway.endpoints.token import TokenEndpoint
from gateway.identity.identify import Identities

TASK: Final = "{task:[0-9a-f]{32}}"
# Gateways elsewhere learn of a new key by the feed; what else reads the set looks again within a minute.
_KEYS_AGE: Final = "public, max-age=60"


def authority_application(
    authority: Authority, identities: Identities, *, audience: str, resources: frozenset[str], clock: Clock
) -> web.Application:
    """The application that agents talk to. `resources` are the URLs of the gateway and of its upstreams on it."""
    token = TokenEndpoint(identities=identities, exchange=authority.exchange, audience=audience, resources=resources)
    own = OwnEndpoints(callers=Callers(identities, authority.tasks), tasks=authority.tasks, clock=clock)
    jwks = authority.key.jwks()

    async def keys(_request: web.Request) -> web.StreamResponse:
        return web.json_response(jwks, content_type="application/jwk-set+json", headers={"Cache-Control": _KEYS_AGE})

    application = web.Application(middlewares=[answer_errors], client_max_size=BODY)
    application.add_routes(
        [
            web.post("/token", token.post),
            web.post("/revoke", own.revoke),
            web.post("/introspect", own.introspect),
            web.get("/jwks.json", keys),
            web.post(f"/tasks/{TASK}/complete", own.complete),
            web.post(f"/tasks/{TASK}/fail", own.fail),
        ]
    )
    return application
