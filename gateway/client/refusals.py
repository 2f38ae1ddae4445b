"""Tells refusals of the gateway from answers of an upstream, and raises them as exceptions; knows no library that got them."""

import json
from collections.abc import Awaitable, Mapping
from typing import Any, Final, Protocol, TypeVar

from gateway.client.errors import (
    GatewayUnavailableError,
    IntentRefusedError,
    LimitExceededError,
    RefusedError,
    RequestRefusedError,
    TokenRefusedError,
)

_FAILED: Final = 400
_UNAVAILABLE: Final = 500
_OURS: Final = "doorward; error="
"""How `Proxy-Status` (RFC 9209) begins in what the gateway itself answers; of upstreams it is dropped."""
_KINDS: Final[Mapping[int, type[RefusedError]]] = {401: TokenRefusedError, 403: IntentRefusedError, 429: LimitExceededError}
_MEMBERS: Final = ("code", "title", "detail", "remedy", "request_id")


class Answered(Protocol):
    """A response as requests and httpx have it."""

    status_code: int
    headers: Any
    content: Any


class AnsweredLater(Protocol):
    """A response as aiohttp has it."""

    status: int
    headers: Any

    def read(self) -> Awaitable[bytes]:
        """The body."""


S = TypeVar("S", bound=Answered)
L = TypeVar("L", bound=AnsweredLater)


def raise_for_refusal(response: S) -> S:
    """The response of requests or httpx as it is; raises `RefusedError` if the gateway has refused the request."""
    if response.status_code >= _FAILED and _is_ours(response.headers):
        _raise(response.status_code, response.headers, response.content)
    return response


async def raise_for_refusal_async(response: L) -> L:
    """The response of aiohttp as it is; raises `RefusedError` if the gateway has refused the request."""
    if response.status >= _FAILED and _is_ours(response.headers):
        _raise(response.status, response.headers, await response.read())
    return response


def _is_ours(headers: Mapping[str, str]) -> bool:
    return headers.get("Proxy-Status", "").startswith(_OURS)


def _raise(status: int, headers: Mapping[str, str], body: bytes) -> None:
    try:
        problem = json.loads(body)
    except (ValueError, RecursionError):
        problem = None
    if not isinstance(problem, dict) or not all(isinstance(problem.get(name), str) for name in _MEMBERS):
        return
    wait = headers.get("Retry-After", "")
    kind = _KINDS.get(status, GatewayUnavailableError if status >= _UNAVAILABLE else RequestRefusedError)
    raise kind(
        **{name: problem[name] for name in _MEMBERS},
        status=status,
        retry_after=float(wait) if wait.isascii() and wait.isdigit() else None,
    )
