"""Sends a finished request to its upstream and the response back, no faster than the slower side; knows no policy."""

from collections.abc import Callable
from functools import partial
from typing import Final, final

from gateway.clock import Clock
from gateway.errors import Interrupted, Refusal
from gateway.http.body import Body, ClosedBody, follow
from gateway.http.downstream import Downstream
from gateway.http.fields import Vocabulary
from gateway.http.framing import NO_BODY, Delimiter
from gateway.http.head import RequestHead
from gateway.http.house import Receiver
from gateway.http.limits import Limits
from gateway.http.memory import Memory
from gateway.http.metered import MeteredBody, MeteredSender
from gateway.http.outbound import Outbound
from gateway.http.pool import Pool
from gateway.http.read_body import Answers, GatheredBody, follow_read
from gateway.http.reflections import Reflections
from gateway.http.response_head import ResponseHead, parse_response
from gateway.http.scrubbed_body import follow_scrubbed
from gateway.http.scrubbed_messages import ScrubbedMessages
from gateway.http.trailers import Trailers
from gateway.http.tunnel import Unheard, carry
from gateway.http.upstream import HeadWait, StaleConnectionError, UpstreamConnection
from gateway.http.waiting import Wait
from gateway.http.websocket import SWITCH, Handshake, check_answer
from gateway.model import Outcome, Upstream

MOST_INTERIM: Final = 16
"""How many interim responses an upstream may send before it is given up."""
REPEATABLE: Final = frozenset(("GET", "HEAD", "OPTIONS"))
"""Safe methods (RFC 9110 §9.2.1). PUT and DELETE are idempotent too, but nobody should find one done twice."""
AT_ONCE: Final = 0.5
"""Seconds within which a kept connection must turn out to be dead for a request to be sent again."""


class _Status:
    """The status codes that mean something to the relay itself (RFC 9110 §15)."""

    CONTINUE: Final = 100
    SWITCHING_PROTOCOLS: Final = 101
    FIRST_FINAL: Final = 200
    NO_CONTENT: Final = 204


