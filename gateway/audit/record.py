"""The two records of one exchange, and that they are written exactly once; knows nothing of files."""

from collections.abc import Coroutine
from typing import Any, Final, Protocol, TypeVar, final

from gateway.audit.book import Book
from gateway.audit.facts import Credential, Head
from gateway.audit.members import CLOSING, CLOSING_REST, OPENING, Exchange
from gateway.audit.traffic import ALLOW, DENY, NONE, OBSERVED
from gateway.errors import Refusal
from gateway.http.waiting import Wait
from gateway.model import Outcome, Permit, Principal, Upstream, Use

T = TypeVar("T")

SYNCED_WITHIN: Final = 10.0
"""Seconds for which a request of high risk waits for the disk."""
_TRACE_DIGITS: Final = 32
_DEAD: Final = frozenset(("token_expired", "token_invalid", "token_revoked", "proof_missing", "proof_invalid"))
"""What is said, before the intent is read, of tokens that open nothing: whoever finds one is a stranger, whosever it is."""


class Caller(Protocol):
    """The connection whose request waits."""

    def resume(self, wait: Wait[Any], value: object) -> None:
        """Let the request go on, if this is still what it waits for."""


@final
class Record:
    """What is known of one request so far. `handle_request` sets the public attributes step by step.

    `request_id` is 32 hexadecimal digits; `source` is the address of the caller.
    """

    __slots__ = ("_answer", "_began", "_book", "_cause", "_closed", "_code", "_decision", "_held", "_trace", "credential",
                 "head", "principal", "request_id", "source", "upstream", "use")  # fmt: skip

    def __init__(self, book: Book, source: str) -> None:
        """Costs nothing but an identifier and a look at the clock."""
        self._book = book
        self._began = book.clock.steady()
        self._held = 0
        self._answer: str | None = None
        self._cause: str | None = None
        self._code: str | None = None
        self._decision = NONE
        self._closed = False
        self._trace: str | None = None
        self.request_id = book.clock.identifier()
        self.source = source
        self.head: Head | None = None
        self.upstream: Upstream | None = None
        self.principal: Principal | None = None
        self.use: Use | None = None
        self.credential: Credential | None = None

    def __repr__(self) -> str:
        """Shows which exchange it is and how far it has come."""
        state = "closed" if self._closed else "open" if self._answer is None else "decided"
        return f"Record({self.request_id}, {state})"

    @property
    def trace_id(self) -> str:
        """The caller's trace, or one that begins here and has the digits of the request id."""
        if self._trace is None:
            if self.head is None:
                return self.request_id
            trace = self.head.trace_id
            usable = trace is not None and len(trace) == _TRACE_DIGITS and trace.isalnum() and trace.isascii()
            self._trace = trace if trace is not None and usable else self.request_id
        return self._trace

    @property
    def span_id(self) -> str:
        """16 hexadecimal digits that name the gateway's part of the trace."""
        return self.request_id[16:]

    def reserve(self) -> None:
        """Reserve room for both records. Raises `Refusal("audit_unavailable")` if there is none."""
        if not self._has_room():
            raise Refusal("audit_unavailable")

    async def waiting_for(self, answer: Coroutine[Any, Any, T]) -> T:
        """Wait for an answer before anything is decided; others have use for the room meanwhile.

        Raises `Refusal("audit_unavailable")` if there is none left when the answer is here.
        """
        self._book.release(self._held)
        self._held = 0
        try:
            found = await answer
        except BaseException:
            if not self._has_room():
                self._book.missed(Refusal("audit_unavailable"))
            raise
        self.reserve()
        return found

    def decided(self, permit: Permit) -> None:
        """Write the request record of what may go on; from here on it survives the death of the process."""
        if not self._held or self._answer is not None:
            raise RuntimeError("a decision needs a record with reserved room, and is recorded once")
        self._decision = ALLOW if permit.enforced else OBSERVED
        exchange = self._exchange()
        self._write_request(exchange, self._book.members.allowed(exchange, permit))

    async def durable(self, caller: Caller) -> None:
        """Wait until what was decided is on the disk. Raises `Refusal("audit_unavailable")` if it cannot be brought there."""
        wait: Wait[bool] = Wait(SYNCED_WITHIN, _unsynced)
        answered: list[bool] = []

        def done(synced: bool) -> None:  # noqa: FBT001 as a log says it
            answered.append(synced)
            caller.resume(wait, synced)

        self._book.sync(done)
        if not (answered[0] if answered else await wait):
            raise _unsynced()

    def refused(self, refusal: Refusal) -> None:
        """Write the request record with the decision deny, unless one was written before; the code is kept for `close`."""
        self._code = refusal.code
        if self._answer is None:
            self._decision = DENY
        if refusal.cause or refusal.error != refusal.problem.error:  # the code alone would say less
            self._cause = refusal.cause or refusal.error
        if not self._held:
            self._book.missed(refusal)
        elif self._answer is None and self._counted(refusal.code):
            self._book.release(self._held)
            self._held = 0
        elif self._answer is None:
            exchange = self._exchange()
            self._write_request(exchange, self._book.members.unpermitted(exchange, refusal))

    def answered(self) -> None:
        """The gateway answers by itself what everybody may ask; of too many such answers only the number is recorded."""
        if self._held and self._answer is None and self._counted("answered"):
            self._book.release(self._held)
            self._held = 0

    def _has_room(self) -> bool:
        if self._book.reserve(OPENING + CLOSING):
            self._held = OPENING + CLOSING
        return self._held > 0

    def _counted(self, code: str) -> bool:
        """Whether this is one of too many for a stranger, and was counted instead of being recorded."""
        book = self._book
        if self.principal is not None and (self.use is not None or code not in _DEAD):
            return False
        clock = book.clock
        return book.flood.takes(self.source, code, steady=clock.steady(), now=clock.now())

    def close(self, outcome: Outcome) -> None:
        """Write the response record, and before it the request record if there is none yet. Once; never waits, never raises."""
        if self._closed:
            return
        self._closed = True
        book = self._book
        seconds = book.clock.steady() - self._began
        if outcome.code is None:
            outcome.code = self._code
        book.traffic.count(self.upstream, self._decision, outcome, seconds, self._cause)
        if not self._held:
            return
        if self._answer is None:
            exchange = self._exchange()
            self._write_request(exchange, book.members.unpermitted(exchange, None))
        if self.head is not None and self._answer is not None:
            if outcome.error is None:
                outcome.error = self._cause
            book.append(book.members.closed(self._answer, outcome, self.credential, seconds))
            book.open.pop(self.request_id, None)
        book.release(self._held)

    def _exchange(self) -> Exchange:
        return Exchange(self.request_id, self.trace_id, self.source, self.head, self.upstream, self.principal, self.use)

    def _write_request(self, exchange: Exchange, members: str) -> None:
        book = self._book
        book.append(members)
        self._answer = answer = book.members.answer(exchange)
        if exchange.head is not None:
            book.open[self.request_id] = book.seq
        # An exchange can last for hours; from now on it holds only what its closing record can need.
        kept = min((len(answer) if answer.isascii() else len(answer.encode())) + CLOSING_REST, CLOSING)
        book.release(self._held - kept)
        self._held = kept


def _unsynced() -> Refusal:
    return Refusal("audit_unavailable", "The record of a request of high risk could not be brought to the disk.")
