"""The nouns that every part of the gateway shares, as plain values; knows no bytes, no files and no network.

Values of the hot path are not frozen, for that is slow; nobody changes one, except to keep with it what follows from it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, NamedTuple, NewType, final

from gateway.known_claims import NOTHING_KNOWN, KnownClaims
from gateway.mcp import Asks, Message
from gateway.spiffe import spiffe_id


class AgentPattern(NamedTuple):
    """Which agents an entry concerns: one SPIFFE ID, or all below a path when `below` is set."""

    text: str
    below: bool

    @classmethod
    def parse(cls, text: str) -> "AgentPattern":
        """An exact SPIFFE ID, or one with a trailing `/*` on a path boundary. Raises `ValueError`."""
        if not text.endswith("/*"):
            return cls(spiffe_id(text), below=False)
        base = text[:-2]
        spiffe_id(base + "/x")
        return cls(base + "/", below=True)

    def covers(self, agent: str) -> bool:
        """Whether the entry concerns this agent."""
        return agent.startswith(self.text) if self.below else agent == self.text

    def overlaps(self, other: "AgentPattern") -> bool:
        """Whether some agent could be concerned by both."""
        if self.below and other.below:
            return self.text.startswith(other.text) or other.text.startswith(self.text)
        return self.covers(other.text) if self.below else other.covers(self.text)


class Origin(NamedTuple):
    """Where an upstream listens."""

    scheme: str
    host: str
    port: int


class TlsFiles(NamedTuple):
    """The paths of what one side of TLS shows, a certificate and its key, and of what it verifies the other side with."""

    certificate: str | None = None
    key: str | None = None
    ca: str | None = None


NO_FILES: Final = TlsFiles()
"""Nothing is shown, and the system's certificates are trusted."""


class Limit(NamedTuple):
    """One bound on use: of `kind` (requests, bytes, rate or concurrent) `most` may be used, in each `window` of seconds.

    A window of 0 has no end. The same `key` is the same count in every gateway. `label` says
    for people whose use it bounds; `shared` is true for what an upstream bears of all callers together.
    """

    kind: str
    key: str
    most: int
    window: float
    label: str
    shared: bool = False


@final
@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Upstream:
    """A downstream API as the gateway sees it, one object for each in a snapshot. Times are seconds.

    `prefix` is `/billing`, or empty for the root; `base_path` is the path of its URL without a trailing slash. `networks` holds
    `public` or CIDRs: where its name may resolve to. `tls` is for an origin with https. `credential` names the entry whose
    secret is put in; `token_places` are the places besides Authorization where a task token may stand; `emptied` are the
    headers that steps read and the upstream never sees; `passed` are the response headers that only this upstream may send.
    `scrub` says where the injected secret is masked in its answers: `full`, `headers` or `none`. `resource` is its address on
    the gateway as agents know it, which ends with `prefix` (RFC 9728 §1.2).
    """

    tenant: str
    name: str
    origin: Origin
    prefix: str
    base_path: str
    protocol: str
    credential: str
    token_places: tuple[str, ...] = ()
    emptied: frozenset[str] = frozenset()
    scrub: str = "full"
    networks: tuple[str, ...] = ("public",)
    passed: frozenset[str] = frozenset()
    tls: TlsFiles = NO_FILES
    connect_timeout: float = 5.0
    head_timeout: float = 60.0
    concurrent: int = 256
    rate: Limit | None = None
    resource: str = ""

    @property
    def places(self) -> Limit:
        """How many requests may be under way to it at once, in all gateways."""
        key = f"concurrent/{self.tenant}/upstream/{self.name}"
        return Limit("concurrent", key, self.concurrent, 0.0, f"to {self.name}", shared=True)


class Binding(NamedTuple):
    """Thumbprints of what a token's holder has to prove, each that is there: of a key (RFC 9449), a certificate (RFC 8705)."""

    jkt: str | None = None
    certificate: str | None = None


