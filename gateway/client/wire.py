"""Sends one request to the authority, over TCP, TLS or a Unix socket, with the standard library alone; knows no call."""

import http.client
import json
import os
import socket
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, final
from urllib.parse import urlencode, urlsplit

from gateway.client.errors import AuthorityUnreachableError, MisusedError

PATIENCE: Final = 10.0
"""Seconds that the authority may take for each step of an answer."""
ANSWER_BYTES: Final = 64 * 1024
"""The largest answer that is read."""

_UNIX: Final = "unix:"


@final
@dataclass(frozen=True, slots=True)
class Said:
    """What the authority answered. `members` are those of its JSON object."""

    status: int
    members: Mapping[str, Any] = field(repr=False)


@final
class Wire:
    """Where the authority is, and one connection for each request to it: they are few and far between."""

    def __init__(self, address: str, tls: ssl.SSLContext | None = None) -> None:
        """`address` is `unix:PATH`, or an `http://` or `https://` URL. Raises `MisusedError`."""
        self.socket = address[len(_UNIX) :] if address.startswith(_UNIX) else None
        self._tls = tls
        parts = urlsplit("" if self.socket is not None else address)
        try:
            self._host, self._port = parts.hostname or "", parts.port
        except ValueError:
            self._host, self._port = "", None
        self._path = parts.path.rstrip("/")
        self._https = parts.scheme == "https"
        good = self.socket if self.socket is not None else self._host and parts.scheme in ("http", "https")
        if not good or "@" in parts.netloc or parts.query or parts.fragment:
            raise MisusedError("the address of the authority has to be unix:PATH, http://... or https://...")
        self.there: Final = f"{_UNIX}{self.socket}" if self.socket is not None else f"{parts.scheme}://{parts.netloc}"

    def post(self, path: str, form: Mapping[str, str], *, bearer: str | None = None) -> Said:
        """Send a form and return the answer. Blocks. Raises `AuthorityUnreachableError`, which shows nothing of the form."""
        headers = {"Content-Type": "application/x-www-form-urlencoded", "Connection": "close"}
        if bearer is not None:
            headers["Authorization"] = f"Bearer {bearer}"
        connection = self._connection()
        try:
            connection.request("POST", self._path + path, urlencode(form).encode("ascii"), headers)
            with connection.getresponse() as answer:
                content = answer.read(ANSWER_BYTES + 1)
            members = json.loads(content) if len(content) <= ANSWER_BYTES else None
        except TimeoutError:
            raise AuthorityUnreachableError(f"{self.there} did not answer within {PATIENCE:g} seconds") from None
        except ssl.SSLError:
            raise AuthorityUnreachableError(
                f"{self.there} cannot be reached: TLS failed; is its certificate trusted?"
            ) from None
        except OSError as error:
            why = error.strerror or os.strerror(error.errno or 0)
            raise AuthorityUnreachableError(
                f"{self.there} cannot be reached: {why.lower()}; is doorward serve running there?"
            ) from None
        except (http.client.HTTPException, ValueError, RecursionError):
            raise AuthorityUnreachableError(f"{self.there} did not answer as Doorward does") from None
        finally:
            connection.close()
        if not isinstance(members, dict):
            raise AuthorityUnreachableError(f"{self.there} did not answer as Doorward does")
        return Said(answer.status, members)

    def _connection(self) -> http.client.HTTPConnection:
        if self.socket is not None:
            return _UnixConnection(self.socket)
        if self._https:
            context = self._tls or ssl.create_default_context()
            return http.client.HTTPSConnection(self._host, self._port, timeout=PATIENCE, context=context)
        return http.client.HTTPConnection(self._host, self._port, timeout=PATIENCE)


@final
class _UnixConnection(http.client.HTTPConnection):
    """HTTP over a Unix socket."""

    def __init__(self, path: str) -> None:
        super().__init__("doorward", timeout=PATIENCE)
        self._socket_path: Final = path

    def connect(self) -> None:
        """Connect to the socket in place of a host."""
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(PATIENCE)
        self.sock.connect(self._socket_path)
