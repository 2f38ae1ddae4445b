"""Finds out who sends a request to the authority: by the kernel, an assertion or a bearer token; knows no endpoint."""

import socket
import struct
from collections.abc import Mapping
from math import ceil
from typing import Any, Final, NamedTuple, Protocol, final

from aiohttp import web

from gateway.authority.tenants import Tenants
from gateway.endpoints.answers import AnswerError
from gateway.endpoints.forms import Form, invalid
from gateway.endpoints.peer_certificate import certificate_of
from gateway.identity.identify import Identities
from gateway.identity.provider import (
    ACCESS_TOKEN_TYPE,
    JWT_TYPE,
    MTLS_PEER_TYPE,
    PEER,
    UNIX_PEER_TYPE,
    Identity,
    IdentityHeldError,
    IdentityRefusedError,
    Peer,
    Presented,
)
from gateway.site import site_of
from gateway.stores.store import TaskUnknownError

ASSERTION_TYPE: Final = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
"""A JWT of any identity that is configured (RFC 7523 §2.2)."""
SPIFFE_ASSERTION_TYPE: Final = "urn:ietf:params:oauth:client-assertion-type:jwt-spiffe"
"""A JWT-SVID for this authority and for nobody else (draft-ietf-oauth-spiffe-client-auth §3.1)."""
ASSERTION_TYPES: Final = (ASSERTION_TYPE, SPIFFE_ASSERTION_TYPE)
_CREDENTIALS: Final = struct.Struct("iII")


def peer_of(request: web.Request) -> Peer | None:
    """The process that opened this very connection, as the kernel names it; None over TCP."""
    transport = request.transport
    connection = None if transport is None else transport.get_extra_info("socket")
    if connection is None or connection.family != socket.AF_UNIX:
        return None
    return Peer(*_CREDENTIALS.unpack(connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)))


def presented(request: web.Request, token: str | None, token_type: str) -> Presented:
    """What a request shows as proof of an identity, with everything that its own connection proves."""
    return Presented(token, token_type, peer_of(request), certificate_of(request), _source(request))


async def identified(identities: Identities, shown: Presented) -> Identity:
    """Verify what was shown. Raises `IdentityRefusedError`, and `AnswerError` where its source is held off (RFC 6585 §4)."""
    try:
        return await identities.identify(shown)
    except IdentityHeldError as error:
        headers = {"Retry-After": str(ceil(error.wait))}
        raise AnswerError(429, "too_many_failures", f"{error.sentence.capitalize()}.", headers) from None


def _source(request: web.Request) -> str:
    """By what failures are counted: a user of this host, an IPv4 address, or the network of an IPv6 one."""
    peer = peer_of(request)
    if peer is not None:
        return f"uid {peer.uid}"
    return site_of(request.remote or "")


async def authenticated(identities: Identities, shown: Presented) -> Identity:
    """Verify that it is the very agent who calls. Raises as `identified` does."""
    identity = await identified(identities, shown)
    if identity.at_an_actor:
        raise IdentityRefusedError(
            "the token is at another one, who acts for its subject (act); it does not authenticate anybody"
        )
    return identity


class Caller(NamedTuple):
    """Who calls about a task: the agent, and the tenant that it is of."""

    agent: str
    tenant: str


class Holding(Protocol):
    """What says whether a caller holds the key of its token."""

    async def holds(self, request: web.Request, token: str, claims: Mapping[str, Any], *, by_proof: bool) -> bool:
        """See `Proofs.holds`."""
        ...


