"""Sends what connections have to send at the end of each turn of the event loop; knows nothing of what the bytes say.

A write wakes its reader. A turn that serves many requests and writes for each at once wakes the other side again and again,
while it falls asleep between them; a turn that writes everything at its end wakes it once. That halves what a request costs.
Where turns have had one sender each for a while there is nobody to wait for, and what is sent need not wait for work that
follows it, such as the closing of a record.
"""

import asyncio
from collections.abc import Callable
from typing import Final, cast, final

LARGE: Final = 16 * 1024
"""Bytes from which a part is sent at once: it costs more than a wake-up, and it must meet the brakes of a slow reader."""
CALM: Final = 8
"""How many turns in a row had no more than one sender, when a sender no longer waits for the end of its turn."""
MOST_PARTS: Final = 16
"""How many small parts of one connection wait for the end of a turn."""
UNSENT: Final = 0
"""Bytes that may wait for room in the kernel before the other side is read no more: the least rest of a read keeps it all."""


@final
class Turn:
    """The present turn of one event loop, and who has something to send at its end."""

    __slots__ = ("_alone", "_at_end", "_ending", "_senders", "_sent")

    def __init__(self, at_end: Callable[[Callable[[], None]], object] | None = None) -> None:
        """`at_end` calls what it is given when the turn ends; by default the running event loop does."""
        self._at_end: Final = at_end
        self._senders: list[Sender] = []
        self._ending = False
        self._sent = 0
        self._alone = 0

    def ends_with(self, sender: "Sender") -> None:
        """Flush the sender when the turn ends."""
        self._senders.append(sender)
        self._sent += 1
        if not self._ending:
            self._ending = True
            (self._at_end or asyncio.get_running_loop().call_soon)(self._end)

    def hurry(self) -> None:
        """Flush now, if by the turns before this one no other sender is to be expected."""
        if self._alone >= CALM:
            self._flush()

    def _end(self) -> None:
        self._ending = False
        self._alone = self._alone + 1 if self._sent <= 1 else 0
        self._sent = 0
        self._flush()

    def _flush(self) -> None:
        if self._senders:
            senders, self._senders = self._senders, []
            for sender in senders:
                sender.flush()


class Sender(asyncio.Protocol):
    """The sending side of a connection. Parts leave in the order in which they came, and all before it ends in good order."""

    __slots__ = ("_transport", "_turn", "_unsent")

    _transport: asyncio.Transport

    def __init__(self, turn: Turn) -> None:
        self._turn: Final = turn
        self._unsent: Final[list[bytes]] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """From now on there is somewhere to send to."""
        self._transport = cast("asyncio.Transport", transport)
        self._transport.set_write_buffer_limits(high=UNSENT)

    def send(self, data: bytes) -> None:
        """Send with everything else of this turn, or at once what is large."""
        unsent = self._unsent
        unsent.append(data)
        if len(data) >= LARGE or len(unsent) >= MOST_PARTS:
            self.flush()
        elif len(unsent) == 1:
            self._turn.ends_with(self)

    def send_with(self, head: bytes, first: bytes) -> None:
        """Send a head with what has come of its body. They leave together, and what is large is not copied for that."""
        if len(first) < LARGE:
            self.send(head + first)
        else:
            self.send(head)
            self.send(first)

    def flush(self) -> None:
        """Hand over to the kernel what waits; a connection that is closing loses it."""
        unsent = self._unsent
        if not unsent:
            return
        if not self._transport.is_closing():
            if len(unsent) == 1:
                self._transport.write(unsent[0])
            else:
                self._transport.writelines(unsent)
        unsent.clear()

    @property
    def closing(self) -> bool:
        """Whether it has ended or is about to, so that nothing more can be sent."""
        return self._transport.is_closing()

    @property
    def scheme(self) -> str:
        """`https` if the connection is one of TLS, else `http`."""
        return "http" if self._transport.get_extra_info("ssl_object") is None else "https"

    @property
    def peer_certificate(self) -> bytes | None:
        """The certificate that the other side showed and that was verified, in DER; None without one."""
        tls = self._transport.get_extra_info("ssl_object")
        return None if tls is None else cast("bytes | None", tls.getpeercert(binary_form=True))

    def close(self) -> None:
        """Send what waits, then end the connection in good order."""
        self.flush()
        self._transport.close()
