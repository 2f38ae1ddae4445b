"""The one outgoing client for everything but relayed requests; knows no key, no token and no meaning of an answer.

It follows no redirect, keeps no cookie, reads no proxy from the environment and stops reading at a limit.
"""

import json as json_text
import ssl
from collections.abc import AsyncGenerator, Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Final, Self, final
from urllib.parse import urlencode, urlsplit

from gateway.fetched import Answer, FetchError

if TYPE_CHECKING:
    from gateway.outgoing import Sessions

__all__ = ["ANSWER_BYTES", "TIMEOUT", "Answer", "Fetch", "FetchError"]

ANSWER_BYTES: Final = 1024 * 1024
TIMEOUT: Final = 10.0
_PLAIN: Final = {"Accept-Encoding": "identity"}


@final
class Fetch:
    """A client over TCP and Unix sockets, to be used as an async context manager or closed with `close`."""

    def __init__(self) -> None:
        """Nothing is opened before the first request."""
        self._sessions: Sessions | None = None
        self._closed = False

    async def __aenter__(self) -> Self:
        """Nothing to prepare."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close every connection."""
        await self.close()

    async def close(self) -> None:
        """Close every connection, in use or kept; no request is sent after that."""
        self._closed = True
        sessions, self._sessions = self._sessions, None
        if sessions is not None:
            await sessions.close()

    async def request(  # noqa: PLR0913 each is one option of a request
        self,
        method: str,
        url: str,
        *,
        form: Mapping[str, str] | Sequence[tuple[str, str]] | None = None,
        json: object = None,
        headers: Mapping[str, str] | None = None,
        limit: int = ANSWER_BYTES,
        timeout: float = TIMEOUT,  # noqa: ASYNC109 the bound covers connecting, sending and reading, so it belongs to the client
        unix: str | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> Answer:
        """Send one request and read the whole answer. `limit` is in bytes, `timeout` in seconds for everything together.

        `form` is sent form-encoded, `json` as JSON; at most one of them. With `unix` the connection goes to the socket at
        that path and the host of the URL is only a name;
        `tls` is used instead of the system's certificates. Raises `FetchError` whenever there is no complete answer.
        """
        if form is not None and json is not None:
            raise ValueError("a request has one body: form or json")
        there = f"unix:{unix}" if unix is not None else _origin(url)
        sent = {**_PLAIN, **(headers or {})}
        body: bytes | None = None
        if form is not None:
            sent["Content-Type"], body = "application/x-www-form-urlencoded", urlencode(form).encode()
        elif json is not None:
            sent["Content-Type"], body = "application/json", json_text.dumps(json).encode()
        return await self._opened().request(
            method, url, there=there, headers=sent, body=body, limit=limit, seconds=timeout, unix=unix, tls=tls
        )

    def stream(
        self, url: str, *, patience: float, unix: str | None = None, tls: ssl.SSLContext | None = None
    ) -> AsyncGenerator[bytes, None]:
        """Send a GET and yield what comes, as it comes, until the other side ends it; close it to end it before.

        `patience` is in seconds: for connecting, and between two pieces. `tls` is used instead of the system's certificates.
        Raises `FetchError` for every end but a good one, and for an answer that is not 200.
        """
        there = f"unix:{unix}" if unix is not None else _origin(url)
        return self._opened().stream(url, there=there, headers=_PLAIN, patience=patience, unix=unix, tls=tls)

    def _opened(self) -> "Sessions":
        if self._closed:
            raise FetchError("this program is stopping and sends no more requests")
        if self._sessions is None:
            from gateway.outgoing import Sessions  # noqa: PLC0415 who fetches nothing pays nothing: 10 MiB, a tenth of a second

            self._sessions = Sessions()
        return self._sessions


def _origin(url: str) -> str:
    """What of an address may stand in an error: never its user, path or query, which could hold a secret."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        raise FetchError("the address is not a URL") from None
    if parts.scheme not in ("http", "https") or not host:
        raise FetchError("the address is not an http:// or https:// URL")
    if "@" in parts.netloc:
        raise FetchError("the address holds a user name or password, which is not supported")
    host = f"[{host}]" if ":" in host else host
    return f"{parts.scheme}://{host}" if port is None else f"{parts.scheme}://{host}:{port}"
