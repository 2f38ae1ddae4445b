"""Writes the JSON members of request and response records; knows neither the chain nor where lines go.

Lines are put together from encoded pieces. What a principal and a decision contribute is encoded once and kept: the
pieces of a principal for as long as the same object comes again, those of a permit under every fact that they hold.
"""

from typing import Final, final

from gateway.audit.calls import Calls
from gateway.audit.clean import Quoted, QuotedList, QuotedMap, stands_as_it_is
from gateway.audit.facts import Credential, Head
from gateway.errors import Refusal
from gateway.model import Outcome, Permit, Principal, Upstream, Use

OPENING: Final = 23 << 10
"""More bytes than any request record with its newline."""
CLOSING: Final = 5 << 10
"""More bytes than any response record with its newline."""
CLOSING_REST: Final = 1 << 10
"""More bytes than what a response record adds to the members that are known when the request record is written."""

_CACHED: Final = 4096


@final
class Caller:
    """The encoded members of a principal in a request record and in a response record."""

    __slots__ = ("full", "principal", "short")

    def __init__(self, principal: Principal | None, full: str, short: str) -> None:
        self.principal: Final = principal
        self.full: Final = full
        self.short: Final = short


@final
class _Decided:
    """The encoded pieces that a permit contributes, in their order."""

    __slots__ = ("intent", "rest", "upstream")

    def __init__(self, intent: str, upstream: str, rest: str) -> None:
        self.intent: Final = intent
        self.upstream: Final = upstream
        self.rest: Final = rest


@final
class Exchange:
    """What is known of an exchange when its request record is written."""

    __slots__ = ("head", "principal", "request_id", "source", "trace_id", "upstream", "use")

    def __init__(
        self, request_id: str, trace_id: str, source: str, head: Head | None, upstream: Upstream | None,
        principal: Principal | None, use: Use | None,
    ) -> None:  # fmt: skip
        self.request_id: Final = request_id
        self.trace_id: Final = trace_id
        self.source: Final = source
        self.head: Final = head
        self.upstream: Final = upstream
        self.principal: Final = principal
        self.use: Final = use


