"""One connection to an upstream: sends a request, collects the response head, passes the body on; knows no credentials."""

import asyncio
import ssl
from collections.abc import Callable
from typing import Final, final

from gateway.errors import Refusal
from gateway.http.body import Body, ClosedBody
from gateway.http.chunked import BrokenChunkError
from gateway.http.downstream import Downstream
from gateway.http.metered import MeteredBody
from gateway.http.outbound import PoolKey
from gateway.http.read_body import ReadBody
from gateway.http.scrubbed_body import ScrubbedClosedBody
from gateway.http.scrubbed_messages import ScrubbedMessages
from gateway.http.sender import Sender, Turn
from gateway.http.tls_watch import LiveContext
from gateway.http.waiting import Wait

HeadWait = Wait[bytes]
BodyWait = Wait[None]


class StaleConnectionError(Refusal):
    """The upstream closed a connection before it answered anything: it may not even have seen the request."""

    def __init__(self) -> None:
        super().__init__(
            "upstream_failed", "The upstream closed the connection without an answer.", error="connection_terminated"
        )


@final
class UpstreamConnection(Sender):
    """The upstream's side of an exchange. Between exchanges it lies in the pool, and any byte then ends it."""

    __slots__ = (
        "_ahead",
        "_body",
        "_body_wait",
        "_caller",
        "_congested",
        "_head_wait",
        "_held",
        "_largest_head",
        "_lost",
        "_silent",
        "_tcp",
        "_tls",
        "deadline",
        "key",
    )

    _tcp: asyncio.Transport

    def __init__(self, key: PoolKey, lost: Callable[["UpstreamConnection"], None], largest_head: int, turn: Turn) -> None:
        """`lost` is called when the connection is gone, `largest_head` is in bytes."""
        super().__init__(turn)
        self.key: Final = key
        self.deadline = 0
        """When it has lain idle for too long, in ticks of the sweep."""
        self._lost: Final = lost
        self._largest_head: Final = largest_head
        self._caller: Downstream | None = None
        self._head_wait: HeadWait | None = None
        self._body_wait: BodyWait | None = None
        self._body: Body | None = None
        self._ahead = b""
        self._silent = True
        self._held = False
        self._congested = False
        self._tls: tuple[LiveContext, ssl.SSLContext] | None = None

    # What asyncio calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The upstream has accepted."""
        super().connection_made(transport)
        self._tcp = self._transport

    def secured(self, transport: asyncio.Transport, tcp: asyncio.Transport, live: LiveContext, context: ssl.SSLContext) -> None:
        """The same over TLS: `transport` encrypts for `tcp`, by the `context` that `live` had when it was dialled."""
        self._transport = transport
        # It is TCP that is paused: a TLS transport holds back what has come, and drops it when the connection ends.
        self._tcp = tcp
        self._tls = (live, context)

    def connection_lost(self, error: Exception | None) -> None:
        """The upstream has closed or reset; a body ends well that has come whole, or is delimited by that."""
        self._lost(self)
        caller, body = self._caller, self._body
        if caller is None:
            return
        if isinstance(body, MeteredBody) and body.arrived:
            return  # what is held back of it passes when the meter allows
        if isinstance(body, (ClosedBody, ScrubbedClosedBody, ScrubbedMessages)) and self._is_end(error):
            caller.send(body.end())
            self._ended(caller)
        elif isinstance(body, (ReadBody, MeteredBody)) and body.open_ended and self._is_end(error):
            self._end_read(caller, body)
        elif self._silent and isinstance(error, ssl.SSLError):
            told = "The upstream ended the TLS connection with an alert."
            caller.interrupt(Refusal("upstream_failed", told, error="tls_alert_received"))
        elif self._silent:
            caller.interrupt(StaleConnectionError())
        else:
            caller.interrupt(_incomplete())

    def data_received(self, data: bytes) -> None:
        """Bytes of a response head or body; outside an exchange they could be read as the next caller's answer."""
        caller = self._caller
        self._silent = False
        if caller is None:
            self._transport.abort()
        elif self._body is not None:
            self._pass_on(caller, self._body, data)
        else:
            self._ahead = self._ahead + data if self._ahead else data
            self._look_for_head()

    def pause_writing(self) -> None:
        """The upstream reads slower than the client writes."""
        self._congested = True
        if self._caller is not None:
            self._caller.hold()

    def resume_writing(self) -> None:
        """The upstream has caught up."""
        self._congested = False
        if self._caller is not None:
            self._caller.release_hold()

    # What the relay calls.

    def begin(self, caller: Downstream, head: bytes) -> None:
        """Send the head of a request. Raises `StaleConnectionError` if the connection is closing already."""
        if self._transport.is_closing():
            raise StaleConnectionError
        self._caller = caller
        self._silent = True
        self.send(head)

    def hold(self) -> None:
        """Stop reading the response: the caller is slow."""
        if not self._held and not self._transport.is_closing():
            self._held = True
            self._tcp.pause_reading()

    def release_hold(self) -> None:
        """Go on reading."""
        if self._held and not self._transport.is_closing():
            self._held = False
            self._tcp.resume_reading()

    def head_or_later(self, wait: HeadWait) -> bytes | None:
        """The next response head, interim or final, without its final empty line; None if `wait` has to be awaited for it."""
        if self._ahead:  # an interim response came with the head that follows it, and perhaps with the end of the connection
            head = self._whole_head()
            if head is not None:
                return head
        self._head_wait = wait
        return None

    def take_body(self, body: Body) -> bytes:
        """What has come of the body so far; the rest is passed on as it comes. Raises `Refusal`."""
        self._body = body
        ahead, self._ahead = self._ahead, b""
        try:
            return body.feed(ahead)
        except BrokenChunkError as error:
            raise _broken(error) from None

    def go_on(self, body: MeteredBody) -> None:
        """Pass on what this body held back, and read on."""
        caller = self._caller
        if caller is None:
            return
        caller.send(body.release())
        caller.still_moving()
        if not caller.full:
            self.release_hold()
        if body.done:
            self._ended(caller)

    async def rest_of_body(self, wait: BodyWait) -> None:
        """Wait until the body has been passed on whole."""
        self._body_wait = wait
        await wait

    @property
    def outdated(self) -> bool:
        """Whether it shows or trusts certificates that have been replaced since."""
        return self._tls is not None and self._tls[0].context is not self._tls[1]

    @property
    def payload(self) -> int:
        """Bytes of content of the response so far."""
        return self._body.payload if self._body is not None else 0

    def finish(self) -> bool:
        """End the exchange; true if the connection is clean: nothing is left over in either direction."""
        clean = self._body is not None and self._body.done and not self._body.rest and not self._ahead and not self._congested
        self.release_hold()
        self._caller = self._body = self._head_wait = self._body_wait = None
        self._ahead = b""
        return clean and not self._transport.is_closing()

    def abort(self) -> None:
        """End the connection at once; what is half sent must not look whole."""
        self._transport.abort()

    def expire(self) -> None:
        """It has lain idle for too long, or takes too long to end."""
        if self._transport.is_closing():
            self._transport.abort()
        else:
            self._transport.close()

    # Between the two.

    def _is_end(self, error: Exception | None) -> bool:
        """Whether the upstream meant to end here. Over TLS only a close_notify says so; it could be a cut (RFC 9112 §9.8)."""
        if self._tls is None:
            return error is None
        tls: ssl.SSLObject = self._transport.get_extra_info("ssl_object")
        try:
            return not tls.read(1)
        except ssl.SSLError as state:
            return isinstance(state, ssl.SSLZeroReturnError)

    def _look_for_head(self) -> None:
        wait, caller = self._head_wait, self._caller
        if wait is None or caller is None:
            return
        try:
            head = self._whole_head()
        except Refusal as refusal:
            caller.interrupt(refusal)
        else:
            if head is not None:
                self._head_wait = None
                caller.resume(wait, head)

    def _whole_head(self) -> bytes | None:
        """Take the next head off what has come; None if it is not there yet. Raises `Refusal` if it cannot become one."""
        end = self._ahead.find(b"\r\n\r\n")
        if 0 <= end <= self._largest_head:
            head, self._ahead = self._ahead[:end], self._ahead[end + 4 :]
            return head
        if self._ahead.count(b"\n") != self._ahead.count(b"\r\n"):
            raise Refusal("upstream_failed", "The upstream ends a line of its response head in LF without CR.")
        if len(self._ahead) > self._largest_head:
            raise _too_large()
        return None

    def _pass_on(self, caller: Downstream, body: Body, data: bytes) -> None:
        try:
            passed = body.feed(data)
        except BrokenChunkError as error:
            caller.interrupt(_broken(error))
            return
        except Refusal as refusal:
            caller.interrupt(refusal)
            return
        if passed:
            caller.send(passed)
        caller.still_moving()
        if body.done:
            self._ended(caller)

    def _end_read(self, caller: Downstream, body: ReadBody | MeteredBody) -> None:
        try:
            caller.send(body.end())
        except Refusal as refusal:
            caller.interrupt(refusal)
            return
        if body.done:
            self._ended(caller)

    def _ended(self, caller: Downstream) -> None:
        if self._body_wait is not None:
            caller.resume(self._body_wait, None)


def _incomplete() -> Refusal:
    return Refusal(
        "upstream_failed",
        "The upstream closed the connection before its response was complete.",
        error="http_response_incomplete",
    )


def _too_large() -> Refusal:
    return Refusal("upstream_failed", "The upstream's response head is too large.", error="http_response_header_section_size")


def _broken(error: BrokenChunkError) -> Refusal:
    return Refusal(
        "upstream_failed", f"The upstream's chunked response is broken: {error}", error="http_response_transfer_coding"
    )
