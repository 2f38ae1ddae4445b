"""What operators see and do over the admin socket; knows them by their user, and nothing of agents' identities."""

import re
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Final, final

from aiohttp import web
from aiohttp.typedefs import Handler

from gateway.authority.rotation import SigningKeys
from gateway.authority.tenants import Tenants
from gateway.clock import Clock
from gateway.endpoints.answers import AnswerError, answer, answer_errors
from gateway.endpoints.authority import TASK
from gateway.endpoints.callers import peer_of
from gateway.endpoints.forms import invalid
from gateway.endpoints.health import Health, HealthEndpoints
from gateway.endpoints.keys import KeyEndpoints
from gateway.endpoints.sites import BODY
from gateway.endpoints.stops import MARK, StopEndpoints
from gateway.endpoints.task_document import task_document
from gateway.errors import DoorwardError
from gateway.identity.local_users import user_id
from gateway.stores.store import PAGE, STATES, TaskFilter, TaskRow

_PAGE: Final = 100
_CURSOR = re.compile(r"([0-9]{1,12}(?:\.[0-9]{1,9})?)-([0-9a-f]{32})").fullmatch
_LIMIT = re.compile(r"[1-9][0-9]{0,3}").fullmatch
_PUBLIC: Final = frozenset(("/healthz", "/readyz"))

Reload = Callable[[str, bool], Awaitable[Mapping[str, object]]]
"""Reads the configuration again for an operator, who may have confirmed that many tasks end. Raises `DoorwardError`."""


def operators_of(names: Iterable[str]) -> Mapping[int, str]:
    """The operators by their user ids. Raises `DoorwardError` for a user that this host does not know."""
    operators: dict[int, str] = {}
    for name in names:
        try:
            operators[user_id(name)] = name
        except ValueError as error:
            raise DoorwardError(f"admin.operators: {error}") from None
    return operators


def admin_application(
    tenants: Tenants,
    keys: SigningKeys,
    *,
    operators: Mapping[int, str],
    health: Health,
    reload: Reload,
    clock: Clock,
) -> web.Application:
    """The application behind the admin socket. `operators` maps user ids to user names."""
    endpoints = AdminEndpoints(tenants, operators=operators, reload=reload, clock=clock)
    stopping = StopEndpoints(tenants, endpoints.operator, clock)
    signing = KeyEndpoints(keys)

    @web.middleware
    async def only_operators(request: web.Request, handler: Handler) -> web.StreamResponse:
        return await endpoints.only_operators(request, handler)

    application = web.Application(middlewares=[answer_errors, only_operators], client_max_size=BODY)
    application.add_routes(
        [
            web.get("/tasks", endpoints.page),
            web.get(f"/tasks/{TASK}", endpoints.show),
            web.post(f"/tasks/{TASK}/revoke", endpoints.revoke),
            web.post("/reload", endpoints.reload),
            web.get("/keys", signing.page),
            web.post("/keys/rotate", signing.rotate),
            web.get("/revocations", stopping.page),
            web.post("/revocations", stopping.post),
            web.delete(f"/revocations/{MARK}", stopping.delete),
            *HealthEndpoints(health, clock).routes(),
        ]
    )
    return application


@final
class AdminEndpoints:
    """Lists, shows and revokes tasks."""

    def __init__(
        self,
        tenants: Tenants,
        *,
        operators: Mapping[int, str],
        reload: Reload,
        clock: Clock,
    ) -> None:
        """See `admin_application`."""
        self._tenants = tenants
        self._operators = operators
        self._reload = reload
        self._clock = clock

    async def page(self, request: web.Request) -> web.StreamResponse:
        """`GET /tasks?state=&agent=&tenant=&limit=&before=`: newest first; `next` is the `before` of the following page."""
        which = _filter(request)
        tasks = await self._tenants.page(which)
        following = _cursor(tasks[-1]) if len(tasks) == which.limit else None
        return answer({"tasks": [task_document(task, self._clock) for task in tasks], "next": following})

    async def show(self, request: web.Request) -> web.StreamResponse:
        """`GET /tasks/{id}`."""
        return answer(task_document(await self._tenants.show(request.match_info["task"]), self._clock))

    async def revoke(self, request: web.Request) -> web.StreamResponse:
        """`POST /tasks/{id}/revoke`: end a task now; one that has ended stays as it is."""
        task = await self._tenants.revoke(request.match_info["task"], self.operator(request))
        return answer(task_document(task, self._clock))

    async def reload(self, request: web.Request) -> web.StreamResponse:
        """`POST /reload?confirm=true`: read the configuration again; 409 with its flaws if it is refused."""
        if request.query_string not in ("", "confirm=true"):
            raise invalid("The only parameter is confirm=true.")
        try:
            done = await self._reload(self.operator(request), request.query_string != "")
        except DoorwardError as error:
            raise AnswerError(409, "configuration_refused", str(error)) from None
        return answer(done)

    async def only_operators(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Pass on what comes from an operator, or asks only how this program is."""
        if request.path not in _PUBLIC:
            self.operator(request)
        return await handler(request)

    def operator(self, request: web.Request) -> str:
        """The operator who asks. Raises `AnswerError`."""
        peer = peer_of(request)
        operator = None if peer is None else self._operators.get(peer.uid)
        if operator is None:
            raise AnswerError(403, "not_an_operator", "Your user is no operator; operators stand in admin.operators.")
        return operator


def _filter(request: web.Request) -> TaskFilter:
    query = request.query
    if set(query) - {"state", "agent", "tenant", "limit", "before"} or len(set(query)) != len(query):
        raise invalid("The parameters are state, agent, tenant, limit and before, each at most once.")
    state, limit = query.get("state"), query.get("limit", str(_PAGE))
    if state is not None and state not in STATES:
        raise invalid(f"The state is one of {', '.join(STATES)}.")
    if _LIMIT(limit) is None or int(limit) > PAGE:
        raise invalid(f"The limit is a number from 1 to {PAGE}.")
    before = query.get("before")
    cursor = _CURSOR(before) if before is not None else None
    if before is not None and cursor is None:
        raise invalid("The value of before is the next of another page.")
    return TaskFilter(
        state=state,
        agent=query.get("agent"),
        tenant=query.get("tenant"),
        limit=int(limit),
        before=None if cursor is None else (float(cursor[1]), cursor[2]),
    )


def _cursor(last: TaskRow) -> str:
    return f"{last.opened!r}-{last.id}"
