"""Where an agent's authority and gateway are, and who the agent is; keeps no task and sends nothing itself."""

import os
import ssl
from collections.abc import Mapping
from typing import Final, final
from urllib.parse import urlsplit

from gateway.client.calls import Calls
from gateway.client.errors import MisusedError
from gateway.client.identity import Identity, UnixPeer
from gateway.client.task import Task
from gateway.client.wire import Wire

AUTHORITY: Final = "DOORWARD_AUTHORITY"
"""The environment variable that names the authority, as `unix:PATH` or as a URL."""
GATEWAY: Final = "DOORWARD_GATEWAY"
"""The one that names the gateway, as a URL."""


@final
class Client:
    """Makes tasks. It holds no connection, so it may live as long as the program and be used by all of its threads."""

    def __init__(
        self,
        *,
        authority: str | None = None,
        gateway: str | None = None,
        identity: Identity | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        """What is left out is taken from the environment (`AUTHORITY`, `GATEWAY`); without `identity` it is this user.

        `tls` is used for an `https://` authority instead of the system's certificates. Raises `MisusedError`.
        """
        named = os.environ.get(AUTHORITY, "") if authority is None else authority
        if not named:
            raise MisusedError(f"name the authority: Client(authority=...), or the environment variable {AUTHORITY}")
        self._calls: Final = Calls(Wire(named, tls), UnixPeer() if identity is None else identity)
        self._gateway: Final = _origin(os.environ.get(GATEWAY, "") if gateway is None else gateway)

    def task(self, *intents: str, params: Mapping[str, str] | None = None) -> Task:
        """A task for these intents, which is opened when its `with` or `async with` block begins. Raises `MisusedError`."""
        if not intents:
            raise MisusedError("say what the task is for, as in task('invoices.read')")
        return Task(self._calls, self._gateway, intents, params or {})


def _origin(text: str) -> str:
    """The address without a slash at its end; empty if none is known, for whoever needs only tokens."""
    address = text.rstrip("/")
    parts = urlsplit(address)
    if address and (parts.scheme not in ("http", "https") or not parts.hostname or parts.query or "@" in parts.netloc):
        raise MisusedError("the address of the gateway has to be http://... or https://...")
    return address