@final
class Relay:
    """The way to the upstreams and back, with what all exchanges on it share."""

    def __init__(self, pool: Pool, vocabulary: Vocabulary, limits: Limits, clock: Clock, heads: Memory[ResponseHead]) -> None:
        """`vocabulary` is that of response heads, and `heads` are those that came before."""
        self.pool: Final = pool
        self._vocabulary: Final = vocabulary
        self._limits: Final = limits
        self._clock: Final = clock
        self._heads: Final = heads
        self.reflections: Final = Reflections(clock)

    async def __call__(
        self, outbound: Outbound, head: RequestHead, caller: Downstream, outcome: Outcome, judge_again: Callable[[], object]
    ) -> None:
        """Relay one exchange and fill in its outcome. Raises `Refusal` or `Interrupted`; the upstream is released.

        A kept connection can die while the request is under way to it. Only what may be repeated, and of which no body is
        spent, is then sent once more on a new one (RFC 9110 §9.2.2), and only if it died at once: what an upstream has thought
        about for long, it may have done. `judge_again` raises a `Refusal` if access has ended meanwhile; it is asked whenever
        something was waited for before the request goes out.
        """
        started = self._clock.steady()
        kept = self.pool.take(outbound.key) if head.upgrade is None else None  # a tunnel never gives its connection back
        if kept is not None:
            try:
                await self._exchange(kept, outbound, head, caller, outcome)
            except StaleConnectionError:
                late = self._clock.steady() - started > AT_ONCE
                if late or head.method not in REPEATABLE or head.framing is not NO_BODY:
                    raise
                outcome.attempts = 2
            else:
                return
        connection = await self.pool.open(outbound.key, caller)
        try:
            judge_again()
        except Refusal:
            self.pool.give_back(connection)
            raise
        await self._exchange(connection, outbound, head, caller, outcome)

    async def _exchange(
        self, connection: UpstreamConnection, outbound: Outbound, head: RequestHead, caller: Downstream, outcome: Outcome
    ) -> None:
        started = self._clock.steady()
        reusable = False
        meter = caller.meter
        metered = None if meter is None else MeteredSender(connection, meter, caller)
        sender: Receiver = metered or connection
        try:
            connection.begin(caller, outbound.head)
            if head.upgrade is None:
                caller.start_sending(sender, invite=head.expects_continue)
            response = await self._final_head(connection, outbound, head, caller, outcome)
            outcome.upstream_seconds = self._clock.steady() - started
            outcome.status = response.status
            if head.upgrade is not None:
                if response.status == _Status.SWITCHING_PROTOCOLS:
                    await self._tunnel(connection, sender, outbound, head.upgrade, response, caller, outcome)
                    outcome.ending = "complete"
                    return
                caller.start_sending(Unheard(connection), invite=False)
            answer, body = self._answer(response, outbound, head, caller.answers, outcome)
            gathered = body if isinstance(body, GatheredBody) else None
            if meter is not None:
                body = MeteredBody(body, meter, connection)
            if gathered is None:  # what has come of the body gets no name here, or it would stay until all of it has passed
                caller.start_answer(answer, connection.take_body(body))
            else:
                connection.take_body(body)
            if not body.done:
                await connection.rest_of_body(Wait(self._limits.stream_idle_timeout, partial(_stalled, caller)))
            if gathered is not None:
                whole = gathered.whole
                caller.start_answer(answer + b"\r\nContent-Length: %d" % len(whole), whole)
            outcome.ending = "complete"
            reusable = response.keep and caller.body_done and (metered is None or metered.empty)
        finally:
            caller.stop_sending()
            outcome.sent = connection.payload
            if outcome.scrubbed:
                self.reflections.note(outbound.key, outcome.scrubbed)
            if connection.finish() and reusable:
                self.pool.give_back(connection)
            elif head.upgrade is not None and caller.closing:
                self.pool.let_go(connection)
            else:
                connection.abort()

    def _answer(
        self, response: ResponseHead, outbound: Outbound, head: RequestHead, answers: Answers | None, outcome: Outcome
    ) -> tuple[bytes, Body]:
        """The head of the answer without its final empty line, and the follower of its body. Raises `Refusal`."""
        scrubber, framed, upstream = outbound.scrubber, not head.http_1_0, outbound.key.upstream
        answer = _head_of(response, upstream, framed=framed)
        searched = None if upstream.scrub != "full" else scrubber
        if answers is not None:
            lines = answers.head(answer.split(b"\r\n"))
            read = follow_read(answers, response, searched, lines, outcome, framed=framed)
            answer = b"\r\n".join(lines)
            if read is not None:
                return answer, read
        trailers: Trailers | None = None
        if head.wants_trailers and response.trailers:
            trailers = Trailers(response.trailers, self._vocabulary, scrubber, outcome)
            answer += b"\r\n" + trailers.announcement
        if searched is None:
            return answer, follow(response.framing, framed=framed, trailers=trailers)
        return answer, follow_scrubbed(response, searched, outcome, framed=framed, trailers=trailers)

    async def _tunnel(
        self, connection: UpstreamConnection, sender: Receiver, outbound: Outbound, asked: Handshake, response: ResponseHead,
        caller: Downstream, outcome: Outcome,
    ) -> None:  # fmt: skip
        check_answer(asked, response.upgrade, response.forward)
        upstream, scrubber = outbound.key.upstream, outbound.scrubber
        lines = _without_length(_answer_lines(response, upstream, framed=True))
        if scrubber is None or upstream.scrub != "full":
            body: Body = ClosedBody(framed=False)
        else:
            body = ScrubbedMessages(scrubber, outcome)
        if caller.meter is not None:
            body = MeteredBody(body, caller.meter, connection)
        patience = self._limits.stream_idle_timeout
        await carry(connection, sender, caller, lines=[*lines, *SWITCH], body=body, patience=patience)

    async def _final_head(
        self, connection: UpstreamConnection, outbound: Outbound, head: RequestHead, caller: Downstream, outcome: Outcome
    ) -> ResponseHead:
        """The final response; interim ones go on to the caller, if it knows them (RFC 9110 §15.2). 100 was answered here."""
        upstream = outbound.key.upstream
        for _ in range(MOST_INTERIM):
            wait: HeadWait = Wait(upstream.head_timeout, _late)
            raw = connection.head_or_later(wait)
            if raw is None:
                raw = await wait
            response = self._scrub_and_parse(raw, outbound, outcome)
            if response.status >= _Status.FIRST_FINAL:
                return response
            if response.status == _Status.SWITCHING_PROTOCOLS:
                if head.upgrade is None:
                    raise Refusal("upstream_failed", "The upstream switched protocols unasked.")
                return response
            if response.status != _Status.CONTINUE and not head.http_1_0 and caller.answers is None:  # who reads, reads finals
                caller.send(_interim(response, upstream))
        raise Refusal("upstream_failed", "The upstream sends interim responses without end.")

    def _scrub_and_parse(self, head: bytes, outbound: Outbound, outcome: Outcome) -> ResponseHead:
        """Parse a response head without the injected secret; one that was found clean need not be searched again."""
        scrubber, method = outbound.scrubber, outbound.method
        if scrubber is None:
            return self._parse(head, method)
        known = self._heads.known.get(head)
        if known is not None and known.clean_for is scrubber and method != "HEAD":
            return known
        masked = scrubber.head(head, outcome)
        response = self._parse(masked, method)
        response.clean_for = scrubber
        return response

    def _parse(self, head: bytes, method: str) -> ResponseHead:
        """Parse a response head; for HEAD the same bytes mean something else, so those are not remembered."""
        if method == "HEAD":
            return parse_response(head, self._vocabulary, method=method, most_lines=self._limits.headers)
        response = self._heads.known.get(head)
        if response is None:
            response = parse_response(head, self._vocabulary, method=method, most_lines=self._limits.headers)
            self._heads.keep(head, response)
        return response


