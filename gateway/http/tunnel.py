"""Carries what both sides of an upgraded connection say until one of them ends it; knows nothing of what it means."""

from functools import partial
from typing import Final, final

from gateway.errors import Interrupted, Refusal
from gateway.http.body import Body
from gateway.http.downstream import Downstream
from gateway.http.house import Receiver
from gateway.http.metered import MeteredBody
from gateway.http.scrubbed_messages import ScrubbedMessages
from gateway.http.upstream import UpstreamConnection
from gateway.http.waiting import Wait
from gateway.http.websocket import CLOSING, closing_frame


@final
class Unheard:
    """Where a client's bytes go that it meant for a tunnel which was not opened; its reading still sets the pace."""

    __slots__ = ("_connection",)

    def __init__(self, connection: UpstreamConnection) -> None:
        self._connection: Final = connection

    def send(self, data: bytes) -> None:
        """Throw them away: to the upstream they would be the next request."""

    def hold(self) -> None:
        """Stop reading the response: the caller is slow."""
        self._connection.hold()

    def release_hold(self) -> None:
        """Go on reading."""
        self._connection.release_hold()


async def carry(
    connection: UpstreamConnection, sender: Receiver, caller: Downstream, *, lines: list[bytes], body: Body, patience: float
) -> None:
    """Answer the caller with these lines, then let bytes pass both ways until the upstream ends its side.

    What the caller says goes to `sender`, and what it has sent ahead goes out only now. `patience` is how many seconds may
    pass without a byte in either direction; there is no total limit. Raises `Interrupted` or `Refusal` if anything else ends
    the tunnel. A caller whose access has ended is told so in a frame, if it is known where one may stand.
    """
    caller.send(b"\r\n".join([*lines, b"\r\n" + connection.take_body(body)]))
    caller.answered = True
    caller.start_sending(sender, invite=False)
    try:
        await connection.rest_of_body(Wait(patience, partial(_stood_still, caller)))
    except Refusal as refusal:
        if isinstance(body, (ScrubbedMessages, MeteredBody)) and body.between_frames and refusal.code in CLOSING:
            caller.send(closing_frame(CLOSING[refusal.code], refusal.code))
        raise


def _stood_still(caller: Downstream) -> Exception:
    return Interrupted("client_stalled" if caller.full else "idle")
