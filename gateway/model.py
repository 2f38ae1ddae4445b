"""The nouns that every part of the gateway shares, as plain values; knows no bytes, no files and no network.

Values of the hot path are not frozen, for that makes them slow to build; nobody changes one after it was made, except to
keep with it what follows from it.
"""

import re
from dataclasses import dataclass
from typing import Final, NamedTuple, NewType, final

_TRUST_DOMAIN = re.compile(r"[a-z0-9._-]{1,255}").fullmatch
_SEGMENT = re.compile(r"[A-Za-z0-9._-]+").fullmatch
_SPIFFE_ID_BYTES: Final = 2048


def spiffe_id(text: str) -> str:
    """Check a workload's SPIFFE ID and return it (SPIFFE-ID §2): `spiffe://<trust domain>/<path>`.

    Stricter than the standard in one point: upper case in scheme and trust domain is refused rather than folded, so
    that two spellings of one identity cannot exist. Raises `ValueError` with a sentence for an operator.
    """
    if len(text) > _SPIFFE_ID_BYTES:
        raise ValueError("a SPIFFE ID has at most 2048 characters")
    if not text.startswith("spiffe://"):
        raise ValueError("a SPIFFE ID begins with spiffe://")
    trust_domain, slash, path = text[9:].partition("/")
    if _TRUST_DOMAIN(trust_domain) is None:
        raise ValueError("the trust domain of a SPIFFE ID holds only lower-case letters, digits, dots, dashes and underscores")
    if not slash:
        raise ValueError("the SPIFFE ID of a workload has a path")
    for segment in path.split("/"):
        if _SEGMENT(segment) is None or segment in (".", ".."):
            raise ValueError("a path segment of a SPIFFE ID holds letters, digits, dots, dashes and underscores")
    return text


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


@final
@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Upstream:
    """A downstream API as the gateway sees it, one object for each in a snapshot. Times are seconds.

    `prefix` is `/billing`, or empty for the root; `base_path` is the path of its URL without a trailing slash.
    `networks` holds `public` or CIDRs: where its name may resolve to. `tls` is for an origin with https. `credential`
    names the entry whose secret is put in; `token_places` are the header names besides Authorization where a task token
    may stand; `emptied` are the headers that steps read and the upstream never sees; `passed` are the response headers
    that only this upstream may send. `scrub` says where the injected secret is masked in its answers: `full`, `headers` or
    `none`.
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


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Principal:
    """Who calls, for which task, holding which intents: the outcome of a verified task token.

    Only the outermost actor is here; deeper `act` levels are history and never reach a decision (RFC 8693 §4.1).
    `expires` is in Unix seconds. `marks` names everything whose revocation ends this access.
    """

    agent: str
    subject: str
    tenant: str
    task: str
    token: str
    intents: frozenset[str]
    expires: float
    epoch: str
    marks: frozenset[str]


Current = NewType("Current", Principal)
"""A principal whose token was found unexpired, unrevoked and of this epoch for the very request that it came with."""


def marks_of(*, token: str, task: str, agent: str, tenant: str) -> frozenset[str]:
    """The scope ladder of revocation as one set: revoked is whatever meets the set of revoked marks."""
    return frozenset((f"token:{token}", f"task:{task}", f"agent:{agent}", f"tenant:{tenant}"))


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

    `segments` are the path's, percent-decoded once: what templates are compared with.
    """

    __slots__ = ("method", "path", "segments")

    def __init__(self, method: str, path: str, segments: tuple[str, ...]) -> None:
        self.method: Final = method
        self.path: Final = path
        self.segments: Final = segments


@final
class Coverage:
    """An intent that covers an operation, with what its template captured from the path."""

    __slots__ = ("captures", "intent", "touches")

    def __init__(self, intent: str, captures: dict[str, str], touches: tuple[str, ...]) -> None:
        self.intent: Final = intent
        self.captures: Final = captures
        self.touches: Final = touches


@final
class Use:
    """A request seen as use of intents: what the caller declared, beside what the operation really is.

    `observed` holds every intent on this upstream that covers the operation, in file order, whoever may hold it.
    """

    __slots__ = ("declared", "observed", "operation", "permit")

    def __init__(self, declared: DeclaredIntent | None, operation: Operation, observed: tuple[Coverage, ...]) -> None:
        self.declared: Final = declared
        self.operation: Final = operation
        self.observed: Final = observed
        self.permit: Permit | None = None
        """The permit that this use was given last; it holds for the very same principal and policy, and for no other."""


@final
@dataclass(frozen=True, slots=True)
class Revocation:
    """One entry of the feed: from now to `until` (Unix seconds) nothing that carries the mark is accepted.

    `kind` is a rung of the scope ladder (token, task, agent, tenant), `cause` one of the causes of design §9.
    """

    seq: int
    time: float
    kind: str
    id: str
    cause: str
    until: float

    @property
    def mark(self) -> str:
        """What it revokes, in the form of `Principal.marks`."""
        return f"{self.kind}:{self.id}"


_DECIDED: Final = object()


@final
class Permit:
    """The proof that a decision was yes. Only `policy/decide.py` makes one, and without one there is no credential.

    `intent` is the observed intent that the decision rests on: the declared one unless nothing was declared. `enforced` is
    false when observe mode lets pass what policy would refuse.
    """

    __slots__ = ("enforced", "grant", "intent", "outbound", "policy", "principal", "recorded", "upstream", "use")

    def __init__(
        self, seal: object, *, principal: Principal, use: Use, upstream: Upstream, intent: Coverage, grant: str, policy: str,
        enforced: bool,
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
        self.enforced: Final = enforced
        self.recorded: str | None = None
        """What the audit has made of these facts, kept with them."""
        self.outbound: tuple[object, bytes] | None = None
        """What was made of these facts and a credential for the way out, kept with both."""

    @classmethod
    def _issue(
        cls, *, principal: Principal, use: Use, upstream: Upstream, intent: Coverage, grant: str, policy: str,
        enforced: bool = True,
    ) -> "Permit":  # fmt: skip
        """For `policy/decide.py` alone; an architecture test finds any other caller."""
        return Permit(_DECIDED, principal=principal, use=use, upstream=upstream, intent=intent, grant=grant, policy=policy,
                      enforced=enforced)  # fmt: skip


@final
class Outcome:
    """How one request ended, for its closing record. Bytes are those of the bodies, durations are seconds.

    `error` is the type of an unexpected error, or what says more than `code`; its text stays out, for it could hold
    anything. `attempts` says how often the request was sent: twice if a kept connection turned out to be dead. `scrubbed`
    counts the places of the response where the injected secret was masked.
    """

    __slots__ = ("attempts", "code", "ending", "error", "received", "scrubbed", "sent", "status", "upstream_seconds")

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
