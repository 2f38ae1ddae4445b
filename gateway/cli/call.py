"""Sends one request of a command to a running Doorward, with the standard library alone; knows no command and no answer.

A command is over after one request or a few. What the server loads to serve thousands would take longer than all of that.
"""

import http.client
import json
import os
import socket
import ssl
from collections.abc import Mapping
from typing import Any, Final, NamedTuple, final
from urllib.parse import urlencode, urlsplit

from gateway.errors import DoorwardError

ANSWER_BYTES: Final = 1024 * 1024
"""The largest answer that a command reads."""
PATIENCE: Final = 10.0
"""Seconds for connecting, and for each part of an answer."""
_OK: Final = range(200, 300)


class Place(NamedTuple):
    """Where to send requests: the URL in front of every path, and the Unix socket if it is one."""

    url: str
    unix: str | None


def call(
    place: Place,
    method: str,
    path: str,
    *,
    form: Mapping[str, str] | None = None,
    body: Mapping[str, object] | None = None,
    bearer: str | None = None,
) -> Mapping[str, Any]:
    """Send one request and return the members of its answer. Raises `DoorwardError` with what the other side says.

    It follows no redirect, reads no proxy from the environment, and shows nothing of what was sent.
    """
    headers = {"Accept-Encoding": "identity", "Connection": "close"}
    if bearer is not None:
        headers["Authorization"] = f"Bearer {bearer}"
    content: bytes | None = None
    if form is not None:
        headers["Content-Type"], content = "application/x-www-form-urlencoded", urlencode(form).encode()
    elif body is not None:
        headers["Content-Type"], content = "application/json", json.dumps(body).encode()
    status, answer = _exchange(place, method, path, content, headers)
    try:
        members = json.loads(answer)
    except (ValueError, RecursionError):
        raise DoorwardError(f"the answer with status {status} is not JSON") from None
    if not isinstance(members, dict):
        raise DoorwardError("the answer is not one of Doorward")
    if status not in _OK:
        raise DoorwardError(str(members.get("error_description", f"the answer has status {status}")))
    return members


def _exchange(place: Place, method: str, path: str, content: bytes | None, headers: Mapping[str, str]) -> tuple[int, bytes]:
    there = place.url if place.unix is None else f"unix:{place.unix}"
    connection, prefix = _connection(place)
    try:
        connection.request(method, prefix + path, content, dict(headers))
        response = connection.getresponse()
        answer = response.read(ANSWER_BYTES + 1)
        if response.length and len(answer) <= ANSWER_BYTES:
            raise http.client.IncompleteRead(answer, response.length)
    except TimeoutError:
        raise DoorwardError(f"{there} did not answer within {PATIENCE:g} seconds; {_HINT}") from None
    except ssl.SSLCertVerificationError:
        raise DoorwardError(f"{there} has a TLS certificate that is not trusted") from None
    except ssl.SSLError:
        raise DoorwardError(f"{there} cannot be reached: the TLS handshake failed; {_HINT}") from None
    except socket.gaierror:
        raise DoorwardError(f"{there} cannot be reached: its name does not resolve; {_HINT}") from None
    except http.client.HTTPException:
        raise DoorwardError(f"{there} did not answer in valid HTTP; {_HINT}") from None
    except OSError as error:
        why = "" if error.errno is None else f": {os.strerror(error.errno).lower()}"
        raise DoorwardError(f"{there} cannot be reached{why}; {_HINT}") from None
    finally:
        connection.close()
    if len(answer) > ANSWER_BYTES:
        raise DoorwardError(f"{there} sent more than {ANSWER_BYTES} bytes")
    return response.status, answer


_HINT: Final = "is doorward serve running there, and may your user reach it?"


def _connection(place: Place) -> tuple[http.client.HTTPConnection, str]:
    """A connection that opens with its first request, and what stands in front of every path there."""
    if place.unix is not None:
        return _UnixConnection(place.unix), ""
    try:
        parts = urlsplit(place.url)
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port = None, None
    if not host or parts.scheme not in ("http", "https"):
        raise DoorwardError("the address is not an http:// or https:// URL")
    if "@" in parts.netloc:
        raise DoorwardError("the address holds a user name or password, which is not supported")
    if parts.scheme == "https":
        return http.client.HTTPSConnection(host, port, timeout=PATIENCE, context=ssl.create_default_context()), parts.path
    return http.client.HTTPConnection(host, port, timeout=PATIENCE), parts.path


@final
class _UnixConnection(http.client.HTTPConnection):
    """HTTP over a Unix socket; the host of its requests is only a name."""

    def __init__(self, path: str) -> None:
        super().__init__("doorward", timeout=PATIENCE)
        self._file: Final = path

    def connect(self) -> None:
        """Connect to the socket in place of a host."""
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(PATIENCE)
        self.sock.connect(self._file)
