"""One client connection: collects heads, follows request bodies, drives the life of a request; knows no steps of that life."""

import asyncio
import socket
import struct
from collections.abc import Coroutine
from typing import Any, Final, cast, final

from gateway.errors import Interrupted, Refusal
from gateway.http.answer import CONTINUE, problem
from gateway.http.body import Body, ClosedBody, follow
from gateway.http.chunked import BrokenChunkError
from gateway.http.deadlines import ticks
from gateway.http.framing import Delimiter
from gateway.http.head import RequestHead
from gateway.http.house import House, Receiver
from gateway.http.sender import Sender
from gateway.http.waiting import Wait
from gateway.model import Outcome

EARLY: Final = 64 * 1024
"""Bytes of a request body that are held until there is an upstream to send them to."""
LINGERING_BYTES: Final = 1024 * 1024
LINGERING_SECONDS: Final = 2.0
"""How much and how long an unwanted body is read, so that the caller gets to see the answer before the connection ends."""

# Closing throws away what is unsent and says so to the peer (RST): SO_LINGER, on, for no time.
_RESET: Final = struct.pack("ii", 1, 0)


class _Because:
    """Why a client is not read from; reasons add up."""

    UPSTREAM_FULL: Final = 1
    TOO_EARLY: Final = 2
    TOO_FAR_AHEAD: Final = 4


