"""The two records of one exchange, and that they are written exactly once; knows nothing of files."""

from typing import Final, final

from gateway.audit.book import Book
from gateway.audit.facts import Credential, Head
from gateway.audit.members import CLOSING, CLOSING_REST, OPENING, Exchange
from gateway.errors import Refusal
from gateway.model import Outcome, Permit, Principal, Upstream, Use

_TRACE_DIGITS: Final = 32


@final
class Record:
    """What is known of one request so far. `handle_request` sets the public attributes step by step.

    `request_id` is 32 hexadecimal digits; `source` is the address of the caller.
    """

    __slots__ = ("_answer", "_began", "_book", "_cause", "_closed", "_code", "_held", "_trace", "credential", "head",
                 "principal", "request_id", "source", "upstream", "use")  # fmt: skip

    def __init__(self, book: Book, source: str) -> None:
        """Costs nothing but an identifier and a look at the clock."""
        self._book = book
        self._began = book.clock.steady()
        self._held = 0
        self._answer: str | None = None
        self._cause: str | None = None
        self._code: str | None = None
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
        if not self._book.reserve(OPENING + CLOSING):
            raise Refusal("audit_unavailable")
        self._held = OPENING + CLOSING

    def decided(self, permit: Permit) -> None:
        """Write the request record with the decision allow; from here on it survives the death of the process."""
        if not self._held or self._answer is not None:
            raise RuntimeError("a decision needs a record with reserved room, and is recorded once")
        exchange = self._exchange()
        self._write_request(exchange, self._book.members.allowed(exchange, permit))

    def refused(self, refusal: Refusal) -> None:
        """Write the request record with the decision deny, unless an allow was written before; the code is kept for `close`."""
        self._code = refusal.code
        if refusal.error != refusal.problem.error:  # the code alone would say less
            self._cause = refusal.error
        if not self._held:
            self._book.missed(refusal)
        elif self._answer is None and self._counted(refusal):
            self._closed = True
            self._book.release(self._held)
        elif self._answer is None:
            exchange = self._exchange()
            self._write_request(exchange, self._book.members.unpermitted(exchange, refusal))

    def _counted(self, refusal: Refusal) -> bool:
        """Whether a stranger's refusal is one of too many, and was counted instead of being recorded."""
        book = self._book
        if self.principal is not None:
            return False
        clock = book.clock
        return book.flood.takes(self.source, refusal.code, steady=clock.steady(), now=clock.now())

    def close(self, outcome: Outcome) -> None:
        """Write the response record, and before it the request record if there is none yet. Once; never waits, never raises."""
        if self._closed:
            return
        self._closed = True
        if not self._held:
            return
        book = self._book
        if self._answer is None:
            exchange = self._exchange()
            self._write_request(exchange, book.members.unpermitted(exchange, None))
        if self.head is not None and self._answer is not None:
            if outcome.code is None:
                outcome.code = self._code
            if outcome.error is None:
                outcome.error = self._cause
            seconds = book.clock.steady() - self._began
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
