"""What agents do with the tokens and tasks they have: give back, ask about, complete, fail; issues nothing."""

from typing import final

from aiohttp import web

from gateway.authority.tasks import Tasks
from gateway.clock import Clock
from gateway.endpoints.answers import answer
from gateway.endpoints.callers import Callers
from gateway.endpoints.forms import read_form
from gateway.endpoints.task_document import task_document


@final
class OwnEndpoints:
    """`POST /revoke` (RFC 7009), `POST /introspect` (RFC 7662), `POST /tasks/{id}/heartbeat`, `/complete` and `/fail`."""

    def __init__(self, *, callers: Callers, tasks: Tasks, clock: Clock) -> None:
        """`callers` says who asks, `tasks` does what was asked."""
        self._callers = callers
        self._tasks = tasks
        self._clock = clock

    async def revoke(self, request: web.Request) -> web.StreamResponse:
        """Revoke one token; a token that is unknown or over is no error (RFC 7009 §2.2)."""
        form = await read_form(request)
        token = form.need("token")
        await self._tasks.revoke_token(token, (await self._callers.client(request, form)).agent)
        return answer({})

    async def introspect(self, request: web.Request) -> web.StreamResponse:
        """Say what a token holds, to those whom it concerns; to others it is not active (RFC 7662 §2.2)."""
        form = await read_form(request)
        token = form.need("token")
        claims = await self._tasks.introspect(token, (await self._callers.client(request, form)).agent)
        if claims is None:
            return answer({"active": False})
        return answer({"active": True, "token_type": "DPoP" if "jkt" in claims.get("cnf", {}) else "Bearer", **claims})

    async def heartbeat(self, request: web.Request) -> web.StreamResponse:
        """The work on a task goes on; `silence` says within how many seconds the next heartbeat has to come."""
        name = request.match_info["task"]
        agent = await self._callers.of_task(request, name)
        task = await self._tasks.heartbeat(name, agent)
        return answer({**task_document(task, self._clock), "silence": self._tasks.silence})

    async def complete(self, request: web.Request) -> web.StreamResponse:
        """End a task as completed."""
        name = request.match_info["task"]
        agent = await self._callers.of_task(request, name)
        return answer(task_document(await self._tasks.complete(name, agent), self._clock))

    async def fail(self, request: web.Request) -> web.StreamResponse:
        """End a task as failed."""
        name = request.match_info["task"]
        agent = await self._callers.of_task(request, name)
        return answer(task_document(await self._tasks.fail(name, agent), self._clock))
