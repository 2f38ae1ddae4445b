"""Every way in which the client tells that something did not go; knows no library that a request is sent with.

ClientError                      all of them; a sentence that says what to do, and never a token
  MisusedError                   this program has called the client wrongly
  IdentityUnavailableError       there is nothing to prove with what this agent is
  AuthorityUnreachableError      the authority gave no usable answer
  AuthorityRefusedError          it said no, with a code
    TaskEndedError               the task has ended, and nothing of it is accepted any more
  NoTokenError                   the task has no token that still holds
  RefusedError                   the gateway has refused a request, with the code and the remedy of its table
    RequestRefusedError          400, 404, 405, 413, 431: the request itself
    TokenRefusedError            401: the token
    IntentRefusedError           403: the intent, a condition or a denial
    LimitExceededError           429: a limit is used up
    GatewayUnavailableError      500 and above: not now
"""

from typing import Final

from gateway.errors import DoorwardError


class ClientError(DoorwardError):
    """What the client could not do."""


class MisusedError(ClientError):
    """This program has to be changed: the client was called in a way that cannot work."""


class IdentityUnavailableError(ClientError):
    """The token that says what this agent is cannot be had: its file, its variable or its function gives none."""


class AuthorityUnreachableError(ClientError):
    """The authority could not be reached, or its answer was none of Doorward. Trying again may help."""


class AuthorityRefusedError(ClientError):
    """The authority said no."""

    def __init__(self, status: int, code: str, sentence: str) -> None:
        """`code` and `sentence` are `error` and `error_description` of RFC 6749 §5.2."""
        super().__init__(sentence)
        self.status: Final = status
        self.code: Final = code


class TaskEndedError(AuthorityRefusedError):
    """The task has been completed, failed, revoked or has expired; or its heartbeats did not arrive for too long."""


class NoTokenError(ClientError):
    """The last token of the task has run out and could not be renewed; the cause says why."""


class RefusedError(ClientError):
    """The gateway has refused a request. `code` is stable, `remedy` says what to do next."""

    def __init__(
        self,
        *,
        code: str,
        status: int,
        title: str,
        detail: str,
        remedy: str,
        request_id: str,
        retry_after: float | None = None,
    ) -> None:
        """As in the problem document (RFC 9457); `retry_after` is in seconds."""
        super().__init__(f"{code}: {detail} {remedy}")
        self.code: Final = code
        self.status: Final = status
        self.title: Final = title
        self.detail: Final = detail
        self.remedy: Final = remedy
        self.request_id: Final = request_id
        self.retry_after: Final = retry_after


class RequestRefusedError(RefusedError):
    """The request cannot be served as it is."""


class TokenRefusedError(RefusedError):
    """No token came, or one that is over, revoked or not of this gateway."""


class IntentRefusedError(RefusedError):
    """Policy does not let this task do this."""


class LimitExceededError(RefusedError):
    """A limit is used up; `retry_after` says for how long."""


class GatewayUnavailableError(RefusedError):
    """Gateway, credential or upstream cannot serve it now."""
