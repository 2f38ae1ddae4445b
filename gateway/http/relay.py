"""Sends a finished request to its upstream and the response back, no faster than the slower side; knows no policy."""

from typing import Final

from gateway.clock import Clock
from gateway.errors import Interrupted, Refusal
from gateway.http.body import follow
from gateway.http.downstream import Downstream
from gateway.http.fields import Vocabulary
from gateway.http.framing import NO_BODY, Delimiter
from gateway.http.head import RequestHead, ResponseHead, parse_response
from gateway.http.limits import Limits
from gateway.http.outbound import Outbound
from gateway.http.pool import Pool
from gateway.http.upstream import HeadWait, StaleConnectionError, UpstreamConnection
from gateway.http.waiting import Wait
from gateway.model import Outcome, Upstream

MOST_INTERIM: Final = 16
"""How many interim responses are passed over before the upstream is given up."""
REPEATABLE: Final = frozenset(("GET", "HEAD", "OPTIONS", "PUT", "DELETE"))
"""Idempotent methods (RFC 9110 §9.2.2)."""
_FIRST_FINAL, _SWITCHING_PROTOCOLS, _NO_CONTENT = 200, 101, 204


class Relay:
    """The way to the upstreams and back, with what all exchanges on it share."""

    def __init__(self, pool: Pool, vocabulary: Vocabulary, limits: Limits, clock: Clock) -> None:
        """`vocabulary` is that of response heads."""
        self.pool: Final = pool
        self._vocabulary: Final = vocabulary
        self._limits: Final = limits
        self._clock: Final = clock

    async def __call__(self, outbound: Outbound, head: RequestHead, caller: Downstream, outcome: Outcome) -> None:
        """Relay one exchange and fill in its outcome. Raises `Refusal` or `Interrupted`; the upstream is released.

        A kept connection can die while the request is under way to it. Only what may be repeated, and of which no body is
        spent, is then sent once more on a new one (RFC 9110 §9.2.2).
        """
        kept = self.pool.take(outbound.key)
        if kept is not None:
            try:
                await self._exchange(kept, outbound, head, caller, outcome)
            except StaleConnectionError:
                if head.method not in REPEATABLE or head.framing is not NO_BODY:
                    raise
            else:
                return
        await self._exchange(await self.pool.open(outbound.key, caller), outbound, head, caller, outcome)

    async def _exchange(
        self, connection: UpstreamConnection, outbound: Outbound, head: RequestHead, caller: Downstream, outcome: Outcome
    ) -> None:
        upstream = outbound.key.upstream
        started = self._clock.steady()
        reusable = False
        try:
            connection.begin(caller, outbound.head)
            caller.start_sending(connection, invite=head.expects_continue)
            response = await self._final_head(connection, upstream, head.method)
            outcome.upstream_seconds = self._clock.steady() - started
            outcome.status = response.status
            body = follow(response.framing)
            first = connection.take_body(body)
            caller.start_answer(_answer_lines(response, upstream), first)
            if not body.done:
                await connection.rest_of_body(Wait(self._limits.stream_idle_timeout, lambda: _stalled(caller)))
            outcome.ending = "complete"
            reusable = response.keep and caller.body_done
        finally:
            caller.stop_sending()
            outcome.sent = connection.payload
            if connection.finish() and reusable:
                self.pool.give_back(connection)
            else:
                connection.abort()

    async def _final_head(self, connection: UpstreamConnection, upstream: Upstream, method: str) -> ResponseHead:
        for _ in range(MOST_INTERIM):
            wait: HeadWait = Wait(upstream.head_timeout, _late)
            head = await connection.response_head(wait)
            response = parse_response(head, self._vocabulary, method=method, most_lines=self._limits.headers)
            if response.status >= _FIRST_FINAL:
                return response
            if response.status == _SWITCHING_PROTOCOLS:
                raise Refusal("upstream_failed", "The upstream switched protocols unasked.")
        raise Refusal("upstream_failed", "The upstream sends interim responses without end.")


def _answer_lines(response: ResponseHead, upstream: Upstream) -> list[bytes]:
    lines = [b"HTTP/1.1 " + response.reason]
    lines += response.forward
    for name, fields in response.watched.items():
        if name in upstream.passed:
            lines += [field.line for field in fields]
    if response.status == _NO_CONTENT:  # RFC 9110 §8.6: it must not announce a length
        lines = [line for line in lines if not line.lower().startswith(b"content-length:")]
    if response.framing.by in (Delimiter.CHUNKS, Delimiter.CLOSE):
        lines.append(b"Transfer-Encoding: chunked")
    return lines


def _late() -> Refusal:
    return Refusal("upstream_timeout", "The upstream did not answer in time.")


def _stalled(caller: Downstream) -> Exception:
    if caller.full:
        return Interrupted("client_stalled")
    return Refusal("upstream_timeout", "The upstream's response stood still for too long.")
