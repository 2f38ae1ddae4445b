"""What the server's side of TLS knows beyond a context of the standard library; knows no certificates and no sockets."""

import ssl
from typing import final


@final
class ServingContext(ssl.SSLContext):
    """A context for those who call us.

    `own_authorities` (DER) are those of its own file where others may vouch for clients too; None where they alone do.
    """

    own_authorities: tuple[bytes, ...] | None

    def __new__(cls) -> "ServingContext":
        """Make one without certificates."""
        made = super().__new__(cls, ssl.PROTOCOL_TLS_SERVER)
        made.own_authorities = None
        return made
