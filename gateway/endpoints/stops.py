"""Over the admin socket: stops agents and tenants, lists what is stopped, restores it; knows no operator by name."""

import asyncio
from collections.abc import Callable
from datetime import datetime
from typing import Any, Final, final

import orjson
from aiohttp import web

from gateway.authority.stopping import CAUSES, STOPPABLE
from gateway.authority.tenants import Tenants
from gateway.clock import Clock
from gateway.endpoints.answers import AnswerError, answer
from gateway.endpoints.forms import invalid
from gateway.model import FOREVER, Revocation

MARK: Final = "{kind:agent|tenant}:{name:.+}"
"""How a stop is named in a path: its kind, a colon, and what is stopped."""
NAME: Final = 2048
"""The longest name of an agent, in characters (SPIFFE-ID §2.3)."""
_SECONDS: Final = 10.0


@final
class StopEndpoints:
    """`/revocations`, for operators."""

    def __init__(self, tenants: Tenants, operator: Callable[[web.Request], str], clock: Clock) -> None:
        """`operator` tells who asks, or raises `AnswerError`."""
        self._tenants = tenants
        self._operator = operator
        self._clock = clock

    async def post(self, request: web.Request) -> web.StreamResponse:
        """`POST /revocations` with `{kind, id, tenant, until, cause}`; without `until` it lasts until it is restored.

        Of several tenants that of an agent has to be named.
        """
        members = await _members(request)
        kind, name, cause = members.get("kind"), members.get("id"), members.get("cause", CAUSES[0])
        if set(members) - {"kind", "id", "tenant", "until", "cause"} or kind not in STOPPABLE:
            raise invalid(f"Send kind ({' or '.join(STOPPABLE)}) and id, and if need be tenant, until and cause.")
        if not isinstance(name, str) or not 0 < len(name) <= NAME or not name.isprintable():
            raise invalid("The id is that of the agent or the tenant.")
        if cause not in CAUSES:
            raise invalid(f"The cause is one of {', '.join(CAUSES)}.")
        tenant = members.get("tenant")
        if tenant is not None and not isinstance(tenant, str):
            raise invalid("The tenant is the name of one.")
        until, by = _time(members.get("until")), self._operator(request)
        revocation = await self._tenants.stop(kind, name, cause, until, tenant=tenant, by=by)
        return answer(self._document(revocation), 201)

    async def page(self, request: web.Request) -> web.StreamResponse:
        """`GET /revocations?after=`: what is stopped now, oldest first; `next` is the `after` of the following page."""
        after = request.query.get("after", "0")
        if set(request.query) - {"after"} or not after.isascii() or not after.isdigit() or len(after) > len(str(1 << 53)):
            raise invalid("The only parameter is after, the next of another page.")
        page = await self._tenants.any.stops.page(int(after))
        shown = [self._document(stop.revocation) for stop in page if self._tenants.shows(stop)]
        return answer({"revocations": shown, "next": page[-1].revocation.seq if page else None})

    async def delete(self, request: web.Request) -> web.StreamResponse:
        """`DELETE /revocations/{kind}:{id}`: from now on it is given access again; what had ended stays ended."""
        kind, name = request.match_info["kind"], request.match_info["name"]
        restoration = await self._tenants.restore(kind, name, by=self._operator(request))
        if restoration is None:
            raise AnswerError(404, "not_revoked", f"This {kind} is not revoked.")
        return answer({"kind": kind, "id": name, "restored": self._clock.stamp(restoration.time)})

    def _document(self, revocation: Revocation) -> dict[str, object]:
        return {
            "kind": revocation.kind,
            "id": revocation.id,
            "tenant": revocation.tenant,
            "cause": revocation.cause,
            "since": self._clock.stamp(revocation.time),
            "until": None if revocation.until >= FOREVER else self._clock.stamp(revocation.until),
        }


async def _members(request: web.Request) -> dict[str, Any]:
    if request.content_type != "application/json" or request.headers.get("Content-Encoding", "identity") != "identity":
        raise invalid("The body has to be application/json.")
    try:
        async with asyncio.timeout(_SECONDS):
            members = orjson.loads(await request.read())
    except TimeoutError:
        raise web.HTTPRequestTimeout from None
    except orjson.JSONDecodeError:
        members = None
    if not isinstance(members, dict):
        raise invalid("The body is no JSON object.")
    return members


def _time(value: object) -> float | None:
    if value is None:
        return None
    try:
        time = datetime.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        time = None
    if time is None or time.tzinfo is None:
        raise invalid("The time in until is written as in 2027-01-31T18:00:00Z.")
    return time.timestamp()
