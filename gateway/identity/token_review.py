"""Asks a Kubernetes API server whether a token still stands for its service account; knows no agent.

A signature does not tell that the pod is gone or the account was deleted; the API server does (TokenReview,
authentication.k8s.io/v1). It is asked once for each exchange, never for a request.
"""

import asyncio
from collections.abc import Mapping
from typing import Annotated, Any, Final, final

from pydantic import AfterValidator, Field

from gateway.fetched import FetchError
from gateway.identity.asking import Asking, check_address
from gateway.identity.kept import ContentProblem, UnavailableError
from gateway.identity.provider import IdentityRefusedError, Tools
from gateway.kind import Config

AT_ONCE: Final = 8
"""Reviews that are asked for at the same time; a further one waits."""
MOST_WAITING: Final = 64
"""Reviews that wait for their turn; a further one is refused at once, and its agent comes again."""
REVIEW_BYTES: Final = 64 * 1024
"""The largest answer that is read."""

_PATH: Final = "/apis/authentication.k8s.io/v1/tokenreviews"
_GOOD: Final = frozenset((200, 201))


def _address(text: str) -> str:
    check_address(text, "an API server")
    return text


class ReviewRule(Config):
    """The API server that reviews tokens, and with what it is asked."""

    url: Annotated[str, Field(max_length=500), AfterValidator(_address)] = "https://kubernetes.default.svc"
    """Its address: https, or http on a loopback address."""
    ca: Annotated[str, Field(min_length=1)] | None = "/var/run/secrets/kubernetes.io/serviceaccount/ca.crt"
    """A file of PEM certificates that its TLS is verified with; `null` for the system's."""
    bearer: Annotated[str, Field(min_length=1)] = "/var/run/secrets/kubernetes.io/serviceaccount/token"
    """A file with the token that Doorward itself shows; its account needs the cluster role `system:auth-delegator`."""


@final
class TokenReview:
    """The reviews of one API server."""

    def __init__(self, rule: ReviewRule, audience: str, tools: Tools) -> None:
        """`audience` is what every token must be good for. Raises `ValueError` if a file cannot be used."""
        self._url = rule.url.removesuffix("/") + _PATH
        self._audience = audience
        self._asking = Asking("the API server", tools.fetch, tools.clock, tools.resolve, ca=rule.ca, bearer=rule.bearer)
        self._turns = asyncio.Semaphore(AT_ONCE)
        self._waiting = 0

    async def check(self, token: str, claims: Mapping[str, Any]) -> None:
        """Return if the API server takes the token for the very account that its claims name.

        Raises `IdentityRefusedError`, and `UnavailableError` when nobody can say.
        """
        status = await self._status(token)
        if status.get("authenticated") is not True:
            raise IdentityRefusedError("the API server does not take this token any more: its account or pod may be gone")
        audiences = status.get("audiences")
        # A server that ignores audiences names none, and would take a token that is meant for somebody else.
        if not isinstance(audiences, list) or self._audience not in audiences:
            raise IdentityRefusedError(f"the API server did not review this token for the audience {self._audience}")
        user = status.get("user")
        if not isinstance(user, dict) or user.get("username") != claims.get("sub"):
            raise IdentityRefusedError("the API server knows this token as somebody else's")
        if user.get("uid") != _uid(claims):
            raise IdentityRefusedError("the service account of this token was deleted and made anew")

    async def _status(self, token: str) -> Mapping[str, Any]:
        if self._waiting >= MOST_WAITING:
            raise UnavailableError("too many tokens wait for a review by the API server; try again in a moment")
        self._waiting += 1
        try:
            async with self._turns:
                answer = await self._asking.post(self._url, self._question(token), limit=REVIEW_BYTES, good=_GOOD)
        except (FetchError, ContentProblem) as error:
            raise UnavailableError(f"the token cannot be reviewed: {error}") from None
        finally:
            self._waiting -= 1
        status = answer.get("status") if isinstance(answer, dict) else None
        if not isinstance(status, dict):
            raise UnavailableError("the token cannot be reviewed: the API server sent no TokenReview")
        return status

    def _question(self, token: str) -> Mapping[str, Any]:
        return {
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenReview",
            "spec": {"token": token, "audiences": [self._audience]},
        }


def _uid(claims: Mapping[str, Any]) -> object:
    kubernetes = claims.get("kubernetes.io")
    account = kubernetes.get("serviceaccount") if isinstance(kubernetes, dict) else None
    return account.get("uid") if isinstance(account, dict) else None
