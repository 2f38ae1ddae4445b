"""How connections end without losing an answer, and how it is noticed that a client has left; knows nothing of requests."""

import asyncio
import select
import socket
import struct
from typing import Final

from gateway.errors import Refusal
from gateway.http.answer import problem

LINGERING_BYTES: Final = 1024 * 1024
LINGERING_SECONDS: Final = 2.0
"""How much and how long a client is read after its last answer, so that it sees the answer before the connection ends."""

# Closing throws away what is unsent and says so to the peer (RST): SO_LINGER, on, for no time.
_RESET: Final = struct.pack("ii", 1, 0)
# Where this is not known, only a reset is noticed.
_NO_MORE: Final[int] = getattr(select, "POLLRDHUP", 0)


def turn_away(transport: asyncio.Transport) -> None:
    """Answer a client for which there is no place, before it has asked anything."""
    answer, _ = problem(Refusal("overloaded", retry_after=1), "", keep=False, without_body=False)
    transport.write(answer)
    transport.close()


def reset_at_the_end(transport: asyncio.Transport) -> None:
    """Let the end of the connection be one that nobody takes for the end of an answer."""
    transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)


def has_left(transport: asyncio.Transport) -> bool:
    """Whether the peer of a connection that nobody reads has ended its side, or reset it; asked without reading anything."""
    asked = select.poll()
    asked.register(transport.get_extra_info("socket").fileno(), _NO_MORE)
    return bool(asked.poll(0))
