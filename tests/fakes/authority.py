"""A clock turned by hand, an audit log that can fail, and an authority made of real parts; knows no test."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from gateway.authority.authority import Authority, start_authority
from gateway.authority.rules import AuthorityRule
from gateway.clock import Clock
from gateway.errors import Refusal
from gateway.identity.provider import Identity
from gateway.model import Restoration, Revocation
from gateway.policy.compile import Policy
from gateway.policy.issue import Allowance, NotGrantedError, may_hold
from gateway.policy.start import Opening
from gateway.stores.backends import BACKENDS
from gateway.stores.store import IssuedToken, Store, TaskRow

AGENT = "spiffe://acme.example/ns/agents/sa/reconciler"
OTHER = "spiffe://acme.example/ns/agents/sa/other"
NOW = 1_800_000_000.0


class StillClock(Clock):
    """A clock that stands still until a test turns it; sleeping and tasks are real."""

    def __init__(self) -> None:
        super().__init__()
        self.seconds = NOW
        self.behind = 0.0
        """By how much the machine's date was set back."""

    def now(self) -> float:
        return self.seconds

    def set_back(self) -> float:
        return self.behind

    def boot(self) -> float:
        return self.seconds


class Log:
    """An audit log in memory; while `full`, it takes nothing."""

    def __init__(self) -> None:
        self.records: list[tuple[str, Mapping[str, object]]] = []
        self.full = False
        self.refused: set[str] = set()

    def note(self, kind: str, members: Mapping[str, object]) -> None:
        if self.full or kind in self.refused:
            raise Refusal("audit_unavailable")
        self.records.append((kind, members))

    def of(self, kind: str) -> list[Mapping[str, object]]:
        return [members for found, members in self.records if found == kind]


class Gateway:
    """A subscriber that writes down what it is told, in order."""

    def __init__(self) -> None:
        self.heard: list[tuple[Any, ...]] = []
        self.horizons: list[float] = []
        """Of each heartbeat."""

    def keys(self, issuer: str, jwks: Mapping[str, object]) -> None:
        self.heard.append(("keys", issuer, jwks))

    def beat(self, epoch: str, seq: int, at: float, horizon: float) -> None:
        assert at > 0
        self.horizons.append(horizon)
        self.heard.append(("beat", epoch, seq))

    def revoked(self, revocation: Revocation) -> None:
        self.heard.append(("revoked", revocation.seq, revocation.mark))

    def restored(self, restoration: Restoration) -> None:
        self.heard.append(("restored", restoration.seq, restoration.mark))

    def renewed(self, task: str, until: float) -> None:
        self.heard.append(("renewed", task, until))

    def of(self, kind: str) -> list[tuple[Any, ...]]:
        return [event for event in self.heard if event[0] == kind]


class Grants:
    """Policy as the authority sees it: intents by agent, or a real one."""

    def __init__(self) -> None:
        self.intents = {AGENT: {"invoices.read", "invoices.write"}, OTHER: {"invoices.read"}}
        self.ttl: float | None = None
        self.proof = False
        self.policy: Policy | None = None

    def __call__(self, opening: Opening, intents: Sequence[str]) -> Allowance:
        if self.policy is not None:
            return may_hold(self.policy, opening, intents)
        for intent in intents:
            if intent not in self.intents.get(opening.agent, ()):
                raise NotGrantedError(intent)
        return Allowance(self.ttl, "a1b2c3", self.proof)


def identity(agent: str = AGENT, expires: float | None = None) -> Identity:
    return Identity(agent, "test", {}, expires)


def task_row(name: str = "1" * 32, **other: Any) -> TaskRow:
    members: dict[str, Any] = {
        "id": name, "tenant": "acme", "agent": AGENT, "subject": AGENT, "starter": AGENT, "intents": ("invoices.read",),
        "opened": NOW, "ends": NOW + 3600, "policy": "a1b2c3",
    }  # fmt: skip
    return TaskRow(**{**members, **other})


def first_token(task: TaskRow, name: str = "first", expires: float = NOW + 300) -> IssuedToken:
    return IssuedToken(name, task.id, expires)


def build_store(folder: Path, clock: Clock, kind: str = "sqlite", where: str = "store/doorward.db") -> Store:
    return BACKENDS[kind].build(BACKENDS[kind].config.model_validate(where), resolve=folder.joinpath, clock=clock)


async def build_authority(
    folder: Path,
    clock: Clock,
    log: Log,
    grants: Grants,
    *,
    tenant: str = "acme",
    store: str | Mapping[str, object] = "store/doorward.db",
    max_staleness: float = 10.0,
    **tokens: str,
) -> Authority:
    kept = {"sqlite": store} if isinstance(store, str) else store
    rule = AuthorityRule.model_validate({"store": kept, "tokens": tokens})
    return await start_authority(
        rule,
        tenants={tenant: grants},
        audience="doorward",
        max_staleness=max_staleness,
        notes=log,
        resolve=folder.joinpath,
        clock=clock,
    )