@final
class Downstream(Sender):
    """The client's side of an exchange. One request at a time; what a client sends ahead waits, bounded."""

    __slots__ = (
        "_ahead",
        "_early",
        "_fault",
        "_full",
        "_holds",
        "_house",
        "_keep",
        "_life",
        "_lingering",
        "_method",
        "_patience",
        "_raw",
        "_receiver",
        "_reset",
        "_waiting",
        "answered",
        "body",
        "deadline",
        "source",
    )

    def __init__(self, house: House) -> None:
        super().__init__(house.sweep.turn)
        self._house: Final = house
        self.source = "unix"
        self.deadline = house.sweep.tick + house.idle_ticks
        self._patience = 0
        self._life: Coroutine[Wait[Any], Any, None] | None = None
        self._waiting: Wait[Any] | None = None
        self._ahead = b""
        self._raw = b""
        self._fault: Refusal | None = None
        self._holds = 0
        self._full = False
        self._lingering: int | None = None
        self._reset = False
        """Whether an answer that is cut has to be reset: an HTTP/1.0 client takes any other end for the end of the answer."""
        self._begin_exchange()

    def _begin_exchange(self) -> None:
        self.body: Body | None = None
        """Follows the request body; None until the head is parsed."""
        self.answered = False
        """Whether the head of an answer has gone out."""
        self._early: list[bytes] = []
        self._receiver: Receiver | None = None
        self._keep = False
        self._method = ""

    # What asyncio calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client has connected."""
        self._transport = cast("asyncio.Transport", transport)
        peer = transport.get_extra_info("peername")
        if isinstance(peer, tuple):
            self.source = peer[0]
        house = self._house
        if len(house.connections) >= house.limits.connections:
            answer, _ = problem(Refusal("overloaded", retry_after=1), "", keep=False, without_body=False)
            self._transport.write(answer)
            self._transport.close()
            return
        house.connections.add(self)
        house.sweep.watched.add(self)

    def connection_lost(self, _error: Exception | None) -> None:
        """The client is gone; an exchange in flight ends with it."""
        self._house.connections.discard(self)
        self._house.sweep.watched.discard(self)
        self.interrupt(Interrupted("client_gone"))

    def data_received(self, data: bytes) -> None:
        """Bytes of a head, of a body, or of a request sent ahead."""
        if self._lingering is not None:
            self._discard(data)
        elif self._life is None and not self._full:
            self._collect(self._ahead + data if self._ahead else data)
        elif self.body is not None and not self.body.done:
            self._receive_body(self.body, data)
        else:
            self._keep_ahead(data)

    def pause_writing(self) -> None:
        """The client reads slower than it is written to; it gets no further answer before it has caught up."""
        self._full = True
        if self._receiver is not None:
            self._receiver.hold()

    def resume_writing(self) -> None:
        """The client has caught up."""
        self._full = False
        if self._receiver is not None:
            self._receiver.release_hold()
        elif self._life is None and self._ahead:
            self._go_on()

    def expire(self) -> None:
        """The deadline has gone by: of the request that waits, of a head that is late, or of an idle connection."""
        if self._waiting is not None:
            self.interrupt(self._waiting.overdue())
        elif self._life is None and self._ahead and self._lingering is None and not self._full:
            self._refuse_head(Refusal("request_malformed", "The request head did not arrive in time."))
        else:
            self._transport.abort()

    # Driving the life of a request.

    def resume(self, wait: Wait[Any], value: object) -> None:
        """Let the request go on, if this is still what it waits for."""
        if self._waiting is wait:
            self._step(value, None)

    def interrupt(self, error: Exception) -> None:
        """Throw an error into the request where it waits."""
        if self._waiting is not None:
            self._step(None, error)

    @property
    def body_done(self) -> bool:
        """Whether the request body has come in whole."""
        return self.body is not None and self.body.done

    @property
    def full(self) -> bool:
        """Whether the client has yet to read what was written to it."""
        return self._full

    @property
    def scheme(self) -> str:
        """`https` if the connection is one of TLS, else `http`."""
        return "http" if self._transport.get_extra_info("ssl_object") is None else "https"

    @property
    def received(self) -> int:
        """Bytes of content that came in with this request."""
        return self.body.payload if self.body is not None else 0

    @property
    def peer_certificate(self) -> bytes | None:
        """The certificate that the client showed and that was verified, in DER; None without one."""
        tls = self._transport.get_extra_info("ssl_object")
        return None if tls is None else cast("bytes | None", tls.getpeercert(binary_form=True))

    def abort(self) -> None:
        """End the connection at once; what is half sent must not look whole."""
        self.flush()
        if self._reset:
            self._transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        self._transport.abort()

    def close_when_idle(self) -> None:
        """Drain: close now, or after the request in flight."""
        if self._life is None and self._lingering is None:
            self.close()

    def _step(self, value: object, error: Exception | None) -> None:
        life = self._life
        if life is None:
            return
        self._waiting = None
        try:
            wait = life.send(value) if error is None else life.throw(error)
        except StopIteration:
            self._finish()
        else:
            self._waiting = wait
            self._patience = ticks(wait.seconds)
            self.deadline = self._house.sweep.tick + self._patience

    def still_moving(self) -> None:
        """Bytes went one way or the other: what the request waits for is not late yet."""
        self.deadline = self._house.sweep.tick + self._patience

    # What the steps of a request call.

    def take_head(self) -> bytes:
        """The head without its final empty line. Raises the `Refusal` for one that never became a head."""
        if self._fault is not None:
            raise self._fault
        return self._raw

    def expect(self, head: RequestHead) -> None:
        """Follow the body that the parsed head announces. Raises `Refusal` for one that is too large or broken."""
        self._method = head.method
        self._keep = head.keep and head.upgrade is None and not self._house.draining
        if head.http_1_0:
            self._reset = True
        self.body = follow(head.framing, framed=head.upgrade is None)
        ahead, self._ahead = self._ahead, b""
        if head.framing.by == Delimiter.LENGTH and head.framing.length > self._house.largest_body:
            raise Refusal("body_too_large", f"The gateway admits {self._house.largest_body} bytes.")
        if ahead:
            self._accept_body(self.body, ahead)

    def start_sending(self, receiver: Receiver, *, invite: bool) -> None:
        """From now on the body goes to `receiver`; `invite` answers `Expect: 100-continue`."""
        self._receiver = receiver
        if self._full:
            receiver.hold()
        if invite and not self.answered and self.body is not None and not self.body.done and not self._early:
            self.send(CONTINUE)
        if self._early:
            receiver.send(b"".join(self._early))
            self._early.clear()
        self._free(_Because.TOO_EARLY)

    def stop_sending(self) -> None:
        """The exchange with the upstream is over."""
        self._receiver = None
        self._free(_Because.UPSTREAM_FULL)

    def hold(self) -> None:
        """Stop reading the request: the upstream is slow."""
        self._hold(_Because.UPSTREAM_FULL)

    def release_hold(self) -> None:
        """Go on reading."""
        self._free(_Because.UPSTREAM_FULL)

    def start_answer(self, lines: list[bytes], first: bytes) -> None:
        """Send the head of the response, and what has come of its body."""
        if not self._keep or self._house.draining:
            self._keep = False
            lines.append(b"Connection: close")
        lines.append(b"\r\n" + first)
        self.answered = True
        self.send(b"\r\n".join(lines))

    def refuse(self, refusal: Refusal, request_id: str, outcome: Outcome) -> None:
        """Answer with the problem; if an answer has begun already, cut it so that the caller can tell."""
        outcome.code = refusal.code
        if self._transport.is_closing():
            outcome.ending = "client_gone"
        elif self.answered:
            outcome.ending = "cut"
            self._keep = False
            if self._reset:
                self.abort()
        else:
            outcome.ending = "refused"
            outcome.status = refusal.problem.status
            self._keep = self._keep and self.body_done and not self._house.draining
            answer, outcome.sent = problem(refusal, request_id, keep=self._keep, without_body=self._method == "HEAD")
            self.answered = True
            self.send(answer)

    # Between the two.

    def _collect(self, data: bytes) -> None:
        end = data.find(b"\r\n\r\n")
        if 0 <= end <= self._house.largest_head:
            self._ahead = data[end + 4 :]
            self._raw = data[:end]
            self._begin()
        elif len(data) > self._house.largest_head:
            self._refuse_head(Refusal("head_too_large", f"The gateway admits heads of {self._house.largest_head} bytes."))
        elif data.count(b"\n") != data.count(b"\r\n"):
            self._refuse_head(Refusal("request_malformed", "A line of the head ends in LF without CR."))
        else:
            if not self._ahead:  # the first bytes start the clock, later ones do not extend it
                self.deadline = self._house.sweep.tick + ticks(self._house.limits.head_timeout)
            self._ahead = data

    def _refuse_head(self, refusal: Refusal) -> None:
        self._fault = refusal
        self._ahead = b""
        self._begin()

    def _begin(self) -> None:
        self._begin_exchange()
        self._life = self._house.serve(self)
        self._step(None, None)

    def _finish(self) -> None:
        """The life of the request has ended: go on to the next, or end the connection."""
        self._life = None
        self._receiver = None
        if self._transport.is_closing():
            return
        if self.body is None or not self.body.done:
            self._linger()
        elif not self._keep or self._house.draining:
            self.close()
        else:
            self._free(_Because.TOO_EARLY)
            self.deadline = self._house.sweep.tick + self._house.idle_ticks
            if self._ahead and not self._full:
                asyncio.get_running_loop().call_soon(self._go_on)

    def _go_on(self) -> None:
        """Take up what the client has sent ahead."""
        if self._life is None and self._lingering is None and not self._full and not self._transport.is_closing():
            ahead, self._ahead = self._ahead, b""
            self._free(_Because.TOO_FAR_AHEAD)
            if ahead:
                self._collect(ahead)

    def _keep_ahead(self, data: bytes) -> None:
        self._ahead += data
        if len(self._ahead) > self._house.largest_head:
            self._hold(_Because.TOO_FAR_AHEAD)

    def _receive_body(self, body: Body, data: bytes) -> None:
        try:
            self._accept_body(body, data)
        except Refusal as refusal:
            self.interrupt(refusal)
        else:
            self.still_moving()

    def _accept_body(self, body: Body, data: bytes) -> None:
        try:
            passed = body.feed(data)
        except BrokenChunkError as error:
            raise Refusal("request_malformed", str(error)) from None
        if body.payload > self._house.largest_body and not isinstance(body, ClosedBody):  # a tunnel has no total limit
            raise Refusal("body_too_large", f"The gateway admits {self._house.largest_body} bytes.")
        if body.done and body.rest:
            self._keep_ahead(body.rest)
            body.rest = b""
        if not passed:
            return
        if self._receiver is not None:
            self._receiver.send(passed)
        else:
            self._early.append(passed)
            if sum(map(len, self._early)) > EARLY:
                self._hold(_Because.TOO_EARLY)

    def _linger(self) -> None:
        """Say that nothing more will come, then read a little of what is still under way (RFC 9112 §9.6)."""
        self._lingering = 0
        self._ahead = b""
        self.deadline = self._house.sweep.tick + ticks(LINGERING_SECONDS)
        self._free(self._holds)
        if self._transport.can_write_eof():  # over TLS the answer alone says it: to close would be to stop reading
            self.flush()
            self._transport.write_eof()

    def _discard(self, data: bytes) -> None:
        self._lingering = (self._lingering or 0) + len(data)
        if self._lingering > LINGERING_BYTES:
            self.close()

    def _hold(self, reason: int) -> None:
        if not self._holds and not self._transport.is_closing():
            self._transport.pause_reading()
        self._holds |= reason

    def _free(self, reason: int) -> None:
        if self._holds & reason:
            self._holds &= ~reason
            if not self._holds and not self._transport.is_closing():
                self._transport.resume_reading()
