"""`POST /token`: an identity in, a task token out (RFC 8693, RFC 6749 §4.4); decides nothing about who may have one."""

from typing import Final, final

from aiohttp import web

from gateway.authority.exchange import Issued
from gateway.authority.grounds import Bounds
from gateway.authority.refused import INVALID_DETAILS
from gateway.authority.tenants import Tenants
from gateway.authority.tokens import details_of
from gateway.endpoints.answers import AnswerError, answer
from gateway.endpoints.applicants import ACCESS_TOKEN_TYPE, Applicant, Applicants
from gateway.endpoints.details import Details, read_details
from gateway.endpoints.forms import Form, invalid, read_form
from gateway.endpoints.wanted import TARGETS, Targets, bounds_of, intents_in, task_in
from gateway.model import Binding

EXCHANGE: Final = "urn:ietf:params:oauth:grant-type:token-exchange"
CLIENT_CREDENTIALS: Final = "client_credentials"
GRANT_TYPES: Final = (EXCHANGE, CLIENT_CREDENTIALS)


@final
class TokenEndpoint:
    """The token endpoint. Who asks is authenticated, whatever else is shown."""

    def __init__(self, *, applicants: Applicants, tenants: Tenants, targets: Targets, shortest_task: float) -> None:
        """`shortest_task` is how many seconds a task lives that nobody means to renew."""
        self._applicants = applicants
        self._tenants = tenants
        self._targets = targets
        self._shortest_task = shortest_task

    async def post(self, request: web.Request) -> web.StreamResponse:
        """Answer one exchange. Raises what `answer_errors` turns into an answer."""
        form = await read_form(request, repeatable=TARGETS)
        grant_type = form.need("grant_type")
        if grant_type not in GRANT_TYPES:
            raise AnswerError(400, "unsupported_grant_type", f"The grant_type has to be {EXCHANGE}, or {CLIENT_CREDENTIALS}.")
        _check_unused(request, form)
        self._targets.check(form)
        intents, task = intents_in(form), task_in(form)
        details = read_details(form.get("authorization_details"), intents)
        if task is not None and details.of_a_task:
            raise AnswerError(400, INVALID_DETAILS, "A task keeps the params, limits and duration that it was opened with.")
        if grant_type == EXCHANGE:
            applicant = await self._applicants.exchanging(request, form)
            issued = await self._given(
                applicant, task, intents, details, bounds_of(details, self._targets.named_in(form, applicant.agent.tenant))
            )
            return answer({**_members(issued, applicant, details), "issued_token_type": ACCESS_TOKEN_TYPE})
        applicant = await self._applicants.client(request, form)
        # Such a client asks anew when its token is over, and not for the same task.
        if task is None and details.duration is None:
            details = Details(details.params, details.limits, self._shortest_task, details.may_act)
        issued = await self._given(
            applicant, task, intents, details, bounds_of(details, self._targets.named_in(form, applicant.agent.tenant))
        )
        return answer(_members(issued, applicant, details))

    async def _given(
        self, applicant: Applicant, task: str | None, intents: tuple[str, ...], details: Details, bounds: Bounds
    ) -> Issued:
        agent, grounds = applicant
        exchange = self._tenants.of(agent.tenant).exchange
        if task is not None:
            return await exchange.renew(agent, task, intents, grounds=grounds, bounds=bounds)
        return await exchange.open_task(agent, intents, details.params, grounds=grounds, bounds=bounds)


def token_type(binding: Binding | None) -> str:
    """How the token is presented (RFC 9449 §5, RFC 8705 §3)."""
    return "Bearer" if binding is None or binding.jkt is None else "DPoP"


def _members(issued: Issued, applicant: Applicant, details: Details) -> dict[str, object]:
    """RFC 6749 §5.1, with the scope always said, what was granted (RFC 9396 §7) and the task.

    A token for a child task gives no access by itself, which is N_A (RFC 8693 §2.2.1).
    """
    return {
        "access_token": issued.token,
        "token_type": token_type(applicant.grounds.binding) if details.may_act is None else "N_A",
        "expires_in": issued.lifetime,
        "scope": " ".join(issued.intents),
        "authorization_details": [details_of(issued.row, issued.intents)],
        "task": issued.task,
    }


def _check_unused(request: web.Request, form: Form) -> None:
    """What would change the meaning of the request must not be passed over in silence."""
    if "Authorization" in request.headers or form.get("client_secret"):
        raise AnswerError(
            401,
            "invalid_client",
            "An agent shows its identity in subject_token, actor_token or client_assertion; send no other authentication.",
            {"WWW-Authenticate": "Bearer"} if "Authorization" in request.headers else None,
        )
    if form.get("requested_token_type") not in (None, ACCESS_TOKEN_TYPE):
        raise invalid(f"The only requested_token_type is {ACCESS_TOKEN_TYPE}.")
