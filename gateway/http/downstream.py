"""One client connection: collects heads, follows request bodies, drives the life of a request; knows no steps of that life."""

import asyncio
from collections.abc import Coroutine
from typing import Any, Final, final

from gateway.errors import Interrupted, Refusal
from gateway.http.answer import CONTINUE, ENDS, GOES_ON, call_of, problem
from gateway.http.body import Body, ClosedBody, follow
from gateway.http.challenges import challenges
from gateway.http.chunked import BrokenChunkError
from gateway.http.deadlines import ticks
from gateway.http.door import source_of
from gateway.http.early import Early
from gateway.http.framing import Delimiter
from gateway.http.head import RequestHead
from gateway.http.holds import Because
from gateway.http.house import House, Receiver
from gateway.http.metered import Meter
from gateway.http.parting import LINGERING_BYTES, LINGERING_SECONDS, has_left, reset_at_the_end, turn_away
from gateway.http.read_body import Answers
from gateway.http.sender import Sender
from gateway.http.waiting import Wait
from gateway.model import Outcome, Principal, Upstream


@final
class Downstream(Sender):
    """The client's side of an exchange. One request at a time; what a client sends ahead waits, bounded."""

    __slots__ = ("_ahead", "_early", "_fault", "_full", "_holds", "_house", "_keep", "_life", "_lingering", "_method",
                 "_patience", "_raw", "_receiver", "_reset", "_waiting", "answered", "answers", "awaited", "bearer", "body",
                 "deadline", "meter", "notices", "source")  # fmt: skip

    def __init__(self, house: House) -> None:
        super().__init__(house.sweep.turn)
        self._house: Final = house
        self.source = ""
        self.deadline = house.sweep.tick + house.idle_ticks
        self._patience = 0
        self._life: Coroutine[Wait[Any], Any, None] | None = None
        self._waiting: Wait[Any] | None = None
        self._ahead = self._raw = b""
        self._fault: Refusal | None = None
        self._holds = 0
        self._full = False
        self._lingering: int | None = None
        self._reset = False
        """Whether an answer that is cut has to be reset: an HTTP/1.0 client takes any other end for the end of the answer."""
        self.bearer: Principal | None = None  # whose exchange is under way, for those who end it; nothing here reads it
        self.awaited: Final = house.awaited
        self._early: Final = Early(house.largest_body)
        self._begin_exchange()

    def _begin_exchange(self) -> None:
        self.body: Body | None = None  # follows the request body; None until the head is parsed
        self.answered = False  # whether the head of an answer has gone out
        self.answers: Answers | None = None  # reads the answers, where the upstream's protocol asks for that
        self.meter: Meter | None = None  # takes the bytes of both bodies before they pass, where a limit counts them
        self.notices: tuple[bytes, ...] = ()  # lines that the answer carries besides, for the caller alone
        self._early.begin()
        self._receiver: Receiver | None = None
        self._keep = False
        self._method = ""

    # What asyncio calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client has connected."""
        super().connection_made(transport)
        house, self.source = self._house, source_of(transport)
        if not self.source:
            self._transport.abort()
            return
        if len(house.connections) >= house.limits.connections:
            house.turned_away += 1
            turn_away(self._transport)
            return
        house.connections.add(self)
        house.sweep.watched.add(self)

    def connection_lost(self, _error: Exception | None) -> None:
        """The client is gone; an exchange in flight ends with it."""
        self._house.leave(self)
        self.interrupt(Interrupted("client_gone"))

    def eof_received(self) -> None:
        """The client says nothing more: as with other proxies it has left, though what was sent to it may still arrive."""
        self.close()
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
        """The deadline has gone by: of the request that waits, of a head that is late, or of an idle or ending connection."""
        if self._waiting is not None:
            self.interrupt(self._waiting.overdue())
        elif self._life is None and self._ahead and self._lingering is None and not self._full:
            self._refuse_head(Refusal("request_malformed", "The request head did not arrive in time."))
        elif self._lingering is not None and not self._transport.is_closing():
            self.deadline = self._house.sweep.tick + self._house.idle_ticks
            self.close()
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
    def received(self) -> int:
        """Bytes of content that came in with this request."""
        return self.body.payload if self.body is not None else 0

    def abort(self) -> None:
        """End the connection at once; what is half sent must not look whole."""
        self.flush()
        if self._reset:
            reset_at_the_end(self._transport)
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
            self._turn.hurry()

    def look(self) -> None:
        """See whether the client has left while nobody reads it. Of a tunnel, what it said last goes out before."""
        if not isinstance(self.body, ClosedBody) and not self._transport.is_closing() and has_left(self._transport):
            self.eof_received()

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
        self._reset = self._reset or head.http_1_0
        self.body = follow(head.framing, framed=head.upgrade is None)
        ahead, self._ahead = self._ahead, b""
        if head.framing.by == Delimiter.LENGTH and head.framing.length > self._early.largest:
            raise self._early.too_large()
        if ahead:
            self._accept_body(self.body, ahead)

    @property
    def held(self) -> bytes:
        """What has come of the body and goes on later, in the framing that it goes on with."""
        return self._early.held

    def look_ahead(self, most: int, head: RequestHead) -> Wait[None] | None:
        """What to wait for until the body is here whole, None if it is. More content than `most` bytes raises a `Refusal`."""
        body, seconds = self.body, self._house.limits.idle_timeout
        wait = None if body is None else self._early.look(body, head.framing.length, most, seconds)
        if wait is not None:
            if head.expects_continue and not self._early.held:
                self.send(CONTINUE)
            self._free(Because.TOO_EARLY)
        return wait

    def start_sending(self, receiver: Receiver, *, invite: bool) -> None:
        """From now on the body goes to `receiver`; `invite` answers `Expect: 100-continue`."""
        self._receiver = receiver
        if self._full:
            receiver.hold()
        if invite and not self.answered and self.body is not None and not self.body.done and not self._early.held:
            self.send(CONTINUE)
        if self._early.held:
            receiver.send(self._early.take())
        self._free(Because.TOO_EARLY)

    def stop_sending(self) -> None:
        """The exchange with the upstream is over."""
        self._receiver = None
        self._free(Because.UPSTREAM_FULL | Because.UNPAID)

    def hold(self) -> None:
        """Stop reading the request: the upstream is slow."""
        self._hold(Because.UPSTREAM_FULL)

    def release_hold(self) -> None:
        """Go on reading."""
        self._free(Because.UPSTREAM_FULL)

    def wait_for_meter(self, *, wait: bool) -> None:
        """Stop reading the request while what came of it last may not pass yet, then go on."""
        (self._hold if wait else self._free)(Because.UNPAID)

    def start_answer(self, head: bytes, first: bytes) -> None:
        """Send the head of the response, which comes without its final empty line, and what has come of its body."""
        self._keep = self._keep and not self._house.draining
        self.answered = True
        if self.notices:
            head = b"\r\n".join((head, *self.notices))
        self.send_with(head + (GOES_ON if self._keep else ENDS), first)
        self._turn.hurry()  # before the exchange is brought to its end

    def refuse(self, refusal: Refusal, request_id: str, outcome: Outcome, upstream: Upstream | None) -> None:
        """Answer with the problem; if an answer has begun already, cut it so that the caller can tell."""
        outcome.code = refusal.code
        if self._transport.is_closing():
            outcome.ending = "client_gone"
        elif self.answered:
            outcome.ending = "cut"
            self._keep = False
            if self._reset or self._full:  # who has yet to read what was sent gets no more of it
                self.abort()
            elif not self._transport.can_write_eof():  # TLS has no other way to say that this was all
                self.close()
        else:
            outcome.ending = "refused"
            outcome.status = refusal.problem.status
            self._keep = self._keep and self.body_done and not self._house.draining
            tried, call = challenges(refusal, upstream, self._raw), call_of(upstream, self.answers)
            answer, outcome.sent = problem(
                refusal, request_id, tried, call, keep=self._keep, without_body=self._method == "HEAD"
            )
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
        self._life = self.bearer = None
        self._receiver = None
        if self._transport.is_closing():
            return
        if not self._keep or self._house.draining or not self.body_done:
            self._part()
        else:
            self._free(Because.TOO_EARLY)
            self.deadline = self._house.sweep.tick + self._house.idle_ticks
            if self._ahead and not self._full:
                asyncio.get_running_loop().call_soon(self._go_on)

    def _go_on(self) -> None:
        """Take up what the client has sent ahead."""
        if self._life is None and self._lingering is None and not self._full and not self._transport.is_closing():
            ahead, self._ahead = self._ahead, b""
            self._free(Because.TOO_FAR_AHEAD)
            if ahead:
                self._collect(ahead)

    def _keep_ahead(self, data: bytes) -> None:
        self._ahead += data
        if len(self._ahead) > self._house.largest_head:
            self._hold(Because.TOO_FAR_AHEAD)

    def _receive_body(self, body: Body, data: bytes) -> None:
        try:
            self._accept_body(body, data)
        except Refusal as refusal:
            self.interrupt(refusal)
        else:
            if self._early.looking is None:
                self.still_moving()
            elif body.done:  # no other progress gives it more time
                self.resume(self._early.looking, None)

    def _accept_body(self, body: Body, data: bytes) -> None:
        try:
            passed = body.feed(data)
        except BrokenChunkError as error:
            raise Refusal("request_malformed", str(error)) from None
        if body.payload > self._early.largest and not isinstance(body, ClosedBody):  # a tunnel has no total limit
            raise self._early.too_large()
        if body.done and body.rest:
            self._keep_ahead(body.rest)
            body.rest = b""
        if not passed:
            return
        if self._receiver is not None:
            self._receiver.send(passed)
        elif self._early.hold(passed):
            self._hold(Because.TOO_EARLY)

    def _part(self) -> None:
        """End the connection, but read a little of what is still under way: else the answer could be lost (RFC 9112 §9.6)."""
        halves = self._transport.can_write_eof()
        if not halves and (isinstance(self.body, ClosedBody) or (self.body_done and not self._ahead)):
            self.close()  # TLS cannot end one direction alone, and a client that waits for the end would wait for all of it
            return
        self._lingering = 0
        self._ahead = b""
        self.deadline = self._house.sweep.tick + ticks(LINGERING_SECONDS)
        self._free(self._holds)
        if halves:
            self.flush()
            self._transport.write_eof()

    def _discard(self, data: bytes) -> None:
        self._lingering = (self._lingering or 0) + len(data)
        if self._lingering > LINGERING_BYTES:
            self.close()

    def _hold(self, reason: int) -> None:
        if not self._holds and not self._transport.is_closing():
            self._transport.pause_reading()
            self._house.sweep.unread.add(self)
        self._holds |= reason

    def _free(self, reason: int) -> None:
        if self._holds & reason:
            self._holds &= ~reason
            if not self._holds and not self._transport.is_closing():
                self._transport.resume_reading()
                self._house.sweep.unread.discard(self)
