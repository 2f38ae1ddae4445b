"""The authority's routes for agents (design §9); knows which endpoint answers where and nothing of how."""

from collections import Counter
from typing import Final

from aiohttp import web

from gateway.authority.authority import Authority
from gateway.clock import Clock
from gateway.endpoints.answers import answer_errors, counting
from gateway.endpoints.applicants import Applicants
from gateway.endpoints.callers import Callers
from gateway.endpoints.feed import FeedEndpoint
from gateway.endpoints.metadata import metadata, metadata_paths
from gateway.endpoints.own import OwnEndpoints
from gateway.endpoints.proofs import Proofs
from gateway.endpoints.sites import BODY
from gateway.endpoints.tasks import TaskEndpoint
from gateway.endpoints.token import TokenEndpoint
from gateway.endpoints.wanted import Resources, Targets
from gateway.identity.identify import Identities

TASK: Final = "{task:[0-9a-f]{32}}"
# Gateways elsewhere learn of a new key by the feed; what else reads the set looks again within a minute.
_PUBLIC_AGE: Final = "public, max-age=60"


def authority_application(
    authority: Authority,
    identities: Identities,
    *,
    audience: str,
    resources: Resources,
    proofs: Proofs,
    clock: Clock,
    feed: FeedEndpoint | None = None,
    counts: Counter[tuple[str, str]] | None = None,
) -> web.Application:
    """The application that agents talk to, and gateways elsewhere if there is a `feed` for them.

    `resources` gives the URLs of the gateway and of a tenant's upstreams on it, `proofs` says what callers hold; `counts`
    takes how often each endpoint has answered what.
    """
    tenants = authority.tenants
    callers = Callers(identities, tenants, proofs, authority.issuer)
    token = TokenEndpoint(
        applicants=Applicants(callers, tenants, proofs),
        tenants=tenants,
        targets=Targets(audience, resources),
        shortest_task=tenants.any.exchange.longest_token,
    )
    tasks = TaskEndpoint(callers=callers, tenants=tenants, clock=clock)
    own = OwnEndpoints(callers=callers, tenants=tenants, clock=clock)

    async def keys(_request: web.Request) -> web.StreamResponse:
        return web.json_response(
            authority.keys.jwks(), content_type="application/jwk-set+json", headers={"Cache-Control": _PUBLIC_AGE}
        )

    document = metadata(authority.issuer, binds_certificates=proofs.binds_certificates)

    async def described(_request: web.Request) -> web.StreamResponse:
        return web.json_response(document, headers={"Cache-Control": _PUBLIC_AGE})

    counted = counting(Counter() if counts is None else counts)
    application = web.Application(middlewares=[counted, answer_errors], client_max_size=BODY)
    application.add_routes(
        [
            web.post("/token", token.post),
            web.post("/revoke", own.revoke),
            web.post("/introspect", own.introspect),
            web.get("/jwks.json", keys),
            *(web.get(path, described) for path in metadata_paths(authority.issuer)),
            web.post("/tasks", tasks.post),
            web.post(f"/tasks/{TASK}/heartbeat", own.heartbeat),
            web.post(f"/tasks/{TASK}/complete", own.complete),
            web.post(f"/tasks/{TASK}/fail", own.fail),
        ]
    )
    if feed is not None:
        application.add_routes([web.get("/feed", feed.get), web.post("/gateway/events", feed.post)])
        application.on_shutdown.append(feed.close)
    return application
