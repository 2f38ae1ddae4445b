"""Finds out who sends a request to the authority: by the kernel, an assertion or a bearer token; knows no endpoint."""

import socket
import struct
from typing import Final, final

from aiohttp import web

from gateway.authority.tasks import Tasks
from gateway.endpoints.answers import AnswerError
from gateway.endpoints.forms import Form, invalid
from gateway.identity.identify import Identities
from gateway.identity.provider import JWT_TYPE, UNIX_PEER_TYPE, IdentityRefusedError, Peer, Presented
from gateway.stores.store import TaskUnknownError

ASSERTION_TYPE: Final = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
PEER: Final = "peer"

_CREDENTIALS: Final = struct.Struct("iII")
_BEARER: Final = "bearer "


def peer_of(request: web.Request) -> Peer | None:
    """The process that opened this very connection, as the kernel names it; None over TCP."""
    transport = request.transport
    connection = None if transport is None else transport.get_extra_info("socket")
    if connection is None or connection.family != socket.AF_UNIX:
        return None
    return Peer(*_CREDENTIALS.unpack(connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)))


@final
class Callers:
    """Authenticates those who ask about tokens and tasks."""

    def __init__(self, identities: Identities, tasks: Tasks) -> None:
        """`identities` verify workloads, `tasks` the live task tokens that stand for themselves."""
        self._identities = identities
        self._tasks = tasks

    async def client(self, request: web.Request, form: Form) -> str:
        """The agent that calls, by `client_assertion` (RFC 7521 §4.2) or by its user on the Unix socket.

        Raises `AnswerError`.
        """
        assertion, kind = form.get("client_assertion"), form.get("client_assertion_type")
        if (assertion is None) != (kind is None):
            raise invalid("client_assertion and client_assertion_type stand together or not at all.")
        if assertion is not None and kind != ASSERTION_TYPE:
            raise _no_client(f"The client_assertion_type has to be {ASSERTION_TYPE}.")
        presented = self._presented(request, assertion)
        if presented is None:
            raise _no_client("Authenticate with a client_assertion, or call over the authority's Unix socket.")
        try:
            agent = (await self._identities.identify(presented)).agent
        except IdentityRefusedError as error:
            raise _no_client(f"The client is not known: {error.sentence}.") from None
        if form.get("client_id") not in (None, agent):
            raise _no_client("The client_id is not the one of this identity.")
        return agent

    async def of_task(self, request: web.Request, task: str) -> str:
        """The agent that calls about a task: by an identity or by a live token of that task as Bearer, or by its user.

        Raises `AnswerError`, and `TaskUnknownError` for a live token of another task.
        """
        bearer = _bearer(request)
        if bearer is not None and self._tasks.looks_own(bearer):
            own = await self._tasks.live_token(bearer)
            if own is None:
                raise _challenge("The task token has expired, was revoked or is not from here.", "invalid_token")
            if own.task != task:
                raise TaskUnknownError(task)
            return own.agent
        presented = self._presented(request, bearer)
        if presented is None:
            raise _challenge("Send an identity token or the task's own token as Bearer, or use the authority's Unix socket.")
        try:
            return (await self._identities.identify(presented)).agent
        except IdentityRefusedError as error:
            raise _challenge(f"The caller is not known: {error.sentence}.", "invalid_token") from None

    def _presented(self, request: web.Request, token: str | None) -> Presented | None:
        if token is not None:
            return Presented(token, JWT_TYPE)
        peer = peer_of(request)
        return None if peer is None else Presented(PEER, UNIX_PEER_TYPE, peer)


def _bearer(request: web.Request) -> str | None:
    fields = request.headers.getall("Authorization", [])
    if not fields:
        return None
    scheme, token = fields[0][: len(_BEARER)], fields[0][len(_BEARER) :].strip()
    if len(fields) > 1 or scheme.lower() != _BEARER or not token:
        raise invalid("Send one Authorization header of the form Bearer, a space, and the token.")
    return token


def _no_client(sentence: str) -> AnswerError:
    return AnswerError(401, "invalid_client", sentence)


def _challenge(sentence: str, error: str | None = None) -> AnswerError:
    # RFC 6750 §3.1: a request without any authentication is challenged without an error code.
    challenge = "Bearer" if error is None else f'Bearer error="{error}"'
    return AnswerError(401, error or "token_missing", sentence, {"WWW-Authenticate": challenge})
