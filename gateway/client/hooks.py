"""What hands the token of a task to the HTTP libraries of agents by their own means; imports none of them.

requests and httpx call what stands in `auth=` with each request; aiohttp awaits each of its `middlewares` with the request and
what sends it.
"""

from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any, Final, Protocol, TypeVar, final

from gateway.client.errors import MisusedError

Put = Callable[[str, str], Mapping[str, str]]
"""Gives the headers for a request of this method and URL. Raises `ClientError`."""


class Outgoing(Protocol):
    """A request as the three libraries have it: `requests.PreparedRequest`, `httpx.Request`, `aiohttp.ClientRequest`."""

    method: Any
    url: Any
    headers: Any


R = TypeVar("R", bound=Outgoing)
A = TypeVar("A")


@final
class Auth:
    """For requests and httpx."""

    def __init__(self, put: Put) -> None:
        self._put: Final = put

    def __call__(self, request: R) -> R:
        """Put on what belongs to it. Raises `ClientError` for a request to anywhere but the gateway."""
        _put_on(request.headers, self._put(str(request.method), str(request.url)))
        return request


@final
class Middleware:
    """For aiohttp."""

    def __init__(self, put: Put) -> None:
        self._put: Final = put

    async def __call__(self, request: R, handler: Callable[[R], Awaitable[A]]) -> A:
        """Put on what belongs to it, and send it. Raises `ClientError` for a request to anywhere but the gateway."""
        _put_on(request.headers, self._put(str(request.method), str(request.url)))
        return await handler(request)


def declaration(intent: str, *, reason: str | None, tool: str | None) -> str:
    """The value of `Agent-Intent`: an item of RFC 9651. Raises `MisusedError` for what no header can hold."""
    told = {"tool": tool, "reason": reason}
    return intent + "".join(f';{name}="{_text(value)}"' for name, value in told.items() if value is not None)


def _text(value: str) -> str:
    if not value.isascii() or not value.isprintable():
        raise MisusedError("reason and tool are told in ASCII, without control characters")
    return value.replace("\\", "\\\\").replace('"', '\\"')


def _put_on(headers: MutableMapping[str, str], added: Mapping[str, str]) -> None:
    for name, value in added.items():
        headers[name] = value