def _head_of(response: ResponseHead, upstream: Upstream, *, framed: bool) -> bytes:
    """The head of the answer without its final empty line; for a response head that comes again it is put together once."""
    known = response.answer
    if known is not None and framed and known[0] is upstream:
        return known[1]
    made = b"\r\n".join(_answer_lines(response, upstream, framed=framed))
    if framed:
        response.answer = (upstream, made)
    return made


def _answer_lines(response: ResponseHead, upstream: Upstream, *, framed: bool) -> list[bytes]:
    """Without `framed` the body ends with the connection, for an HTTP/1.0 caller."""
    lines = [b"HTTP/1.1 " + response.reason]
    lines += response.forward
    for name, fields in response.watched.items():
        if name in upstream.passed:
            lines += [field.line for field in fields]
    if response.status == _Status.NO_CONTENT:
        lines = _without_length(lines)
    if framed and response.framing.by in (Delimiter.CHUNKS, Delimiter.CLOSE):
        lines.append(b"Transfer-Encoding: chunked")
    return lines


def _interim(response: ResponseHead, upstream: Upstream) -> bytes:
    return b"\r\n".join([*_without_length(_answer_lines(response, upstream, framed=True)), b"\r\n"])


def _without_length(lines: list[bytes]) -> list[bytes]:
    """Neither 1xx nor 204 may announce a length (RFC 9110 §8.6)."""
    return [line for line in lines if not line.lower().startswith(b"content-length:")]


def _late() -> Refusal:
    return Refusal("upstream_timeout", "The upstream did not answer in time.")


def _stalled(caller: Downstream) -> Exception:
    if caller.full:
        return Interrupted("client_stalled")
    return Refusal("upstream_timeout", "The upstream's response stood still for too long.")
