"""What an agent's own code imports: a task as a context manager; brings no package of a server, and knows no HTTP library.

    from gateway.client import Client

    with Client().task("invoices.read") as task:
        requests.get(task.url("/billing/v1/invoices"), auth=task.auth())

The task is opened when the block begins, completed when it ends well, failed when it ends with an exception, and its token is
renewed in between. `async with` does the same without blocking the loop.
"""

from gateway.client.client import Client
from gateway.client.errors import (
    AuthorityRefusedError,
    AuthorityUnreachableError,
    ClientError,
    GatewayUnavailableError,
    IdentityUnavailableError,
    IntentRefusedError,
    LimitExceededError,
    MisusedError,
    NoTokenError,
    RefusedError,
    RequestRefusedError,
    TaskEndedError,
    TokenRefusedError,
)
from gateway.client.identity import Identity, TokenFile, TokenFrom, TokenVariable, UnixPeer
from gateway.client.refusals import raise_for_refusal, raise_for_refusal_async
from gateway.client.task import Task

__all__ = [
    "AuthorityRefusedError",
    "AuthorityUnreachableError",
    "Client",
    "ClientError",
    "GatewayUnavailableError",
    "Identity",
    "IdentityUnavailableError",
    "IntentRefusedError",
    "LimitExceededError",
    "MisusedError",
    "NoTokenError",
    "RefusedError",
    "RequestRefusedError",
    "Task",
    "TaskEndedError",
    "TokenFile",
    "TokenFrom",
    "TokenRefusedError",
    "TokenVariable",
    "UnixPeer",
    "raise_for_refusal",
    "raise_for_refusal_async",
]
