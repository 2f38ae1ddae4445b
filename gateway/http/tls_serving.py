"""The server's side of TLS handshakes: a client that is refused is told why by an alert; knows no certificates and no sockets.

Event loops close a connection whose handshake has failed before they have sent what OpenSSL has to say of it. So they are
told one step later: first the alert goes out (RFC 8446 §6.2), and the failure follows when the client says anything more. A
client that does not leave then has the time of a handshake for it, and no longer.
"""

import ssl
from collections import deque
from typing import Final, cast, final

MOST_REFUSALS: Final = 64
"""How many reasons wait for those who waited for the handshakes; of more the oldest are forgotten."""


@final
class ServingContext(ssl.SSLContext):
    """A context for those who call us. `refusals` are the reasons of handshakes that failed, for whoever tells of them.

    `own_authorities` (DER) are those of its own file where others may vouch for clients too; None where they alone do.
    """

    refusals: deque[ssl.SSLError]
    own_authorities: tuple[bytes, ...] | None

    def __new__(cls) -> "ServingContext":
        """Make one without certificates."""
        made = super().__new__(cls, ssl.PROTOCOL_TLS_SERVER)
        made.refusals = deque(maxlen=MOST_REFUSALS)
        made.own_authorities = None
        made.sslobject_class = _Refusing
        return made

    def wrap_bio(
        self,
        incoming: ssl.MemoryBIO,
        outgoing: ssl.MemoryBIO,
        server_side: bool = False,  # noqa: FBT001, FBT002 the standard library has it so
        server_hostname: str | bytes | None = None,
        session: ssl.SSLSession | None = None,
    ) -> ssl.SSLObject:
        """Begin one connection."""
        made = cast("_Refusing", super().wrap_bio(incoming, outgoing, server_side, server_hostname, session))
        made.outgoing = outgoing
        return made


@final
class _Refusing(ssl.SSLObject):
    """One connection. A handshake that fails seems to want more while there is an alert to be sent."""

    outgoing: ssl.MemoryBIO
    failure: ssl.SSLError | None = None

    def do_handshake(self) -> None:
        """Go on with the handshake. Raises `ssl.SSLError`."""
        if self.failure is not None:
            raise self.failure
        try:
            super().do_handshake()
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            raise
        except ssl.SSLError as error:
            cast("ServingContext", self.context).refusals.append(error)
            if not self.outgoing.pending:  # it does not even speak TLS
                raise
            self.failure = error
            raise ssl.SSLWantReadError from None