@final
class Principal:
    """Who calls, for which task, holding which intents: the outcome of a verified task token.

    Only the outermost actor is here; deeper `act` levels are history and never reach a decision (RFC 8693 §4.1).
    `expires` and `opened`, when the task was, are in Unix seconds. `marks` names everything whose revocation ends this access.
    `limits` are those of the task and of all its ancestors: each of them is spent from. `starter` opened it; None: the agent.
    `family` is the first of the tasks above, empty if there is none. `met` names the conditions that held of the claims of the
    starter; None on paper alone. `binding` is None for a bearer token. `claims` are the agent's. `issuer` has given the names.
    """

    __slots__ = ("agent", "binding", "claims", "epoch", "expires", "family", "intents", "issuer", "limits", "marks", "met",
                 "opened", "params", "starter", "subject", "subject_claims", "task", "tenant", "token")  # fmt: skip

    def __init__(  # noqa: PLR0913 each is one thing that a token says
        self, *, agent: str, subject: str, tenant: str, task: str, token: str, intents: frozenset[str], expires: float,
        epoch: str, marks: frozenset[str], limits: tuple[Limit, ...] = (), params: Mapping[str, str] = MappingProxyType({}),
        starter: str | None = None, opened: float = 0.0, binding: Binding | None = None, family: str = "",
        met: frozenset[str] | None = frozenset(), claims: KnownClaims = NOTHING_KNOWN,
        subject_claims: KnownClaims = NOTHING_KNOWN, issuer: str = "",
    ) -> None:  # fmt: skip
        self.agent: Final = agent
        self.subject: Final = subject
        self.tenant: Final = tenant
        self.task: Final = task
        self.token: Final = token
        self.intents: Final = intents
        self.expires: Final = expires
        self.epoch: Final = epoch
        self.marks: Final = marks
        self.limits: Final = limits
        self.params: Final = params
        self.starter: Final = starter
        self.opened: Final = opened
        self.binding: Final = binding
        self.family: Final = family
        self.met: Final = met
        self.claims: Final = claims
        self.subject_claims: Final = subject_claims
        self.issuer: Final = issuer

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"


Current = NewType("Current", Principal)
"""A principal whose token was found unexpired, unrevoked and of this epoch for the very request that it came with."""


def marks_of(*, token: str, task: str, agent: str, tenant: str, key: str = "") -> frozenset[str]:
    """The scope ladder of revocation as one set: revoked is what meets the set of revoked marks. `key` signed the token."""
    return frozenset((f"token:{token}", f"task:{task}", mark_of(AGENT, agent, tenant), f"tenant:{tenant}", f"key:{key}"))


def mark_of(kind: str, name: str, tenant: str) -> str:
    """The mark of one thing. What tenants name themselves, agents and credentials, is another thing in each tenant."""
    return f"{kind}:{tenant}/{name}" if kind in (AGENT, CREDENTIAL) else f"{kind}:{name}"


@final
@dataclass(slots=True)
class DeclaredIntent:
    """What the caller says the request is for; untrusted, it can only narrow what the token carries."""

    name: str
    reason: str | None = None
    tool: str | None = None


@final
class Operation:
    """What a request really is. `path` is what follows the upstream's prefix, as it is forwarded.

    `segments` are the path's, percent-decoded once: what templates are compared with. A path is `plain` if it is made of
    the letters, digits and signs of a URL alone, with nothing escaped, so that its segments are parts of it as they stand.
    """

    __slots__ = ("asks", "message", "method", "parts", "path", "plain", "segments")

    def __init__(self, method: str, path: str, segments: tuple[str, ...], *, plain: bool = False) -> None:
        self.method: Final = method
        self.path: Final = path
        self.segments: Final = segments
        self.plain: Final = plain
        self.message: Message | None = None  # that it is, if it is one of MCP
        self.parts: tuple[tuple[Operation, tuple[Coverage, ...]], ...] = ()  # several operations, and what covers each
        self.asks: Asks | None = None  # what the request asks for, if it is one of MCP


class Manner(NamedTuple):
    """How uses of an intent are treated: labels they leave, names in the query to record with values, and on the disk first."""

    adds: frozenset[str] = frozenset()
    logged: frozenset[str] = frozenset()
    durable: bool = False


PLAIN: Final = Manner()
NO_LABELS: Final[frozenset[str]] = frozenset()


@final
class Coverage:
    """An intent that covers an operation, with what its template captured from the path."""

    __slots__ = ("captures", "intent", "manner", "touches")

    def __init__(self, intent: str, captures: dict[str, str], touches: tuple[str, ...], manner: Manner = PLAIN) -> None:
        self.intent: Final = intent
        self.captures: Final = captures
        self.touches: Final = touches
        self.manner: Final = manner


@final
class Use:
    """A request seen as use of intents: what the caller declared, beside what the operation really is.

    `observed` holds every intent on this upstream that covers the operation, in file order, whoever may hold it. `content` is
    the body that somebody has to read, unless `reads_body` says that it is yet to come; `reads_labels` says that a rule can ask
    for labels. `adds` are those that it leaves on its task; `durable` has its record on the disk first.
    """

    __slots__ = ("adds", "content", "declared", "durable", "observed", "operation", "reads_body", "reads_labels")

    def __init__(self, declared: DeclaredIntent | None, operation: Operation, observed: tuple[Coverage, ...],
                 content: object = None) -> None:  # fmt: skip
        self.declared: Final = declared
        self.operation: Final = operation
        self.observed: Final = observed
        self.content: Final = content
        self.reads_body = self.reads_labels = self.durable = False
        self.adds: frozenset[str] = NO_LABELS
        for each in observed:
            if each.manner is not PLAIN:
                self.adds |= each.manner.adds
                self.durable = self.durable or each.manner.durable


