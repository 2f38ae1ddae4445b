"""What agents do with the tokens and tasks they have: give back, ask about, complete, fail; issues nothing."""

from typing import final

from aiohttp import web

from gateway.authority.tenants import Tenants
from gateway.clock import Clock
from gateway.endpoints.answers import answer
from gateway.endpoints.callers import Callers
from gateway.endpoints.forms import read_form
from gateway.endpoints.task_document import task_document


@final
class OwnEndpoints:
    """`POST /revoke` (RFC 7009), `POST /introspect` (RFC 7662), `POST /tasks/{id}/heartbeat`, `/complete` and `/fail`."""

    def __init__(self, *, callers: Callers, tenants: Tenants, clock: Clock) -> None:
        """`callers` says who asks, `tenants` do what was asked, each for its own."""
        self._callers = callers
        self._tenants = tenants
        self._clock = clock

    async def revoke(self, request: web.Request) -> web.StreamResponse:
        """Revoke one token; a token that is unknown or over is no error (RFC 7009 §2.2)."""
        form = await read_form(request)
        token = form.need("token")
        client = await self._callers.client(request, form)
        await self._tenants.of(client.tenant).tasks.revoke_token(token, client.agent)
        return answer({})

    async def introspect(self, request: web.Request) -> web.StreamResponse:
        """Say what a token holds, to those whom it concerns; to others it is not active (RFC 7662 §2.2)."""
        form = await read_form(request)
        token = form.need("token")
        client = await self._callers.client(request, form)
        claims = await self._tenants.of(client.tenant).tasks.introspect(token, client.agent)
        if claims is None:
            return answer({"active": False})
        return answer({"active": True, "token_type": "DPoP" if "jkt" in claims.get("cnf", {}) else "Bearer", **claims})

    async def heartbeat(self, request: web.Request) -> web.StreamResponse:
        """The work on a task goes on; `silence` says within how many seconds the next heartbeat has to come."""
        name = request.match_info["task"]
        agent, tenant = await self._callers.of_task(request, name)
        tasks = self._tenants.of(tenant).tasks
        task = await tasks.heartbeat(name, agent)
        return answer({**task_document(task, self._clock), "silence": tasks.silence})

    async def complete(self, request: web.Request) -> web.StreamResponse:
        """End a task as completed."""
        name = request.match_info["task"]
        agent, tenant = await self._callers.of_task(request, name)
        return answer(task_document(await self._tenants.of(tenant).tasks.complete(name, agent), self._clock))

    async def fail(self, request: web.Request) -> web.StreamResponse:
        """End a task as failed."""
        name = request.match_info["task"]
        agent, tenant = await self._callers.of_task(request, name)
        return answer(task_document(await self._tenants.of(tenant).tasks.fail(name, agent), self._clock))