@final
class Members:
    """Encodes the members of records. Each value is capped, so that a record has a largest size."""

    __slots__ = ("_agent", "_calls", "_captures", "_decided", "_error", "_grant", "_issuer", "_known", "_method", "_name",
                 "_names", "_path", "_query", "_reason", "_subject")  # fmt: skip

    def __init__(self, digest_key: bytes = bytes(32)) -> None:
        """Start with nothing cached. Under `digest_key` the arguments of tools are digested."""
        self._calls = Calls(digest_key)
        self._known: dict[int, Caller] = {}
        self._decided: dict[tuple[object, ...], _Decided] = {}
        self._agent = Quoted(2048)
        self._subject = Quoted(512)
        self._issuer = Quoted(512)
        self._name = Quoted(128)
        self._names = QuotedList(16, 128)
        self._method = Quoted(32)
        self._path = Quoted(2048)
        self._query = QuotedList(16, 64)
        self._captures = QuotedMap(16, 64, 192)
        self._reason = Quoted(256)
        self._grant = Quoted(256)
        self._error = Quoted(128)

    def allowed(self, exchange: Exchange, permit: Permit) -> str:
        """The members of a request record that says allow. What does not change when the permit comes again stays with it."""
        recorded = permit.recorded
        if recorded is None:
            recorded = permit.recorded = self._describe_permit(exchange.head, permit)
        return (
            f'"type":"request","request_id":"{exchange.request_id}","trace_id":"{exchange.trace_id}",{recorded}'
            f'"source":{self._name.of(exchange.source)},'
        )

    def _describe_permit(self, head: Head | None, permit: Permit) -> str:
        use = permit.use
        declared = use.declared
        coverage = permit.intent
        upstream = permit.upstream
        observed = use.observed[0].intent if len(use.observed) == 1 else tuple([each.intent for each in use.observed])
        key = (coverage.intent, coverage.touches, observed, upstream.name, upstream.credential, permit.grant, permit.policy,
               permit.code, None if declared is None else declared.name)  # fmt: skip
        pieces = self._decided.get(key)
        if pieces is None:
            pieces = self._decide(key, permit)
        if declared is None:
            reason = tool = "null"
        else:
            reason, tool = self._reason.of(declared.reason), self._name.of(declared.tool)
        logged = coverage.manner.logged
        names = () if head is None else head.query_told(logged) if logged else head.query_names
        query = self._query.of(names)
        operation = use.operation
        if operation.plain and stands_as_it_is(operation.path):  # then its captures, which are parts of it, do so too
            path, captures = f'"{operation.path}"', self._captures.of_plain(coverage.captures)
        else:
            path, captures = self._path.of(operation.path), self._captures.of(coverage.captures)
        return (
            f'{self.caller(permit.principal).full}{pieces.intent}{reason},"tool":{tool}}},{pieces.upstream}'
            f'{self._method.of(operation.method)},"path":{path},"query":{query},"params":{captures},'
            f"{self._calls.asked(operation.asks, coverage.intent)}{pieces.rest}"
        )

    def _decide(self, key: tuple[object, ...], permit: Permit) -> _Decided:
        name = self._name
        declared, observed, upstream = permit.use.declared, permit.use.observed, permit.upstream
        made = _Decided(
            intent=(
                f'"intent":{{"declared":{name.of(None if declared is None else declared.name)},'
                f'"observed":{self._names.of(tuple([each.intent for each in observed]))},"reason":'
            ),
            upstream=f'"upstream":{name.of(upstream.name)},"method":',
            rest=(
                f'"touches":{self._names.of(permit.intent.touches)},"decision":"{"allow" if permit.enforced else "deny"}",'
                f'"code":{name.of(permit.code)},"grant":{self._grant.of(permit.grant or None)},'
                f'"policy":{name.of(permit.policy)},"enforced":{_boolean(permit.enforced)},'
                f'"credential":{name.of(upstream.credential)},'
            ),
        )
        if len(self._decided) >= _CACHED:
            self._decided = {}
        self._decided[key] = made
        return made

    def unpermitted(self, exchange: Exchange, refusal: Refusal | None) -> str:
        """The members of a request record that says deny, or that no decision was reached, with what is known so far."""
        head, upstream, principal, use = exchange.head, exchange.upstream, exchange.principal, exchange.use
        name = self._name
        declared = None if use is None else use.declared
        observed = "null" if use is None else self._names.of(tuple([each.intent for each in use.observed]))
        known = head if use is None else use.operation
        method, path = (None, None) if known is None else (known.method, known.path)
        caller = self.caller(principal).full
        if principal is None and upstream is not None:
            caller = caller.replace('"tenant":null', f'"tenant":{name.of(upstream.tenant)}')
        query = "null" if head is None else self._query.of(head.query_names)
        decision, enforced = ("null", "null") if refusal is None else ('"deny"', "true")
        return (
            f'"type":"request","request_id":"{exchange.request_id}","trace_id":"{exchange.trace_id}",{caller}'
            f'"intent":{{"declared":{name.of(None if declared is None else declared.name)},"observed":{observed},'
            f'"reason":{self._reason.of(None if declared is None else declared.reason)},'
            f'"tool":{name.of(None if declared is None else declared.tool)}}},'
            f'"upstream":{name.of(None if upstream is None else upstream.name)},"method":{self._method.of(method)},'
            f'"path":{self._path.of(path)},"query":{query},"params":null,'
            f"{'' if use is None else self._calls.asked(use.operation.asks, None)}"
            f'"touches":null,"decision":{decision},"code":{name.of(None if refusal is None else refusal.code)},"grant":null,'
            f'"policy":null,"enforced":{enforced},"credential":null,"source":{name.of(exchange.source)},'
        )

    def answer(self, exchange: Exchange) -> str:
        """The members of a response record that are known when the request record is written."""
        upstream = exchange.upstream
        short = self.caller(exchange.principal).short
        if exchange.principal is None and upstream is not None:
            short = short.replace('"tenant":null', f'"tenant":{self._name.of(upstream.tenant)}')
        return (
            f'"type":"response","request_id":"{exchange.request_id}","trace_id":"{exchange.trace_id}",{short}'
            f'"upstream":{self._name.of(None if upstream is None else upstream.name)},'
        )

    def closed(self, answer: str, outcome: Outcome, credential: Credential | None, seconds: float) -> str:
        """The members of a response record; `answer` is what `answer` gave."""
        upstream_us = "null" if outcome.upstream_seconds is None else int(outcome.upstream_seconds * 1e6)
        used = (
            "null"
            if credential is None
            else f'{{"name":{self._name.of(credential.name)},"version":{self._name.of(credential.version)}}}'
        )
        return (
            f'{answer}"status":{outcome.status or "null"},"code":{self._name.of(outcome.code)},'
            f'"ending":{self._name.of(outcome.ending)},"received":{outcome.received},"sent":{outcome.sent},"attempts":{outcome.attempts},'
            f'"scrubbed":{outcome.scrubbed},'
            f'"duration_us":{int(seconds * 1e6)},"upstream_us":{upstream_us},"credential":{used},'
            f'"error":{self._error.of(outcome.error)},{self._calls.ended(outcome)}'
        )

    def caller(self, principal: Principal | None) -> Caller:
        """The pieces of a principal. Kept with the object itself, so that another one can never take its place."""
        known = self._known.get(id(principal))
        return self._describe(principal) if known is None else known

    def _describe(self, principal: Principal | None) -> Caller:
        name = self._name
        if principal is None:
            made = Caller(None, '"tenant":null,"agent":null,"subject":null,"issuer":null,"task":null,"token":null,',
                          '"tenant":null,"agent":null,"task":null,')  # fmt: skip
        else:
            tenant, agent, task = name.of(principal.tenant), self._agent.of(principal.agent), name.of(principal.task)
            made = Caller(
                principal,
                f'"tenant":{tenant},"agent":{agent},"subject":{self._subject.of(principal.subject)},'
                f'"issuer":{self._issuer.of(principal.issuer)},"task":{task},"token":{name.of(principal.token)},',
                f'"tenant":{tenant},"agent":{agent},"task":{task},',
            )
        if len(self._known) >= _CACHED:
            self._known = {}
        self._known[id(principal)] = made
        return made


def _boolean(value: bool) -> str:  # noqa: FBT001 it is the value, not a switch
    return "true" if value else "false"