@final
class Callers:
    """Authenticates those who ask about tokens and tasks."""

    def __init__(self, identities: Identities, tenants: Tenants, proofs: Holding, issuer: str) -> None:
        """`identities` verify workloads, `tenants` the live task tokens that stand for themselves.

        `proofs` say whether a caller holds what its token is bound to; `issuer` is this authority.
        """
        self._identities = identities
        self._tenants = tenants
        self._proofs = proofs
        self._issuer = issuer

    async def identity(self, request: web.Request, token: str, kind: str, *, of_somebody_else: bool = False) -> Identity:
        """Whose proof of identity this is: the caller's, or also `of_somebody_else`. Raises `IdentityRefusedError`."""
        verified = identified if of_somebody_else else authenticated
        return await verified(self._identities, presented(request, token, kind))

    def is_foreign(self, token: str) -> bool:
        """Whether it is a task token of another Doorward that is known here: an identity, and none of our tasks."""
        return self._identities.knows(Presented(token, ACCESS_TOKEN_TYPE))

    def is_local(self, request: web.Request) -> bool:
        """Whether the kernel says who asks."""
        return peer_of(request) is not None

    async def client(self, request: web.Request, form: Form) -> Identity:
        """The agent that calls, by `client_assertion` (RFC 7521 §4.2) or by its user on the Unix socket.

        Raises `AnswerError`.
        """
        assertion, kind = form.get("client_assertion"), form.get("client_assertion_type")
        if (assertion is None) != (kind is None):
            raise invalid("client_assertion and client_assertion_type stand together or not at all.")
        if assertion is not None and kind not in ASSERTION_TYPES:
            raise no_client(f"The client_assertion_type has to be one of {', '.join(ASSERTION_TYPES)}.")
        shown = self._presented(request, assertion)
        if shown is None:
            raise no_client(
                "Authenticate with a client_assertion, by a certificate over TLS, or over the authority's Unix socket."
            )
        try:
            identity = await authenticated(self._identities, shown)
        except IdentityRefusedError as error:
            raise no_client(f"The client is not known: {error.sentence}.") from None
        if kind == SPIFFE_ASSERTION_TYPE and not self._is_svid_for_us(identity):
            raise no_client(f"A JWT-SVID as client_assertion is its agent's own, and for {self._issuer} alone.")
        if form.get("client_id") not in (None, identity.agent):
            raise no_client("The client_id is not the one of this identity.")
        return identity

    async def of_task(self, request: web.Request, task: str) -> Caller:
        """The agent that calls about a task: by an identity or by a live token of that task as Bearer, or by its user.

        Raises `AnswerError`, and `TaskUnknownError` for a live token of another task.
        """
        bearer, by_proof = _bearer(request)
        if bearer is not None and (by_proof or self._tenants.any.tasks.looks_own(bearer)):
            tenant, own = await self._tenants.live_token(bearer) or ("", None)
            if own is not None and not await self._proofs.holds(request, bearer, own.claims, by_proof=by_proof):
                raise _challenge(
                    "The task token is bound, and nothing proves that you hold what it is bound to.", "invalid_token"
                )
            if own is None or own.may_act is not None:  # whoever holds it for a child task has no say in this one
                raise _challenge("The task token has expired, was revoked or is not from here.", "invalid_token")
            if own.task != task:
                raise TaskUnknownError(task)
            return Caller(own.agent, tenant)
        shown = self._presented(request, bearer)
        if shown is None:
            raise _challenge("Send an identity token or the task's own token as Bearer, or use the authority's Unix socket.")
        try:
            identity = await authenticated(self._identities, shown)
        except IdentityRefusedError as error:
            raise _challenge(f"The caller is not known: {error.sentence}.", "invalid_token") from None
        return Caller(identity.agent, identity.tenant)

    async def asker(self, request: web.Request) -> Identity:
        """Who asks about policy: by an identity as Bearer, or by its user. Raises `AnswerError`."""
        bearer, by_proof = _bearer(request)
        presented = None if by_proof else self._presented(request, bearer)
        if presented is None:
            raise _challenge("Send an identity token as Bearer, or use the authority's Unix socket.")
        try:
            return await self._identities.identify(presented)
        except IdentityRefusedError as error:
            raise _challenge(f"The caller is not known: {error.sentence}.", "invalid_token") from None

    def _is_svid_for_us(self, identity: Identity) -> bool:
        named = identity.claims.get("sub"), identity.claims.get("aud")
        return named in ((identity.agent, self._issuer), (identity.agent, [self._issuer]))

    def _presented(self, request: web.Request, token: str | None) -> Presented | None:
        if token is not None:
            return presented(request, token, JWT_TYPE)
        if peer_of(request) is not None:
            return presented(request, PEER, UNIX_PEER_TYPE)
        return None if certificate_of(request) is None else presented(request, PEER, MTLS_PEER_TYPE)


def _bearer(request: web.Request) -> tuple[str | None, bool]:
    """The one token of the request, and whether it came by the scheme DPoP (RFC 9449 §7.1)."""
    fields = request.headers.getall("Authorization", [])
    if not fields:
        return None, False
    scheme, _, token = fields[0].partition(" ")
    if len(fields) > 1 or scheme.lower() not in ("bearer", "dpop") or not token.strip():
        raise invalid("Send one Authorization header of the form Bearer, a space, and the token.")
    return token.strip(), scheme.lower() == "dpop"


def no_client(sentence: str) -> AnswerError:
    """The client is not authenticated (RFC 6749 §5.2)."""
    return AnswerError(401, "invalid_client", sentence)


def _challenge(sentence: str, error: str | None = None) -> AnswerError:
    # RFC 6750 §3.1: a request without any authentication is challenged without an error code.
    challenge = "Bearer" if error is None else f'Bearer error="{error}"'
    return AnswerError(401, error or "token_missing", sentence, {"WWW-Authenticate": challenge})
