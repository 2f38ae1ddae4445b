"""Finds out who asks for a token, on whose behalf and below which task (RFC 8693 §2.1); decides nothing about what they get.

Whoever asks is authenticated, always and anew: by a client assertion, by an actor token, by being the subject, or by the kernel
on the Unix socket. A token of somebody else alone suffices for nothing.
"""

from collections.abc import Mapping
from typing import Any, Final, NamedTuple, final

from aiohttp import web

from gateway.authority.grounds import Grounds
from gateway.authority.refused import INVALID_REQUEST, UNAUTHORIZED_CLIENT
from gateway.authority.tenants import Tenants
from gateway.endpoints.answers import AnswerError
from gateway.endpoints.callers import Callers, no_client
from gateway.endpoints.forms import Form, invalid
from gateway.endpoints.proofs import Proofs
from gateway.identity.provider import UNIX_PEER_TYPE, Identity, IdentityRefusedError

ACCESS_TOKEN_TYPE: Final = "urn:ietf:params:oauth:token-type:access_token"  # noqa: S105 a name of a type (RFC 8693 §3), no secret


class Applicant(NamedTuple):
    """The agent that asks, freshly authenticated, and what it asks on."""

    agent: Identity
    grounds: Grounds


@final
class Applicants:
    """Authenticates those who ask for tokens."""

    def __init__(self, callers: Callers, tenants: Tenants, proofs: Proofs) -> None:
        """`callers` authenticate clients, `tenants` know the task tokens that are alive, `proofs` what callers hold."""
        self._callers = callers
        self._tenants = tenants
        self._proofs = proofs

    async def client(self, request: web.Request, form: Form) -> Applicant:
        """Who asks with client credentials (RFC 6749 §4.4): the client, on its own. Raises `AnswerError`."""
        agent = await self._callers.client(request, form)
        return Applicant(agent, Grounds(binding=await self._proofs.binding(request)))

    async def exchanging(self, request: web.Request, form: Form) -> Applicant:
        """Who asks with a subject token. Raises `AnswerError`."""
        token, kind = form.need("subject_token"), form.need("subject_token_type")
        actor = await self._actor(request, form)
        if (kind == ACCESS_TOKEN_TYPE or self._tenants.any.tasks.looks_own(token)) and not self._callers.is_foreign(token):
            return await self._below(request, form, token, kind, actor)
        subject = await self._identity(request, "subject_token", token, kind, of_somebody_else=actor is not None)
        if actor is not None and actor.tenant != subject.tenant:
            raise invalid("The subject_token is not accepted: no identity of the actor's tenant vouches for its subject.")
        if actor is None or actor.agent == subject.agent:
            _check_client_id(form, subject)
            agent = subject if actor is None else _sooner(subject, actor)
            return Applicant(agent, Grounds(binding=await self._proofs.binding(request)))
        _check_client_id(form, actor)
        if not _may_act(subject, actor):
            raise invalid("The subject_token is not accepted: it names another one who may act on its subject's behalf.")
        return Applicant(actor, Grounds(subject=subject, binding=await self._proofs.binding(request)))

    async def _below(self, request: web.Request, form: Form, token: str, kind: str, actor: Identity | None) -> Applicant:
        """A task token, of the task below which the client wants to work. The client is never taken from the token itself."""
        if actor is None:
            actor = await self._callers.client(request, form)
        _check_client_id(form, actor)
        tasks = self._tenants.of(actor.tenant).tasks
        parent = await tasks.parent(token) if kind == ACCESS_TOKEN_TYPE else None
        if parent is None:
            raise invalid(f"The subject_token is not accepted: it is no live task token of the type {ACCESS_TOKEN_TYPE}.")
        binding = await self._proofs.binding(request)
        if not self._proofs.still_holds(request, parent.token.claims, binding):
            raise invalid(
                "The subject_token is not accepted: it is bound, and nothing proves that you hold what it is bound to."
            )
        return Applicant(actor, Grounds(parent=parent, binding=binding))

    async def _actor(self, request: web.Request, form: Form) -> Identity | None:
        """Who acts, by the actor token or else by the client's own authentication; None if neither came.

        Both may come, and are then of one agent: nobody else presents an agent's identity.
        """
        token, kind = form.get("actor_token"), form.get("actor_token_type")
        if (token is None) != (kind is None):
            raise invalid("actor_token and actor_token_type stand together or not at all.")
        actor = None if token is None or kind is None else await self._identity(request, "actor_token", token, kind)
        if form.get("client_assertion") is None and form.get("client_assertion_type") is None:
            return actor
        client = await self._callers.client(request, form)
        if actor is not None and (actor.agent, actor.tenant) != (client.agent, client.tenant):
            raise no_client("The client is not the one of the actor_token.")
        return client if actor is None else _sooner(client, actor)

    async def _identity(
        self, request: web.Request, name: str, token: str, kind: str, *, of_somebody_else: bool = False
    ) -> Identity:
        try:
            return await self._callers.identity(request, token, kind, of_somebody_else=of_somebody_else)
        except IdentityRefusedError as error:
            # RFC 8693 §2.2.2 wants invalid_request for a bad token; a process that the kernel vouches for has none.
            if kind == UNIX_PEER_TYPE and self._callers.is_local(request):
                raise AnswerError(400, UNAUTHORIZED_CLIENT, f"This process gets no token: {error.sentence}.") from None
            raise AnswerError(400, INVALID_REQUEST, f"The {name} is not accepted: {error.sentence}.") from None


def _check_client_id(form: Form, agent: Identity) -> None:
    if form.get("client_id") not in (None, agent.agent):
        raise no_client("The client_id is not the one of this identity.")


def _sooner(one: Identity, other: Identity) -> Identity:
    """Of two proofs of one agent the one that is over first."""
    return min(one, other, key=lambda identity: float("inf") if identity.expires is None else identity.expires)


def _may_act(subject: Identity, actor: Identity) -> bool:
    """Whether the subject's token leaves it to policy, or names this actor (RFC 8693 §4.4).

    A token that was given to an actor already names it in its outermost `act`, and that is the only one who may go on with it.
    """
    named = subject.claims.get("may_act", subject.claims.get("act"))
    return named is None or (isinstance(named, dict) and _is_named(named, subject, actor))


def _is_named(named: Mapping[str, Any], subject: Identity, actor: Identity) -> bool:
    """By its SPIFFE ID, or by the very `iss` and `sub` of its own token; a name without an issuer is of the subject's."""
    if "iss" not in named and named.get("sub") == actor.agent:
        return True
    issuer = named.get("iss", subject.claims.get("iss"))
    return isinstance(issuer, str) and (issuer, named.get("sub")) == (actor.claims.get("iss"), actor.claims.get("sub"))
