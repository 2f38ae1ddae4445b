"""Where an authority in another process is, and how it is spoken to; opens no connection."""

import ssl
from typing import NamedTuple

from gateway.http.tls_watch import LiveContext


class Place(NamedTuple):
    """The URL in front of every path, the Unix socket if it is one, and TLS if it speaks it."""

    url: str
    unix: str | None = None
    tls: LiveContext | None = None

    @property
    def context(self) -> ssl.SSLContext | None:
        """TLS as its files are now."""
        return None if self.tls is None else self.tls.context