TOKEN: Final = "token"  # noqa: S105 the kind of a revocation
TASK: Final = "task"
AGENT: Final = "agent"
TENANT: Final = "tenant"
CREDENTIAL: Final = "credential"
KEY: Final = "key"
STOPS: Final = (AGENT, TENANT, CREDENTIAL, KEY)
"""The kinds of revocation that stand until somebody lifts them; a task or a token that has ended stays ended."""
FOREVER: Final = 253_402_300_799.0
"""The `until` of a revocation that only an operator lifts: the last second of the year 9999, which every reader can write."""


@final
@dataclass(frozen=True, slots=True)
class Revocation:
    """One entry of the feed: from now to `until` (Unix seconds) nothing that carries the mark is accepted.

    `kind` is a rung of the scope ladder (token, task, agent, tenant), a credential or a signing key, `cause` one of the
    causes of design §9. `tenant` is whose it is; empty if it concerns all.
    """

    seq: int
    time: float
    kind: str
    id: str
    cause: str
    until: float
    tenant: str = ""

    @property
    def mark(self) -> str:
        """What it revokes, in the form of `Principal.marks`."""
        return mark_of(self.kind, self.id, self.tenant)


@final
@dataclass(frozen=True, slots=True)
class Restoration:
    """One entry of the feed: an agent, tenant or credential is accepted again. What had ended under it stays ended."""

    seq: int
    time: float
    kind: str
    id: str
    tenant: str = ""

    @property
    def mark(self) -> str:
        """What is no longer revoked, in the form of `Principal.marks`."""
        return mark_of(self.kind, self.id, self.tenant)


_DECIDED: Final = object()


@final
class Permit:
    """The proof that a decision was yes. Only `policy/decide.py` makes one, and without one there is no credential.

    `intent` is the observed intent that the decision rests on: the declared one unless nothing was declared. `enforced` is
    false when observe mode lets pass what policy would refuse.
    """

    __slots__ = ("code", "enforced", "grant", "intent", "limits", "outbound", "policy", "principal", "recorded", "upstream",
                 "use", "uses")  # fmt: skip

    def __init__(
        self, seal: object, *, principal: Principal, use: Use, upstream: Upstream, intent: Coverage, grant: str, policy: str,
        code: str | None,
    ) -> None:  # fmt: skip
        """Raises `TypeError` for anybody who is not let in by `_issue`."""
        if seal is not _DECIDED:
            raise TypeError("a Permit is made only by a decision")
        self.principal: Final = principal
        self.use: Final = use
        self.upstream: Final = upstream
        self.intent: Final = intent
        self.grant: Final = grant
        self.policy: Final = policy
        self.code: Final = code  # as what enforcement would have refused the request; None for one that it allows
        self.enforced: Final = code is None
        self.limits: tuple[Limit, ...] | None = None  # what it counts under besides the upstream's places; None if nothing
        self.uses = 1  # how many operations it is for
        self.recorded: str | None = None  # what the audit has made of these facts, kept with them
        self.outbound: tuple[object, bytes] | None = None  # these facts and a credential, made ready for the way out

    @classmethod
    def _issue(
        cls, *, principal: Principal, use: Use, upstream: Upstream, intent: Coverage, grant: str, policy: str,
        code: str | None = None,
    ) -> "Permit":  # fmt: skip
        """For `policy/decide.py` alone; an architecture test finds any other caller."""
        return Permit(_DECIDED, principal=principal, use=use, upstream=upstream, intent=intent, grant=grant, policy=policy,
                      code=code)  # fmt: skip


@final
class Outcome:
    """How one request ended, for its closing record. Bytes are those of the bodies, durations are seconds.

    `error` is the type of an unexpected error, or what says more than `code`; its text stays out, for it could hold anything.
    `attempts` says how often the request was sent, `scrubbed` in how many places of the response the secret was masked.
    """

    __slots__ = ("attempts", "calls", "code", "ending", "error", "hidden", "received", "scrubbed", "sent", "status",
                 "upstream_seconds")  # fmt: skip

    def __init__(self, ending: str = "interrupted", status: int = 0, code: str | None = None, received: int = 0, sent: int = 0,
                 upstream_seconds: float | None = None, error: str | None = None, attempts: int = 1) -> None:  # fmt: skip
        self.ending = ending
        self.status = status
        self.code = code
        self.received = received
        self.sent = sent
        self.upstream_seconds = upstream_seconds
        self.error = error
        self.attempts = attempts
        self.scrubbed = 0
        self.calls: tuple[str | None, ...] | None = None  # what came of each call of MCP, as far as it was seen
        self.hidden = 0  # how many entries were taken out of lists, because the task may not use them
