"""Asks servers that help to verify identities, with the certificates and the token that an operator gave; knows no answer."""

import ipaddress
import re
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, final
from urllib.parse import urlsplit

from gateway.clock import Clock
from gateway.fetch import Fetch
from gateway.fetched import Answer, FetchError
from gateway.http.tls_context import UnusableFileError, calling
from gateway.http.tls_watch import LiveContext
from gateway.identity.kept import ContentProblem
from gateway.model import TlsFiles

BEARER_BYTES: Final = 16 * 1024
"""The largest token that is read from a file of the operator's."""
_TIMEOUT: Final = 5.0
_OK: Final = 200

_TOKEN = re.compile(r"[A-Za-z0-9._~+/=-]+").fullmatch


@final
class Asking:
    """One server, or those that its answers name. Nothing of what it is asked with is ever shown."""

    def __init__(
        self, who: str, fetch: Fetch, clock: Clock, resolve: Callable[[str], Path], *, ca: str | None, bearer: str | None = None
    ) -> None:
        """`who` is for errors, as in "the issuer". `ca` and `bearer` are files; both are read again when they change.

        Raises `ValueError` if one of them cannot be used.
        """
        self._who = who
        self._fetch = fetch
        self._clock = clock
        self._bearer = None if bearer is None else resolve(bearer)
        self._tls: LiveContext | None = None
        if ca is not None:
            path = resolve(ca)
            try:
                self._tls = LiveContext(who, TlsFiles(ca=str(path)), calling, clock.now())
            except UnusableFileError as error:
                raise ValueError(f"{path} cannot be used as ca: {error}") from None
        if self._bearer is not None:
            try:
                self._token(self._bearer)
            except FetchError as error:
                raise ValueError(str(error)) from None

    async def get(self, url: str, *, limit: int, accept: str = "application/json") -> bytes:
        """The body of a good answer of at most `limit` bytes. Raises `FetchError`, and `ContentProblem` for another answer."""
        return (await self._ask("GET", url, None, limit, accept)).body

    async def post(self, url: str, body: object, *, limit: int, good: frozenset[int]) -> Any:
        """The JSON of an answer with a status in `good`. Raises `FetchError` and `ContentProblem`."""
        return (await self._ask("POST", url, body, limit, "application/json", good)).json()

    async def _ask(
        self, method: str, url: str, body: object, limit: int, accept: str, good: frozenset[int] = frozenset((_OK,))
    ) -> Answer:
        headers = {"Accept": accept}
        if self._bearer is not None:
            headers["Authorization"] = f"Bearer {self._token(self._bearer)}"
        answer = await self._fetch.request(
            method, url, json=body, headers=headers, limit=limit, timeout=_TIMEOUT, tls=self._context()
        )
        if answer.status not in good:
            raise ContentProblem(f"{self._who} answered with status {answer.status}")
        return answer

    def _context(self) -> ssl.SSLContext | None:
        if self._tls is None:
            return None
        self._tls.look(self._clock.now())
        return self._tls.context

    def _token(self, path: Path) -> str:
        try:
            with path.open("rb") as file:
                text = file.read(BEARER_BYTES + 1).decode("ascii").strip()
        except (OSError, ValueError):
            text = ""
        if _TOKEN(text) is None or len(text) > BEARER_BYTES:
            raise FetchError(f"{path} cannot be read as a file with one token, which {self._who} is asked with")
        return text


def check_address(text: str, what: str) -> None:
    """Check an address: https, or http on loopback, without user, query and fragment. Raises `ValueError`.

    `what` is asked there, as in "an issuer".
    """
    try:
        parts = urlsplit(text)
        host, _ = parts.hostname, parts.port
    except ValueError:
        raise ValueError(f"{what} has a URL such as https://issuer.example") from None
    if parts.scheme not in ("http", "https") or not host or "@" in parts.netloc or "?" in text or "#" in text:
        raise ValueError(f"{what} has a URL such as https://issuer.example, without user, query and fragment")
    if parts.scheme == "http" and not is_loopback(host):
        raise ValueError(f"{what} is asked over https; http is for loopback addresses only")


def is_loopback(host: str) -> bool:
    """Whether a name or an address can only be this machine."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
