"""`POST /tasks`: a starter opens a task for an agent, which then joins it by its id; gives no token and decides nothing."""

from typing import Final, final

from aiohttp import web

from gateway.authority.refused import INVALID_DETAILS
from gateway.authority.tenants import Tenants
from gateway.clock import Clock
from gateway.endpoints.answers import AnswerError, answer
from gateway.endpoints.callers import Callers
from gateway.endpoints.details import read_details
from gateway.endpoints.forms import invalid, read_form
from gateway.endpoints.task_document import task_document
from gateway.endpoints.wanted import bounds_of, intents_in
from gateway.spiffe import spiffe_id

_CREATED: Final = 201


@final
class TaskEndpoint:
    """Where starters open tasks. Policy says for whom, and with which params."""

    def __init__(self, *, callers: Callers, tenants: Tenants, clock: Clock) -> None:
        """`callers` authenticate starters as they do all clients."""
        self._callers = callers
        self._tenants = tenants
        self._clock = clock

    async def post(self, request: web.Request) -> web.StreamResponse:
        """Open one task for the agent that the parameter `agent` names. Raises what `answer_errors` turns into an answer."""
        form = await read_form(request)
        try:
            agent = spiffe_id(form.need("agent"))
        except ValueError:
            raise invalid("The parameter agent is the SPIFFE ID of the agent that the task is for.") from None
        intents = intents_in(form)
        details = read_details(form.get("authorization_details"), intents)
        if details.may_act is not None:
            raise AnswerError(
                400, INVALID_DETAILS, "A may_act belongs to a token; the agent asks for it when it joins the task."
            )
        starter = await self._callers.client(request, form)
        task = await self._tenants.of(starter.tenant).exchange.open_for(
            starter, agent, intents, details.params, bounds_of(details)
        )
        return answer(task_document(task, self._clock), _CREATED, {"Location": f"/tasks/{task.id}"})
