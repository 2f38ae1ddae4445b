"""`POST /token`: an identity in, a task token out (RFC 8693); decides nothing about who may have one."""

import re
from typing import Final, final

from aiohttp import web

from gateway.authority.exchange import Exchange
from gateway.authority.refused import INVALID_SCOPE, INVALID_TARGET, UNAUTHORIZED_CLIENT
from gateway.endpoints.answers import AnswerError, answer
from gateway.endpoints.callers import peer_of
from gateway.endpoints.forms import Form, invalid, read_form
from gateway.identity.identify import Identities
from gateway.identity.provider import UNIX_PEER_TYPE, Identity, IdentityRefusedError, Presented

GRANT_TYPE: Final = "urn:ietf:params:oauth:grant-type:token-exchange"
ACCESS_TOKEN_TYPE: Final = "urn:ietf:params:oauth:token-type:access_token"  # noqa: S105 a name of a type (RFC 8693 §3), no secret

_TARGETS: Final = frozenset(("resource", "audience"))
_INTENT = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}").fullmatch
_TASK = re.compile(r"[0-9a-f]{32}").fullmatch


@final
class TokenEndpoint:
    """The token endpoint. The workload identity in `subject_token` is also the client: nobody else may present it."""

    def __init__(self, *, identities: Identities, exchange: Exchange, audience: str, resources: frozenset[str]) -> None:
        """`audience` and `resources` are the names and addresses under which a token may be asked for."""
        self._identities = identities
        self._exchange = exchange
        self._audience = audience
        self._resources = frozenset(resource.rstrip("/") for resource in resources)

    async def post(self, request: web.Request) -> web.StreamResponse:
        """Answer one exchange. Raises what `answer_errors` turns into an answer."""
        form = await read_form(request, repeatable=_TARGETS)
        grant_type = form.need("grant_type")
        if grant_type != GRANT_TYPE:
            raise AnswerError(400, "unsupported_grant_type", f"The grant_type has to be {GRANT_TYPE}.")
        _check_unused(request, form)
        self._check_target(form)
        intents = _intents(form)
        task = form.get("task")
        identity = await self._identify(request, form)
        if form.get("client_id") not in (None, identity.agent):
            raise AnswerError(401, "invalid_client", "The client_id is not the one of this identity.")
        if task is None:
            issued = await self._exchange.open_task(identity, intents)
        else:
            if _TASK(task) is None:
                raise invalid("A task is named by 32 hexadecimal digits.")
            issued = await self._exchange.renew(identity, task, intents)
        return answer(
            {
                "access_token": issued.token,
                "issued_token_type": ACCESS_TOKEN_TYPE,
                "token_type": "Bearer",
                "expires_in": issued.lifetime,
                "scope": " ".join(issued.intents),
                "task": issued.task,
            }
        )

    async def _identify(self, request: web.Request, form: Form) -> Identity:
        token, kind = form.need("subject_token"), form.need("subject_token_type")
        peer = peer_of(request) if kind == UNIX_PEER_TYPE else None
        try:
            return await self._identities.identify(Presented(token, kind, peer))
        except IdentityRefusedError as error:
            # RFC 8693 §2.2.2 wants invalid_request for a bad token; a process that the kernel vouches for has none.
            if peer is not None:
                raise AnswerError(400, UNAUTHORIZED_CLIENT, f"This process gets no token: {error.sentence}.") from None
            raise invalid(f"The subject_token is not accepted: {error.sentence}.") from None

    def _check_target(self, form: Form) -> None:
        """RFC 8693 §2.1.1: one token is for one gateway, so it has one target at most."""
        if form.repeated & _TARGETS:
            raise AnswerError(400, INVALID_TARGET, "Ask for one target at a time.")
        audience, resource = form.get("audience"), form.get("resource")
        if audience is not None and resource is not None:
            raise AnswerError(400, INVALID_TARGET, "Ask for one target at a time: audience or resource.")
        if audience not in (None, self._audience) or (resource is not None and resource.rstrip("/") not in self._resources):
            raise AnswerError(
                400, INVALID_TARGET, f"This authority issues tokens for the audience {self._audience} and its upstreams alone."
            )


def _check_unused(request: web.Request, form: Form) -> None:
    """What would change the meaning of the request must not be passed over in silence."""
    if "Authorization" in request.headers or form.get("client_secret") or form.get("client_assertion"):
        raise AnswerError(
            401,
            "invalid_client",
            "The identity in subject_token is the client; send no other authentication.",
            {"WWW-Authenticate": "Bearer"} if "Authorization" in request.headers else None,
        )
    if (form.get("actor_token") is None) != (form.get("actor_token_type") is None):
        raise invalid("actor_token and actor_token_type stand together or not at all.")
    if form.get("actor_token") is not None:
        raise invalid("A token on behalf of somebody else is not issued here; leave actor_token out.")
    if form.get("authorization_details") is not None:
        raise AnswerError(
            400, "invalid_authorization_details", "Ask for intents in scope; authorization_details are not read here."
        )
    if form.get("requested_token_type") not in (None, ACCESS_TOKEN_TYPE):
        raise invalid(f"The only requested_token_type is {ACCESS_TOKEN_TYPE}.")


def _intents(form: Form) -> tuple[str, ...]:
    """The scope as intents. A name that could be no intent is refused without being repeated: it could be a token."""
    intents = tuple(name for name in (form.get("scope") or "").split(" ") if name)
    if any(_INTENT(name) is None for name in intents):
        raise AnswerError(400, INVALID_SCOPE, "The scope is a list of intents such as invoices.read, separated by spaces.")
    return intents
