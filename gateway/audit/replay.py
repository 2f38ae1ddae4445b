"""Replays audit logs against revocations, to find whatever was accepted though revoked; knows records and no files.

Accepted is what has a request record with the decision `allow`, or with one that was not enforced. A revocation concerns it
if it names the token, task, agent or tenant of the record, and is of the same issuer as far as both say one. It is in force

- for what the same writer has recorded, from its own record on: the order of the lines decides, and no clock;
- for what other writers have recorded, and for revocations that were only heard to be acknowledged, from its time on and so
  many seconds later as a revocation may take to reach every gateway;
- until its `until`, when the last token that it concerns has expired, or until it is restored.

What is accepted while a revocation that concerns it is in force is a breach. So is what was accepted before and closes later
than it should have been cut. What a killed process left open (`unknown`) proves nothing of when it ended.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, final

from gateway.model import AGENT, TASK, TENANT, TOKEN, mark_of

_MOST_NAMED: Final = 100
_MOST_OPEN: Final = 100_000
_FOREVER: Final = float("inf")
_RUNGS: Final = (TOKEN, TASK, AGENT, TENANT)
"""The kinds of revocation, and the members of a record that name what they revoke."""

Chain = Callable[[], Iterable[Mapping[str, Any]]]
"""The records of one writer, in their order; they are read twice."""


@dataclass(frozen=True, slots=True)
class Breach:
    """One exchange that should not have been: whose, by what revocation, and by how many seconds it came or stayed too late."""

    request_id: str
    mark: str
    kept_open: bool
    late: float

    def __str__(self) -> str:
        """One line for an operator."""
        did = "was still open" if self.kept_open else "was accepted"
        return f"request {self.request_id} {did} {self.late:.3f} s after {self.mark} was revoked"


@dataclass(slots=True)
class Judgement:
    """What a replay has found. The two `latest` are seconds after a revocation, in time or not, and 0 if there were none."""

    revocations: int = 0
    accepted: int = 0
    refused: int = 0
    cut: int = 0
    breaches: int = 0
    named: list[Breach] = field(default_factory=list)
    latest_acceptance: float = 0.0
    latest_close: float = 0.0

    def add(self, breach: Breach) -> None:
        """Count one more, and name it if it is among the first."""
        self.breaches += 1
        if len(self.named) < _MOST_NAMED:
            self.named.append(breach)


@final
@dataclass(slots=True)
class _InForce:
    """One revocation: written by chain number `chain`, or by none, as record `seq`."""

    chain: int | None
    seq: int
    time: float
    until: float
    issuer: str | None = None
    restored: tuple[int, float] | None = None

    def concerns(self, record: Mapping[str, Any]) -> bool:
        """Whether what the record names is of the same issuer; what says none could be of any."""
        return self.issuer is None or record.get("issuer") in (None, self.issuer)

    def is_over(self, chain: int, seq: int, time: float) -> bool:
        if self.restored is not None and (seq > self.restored[0] if chain == self.chain else time >= self.restored[1]):
            return True
        return time > self.until


@final
class Replay:
    """One judgement over all chains of an installation."""

    def __init__(self, *, within: float = 0.0, cut_within: float = 1.0) -> None:
        """`within` is how many seconds a revocation may take to other writers, `cut_within` to the end of what is open."""
        self._within: Final = within
        self._cut_within: Final = cut_within
        self._in_force: Final[dict[str, list[_InForce]]] = {}
        self._found: Final = Judgement()

    def judge(self, chains: Sequence[Chain], acknowledged: Iterable[Mapping[str, Any]] = ()) -> Judgement:
        """Judge the chains together. `acknowledged` are revocations by `kind`, `id` and `time`, as somebody else has noted.

        Raises `ValueError` for a revocation that cannot be read.
        """
        for record in acknowledged:
            self._take(None, record)
        for number, chain in enumerate(chains):
            for record in chain():
                if record.get("type") == "revocation":
                    self._take(number, record)
        for number, chain in enumerate(chains):
            self._follow(number, chain())
        return self._found

    def _take(self, chain: int | None, record: Mapping[str, Any]) -> None:
        kind, name, tenant = str(record.get("kind")), str(record.get("id")), record.get("tenant")
        seq, time = int(record.get("seq", 0)), _seconds(record.get("time"))
        if record.get("event") == "restored":
            for mark in _marks(kind, name, tenant):
                for each in self._in_force.get(mark, ()):
                    if each.restored is None and each.concerns(record):
                        each.restored = (seq, time)
            return
        known = self._in_force.setdefault(_marks(kind, name, tenant)[0], [])
        self._found.revocations += 1
        until = record.get("until")
        known.append(_InForce(chain, seq, time, _FOREVER if until is None else _seconds(until), record.get("issuer")))

    def _follow(self, chain: int, records: Iterable[Mapping[str, Any]]) -> None:
        opened: dict[str, Mapping[str, Any]] = {}
        for record in records:
            kind, request_id = record.get("type"), str(record.get("request_id"))
            if kind == "request":
                if record.get("decision") == "allow" or record.get("enforced") is False:
                    self._found.accepted += 1
                    self._judge_acceptance(chain, record)
                    opened[request_id] = record
                    if len(opened) > _MOST_OPEN:
                        del opened[next(iter(opened))]
                elif record.get("code") == "token_revoked":
                    self._found.refused += 1
            elif kind == "response" and (request := opened.pop(request_id, None)) is not None:
                if record.get("code") == "token_revoked":
                    self._found.cut += 1
                if record.get("ending") != "unknown":
                    self._judge_end(chain, request, record)

    def _judge_acceptance(self, chain: int, record: Mapping[str, Any]) -> None:
        for mark in self._revoked_of(record):
            seq, time = int(record["seq"]), _seconds(record["time"])
            for each in self._concerning(mark, record):
                before = seq < each.seq if chain == each.chain else time <= each.time
                if before or each.is_over(chain, seq, time):
                    continue
                late = time - each.time
                self._found.latest_acceptance = max(self._found.latest_acceptance, late)
                if chain == each.chain or late > self._within:
                    self._found.add(Breach(str(record.get("request_id")), mark, kept_open=False, late=late))
                    return

    def _judge_end(self, chain: int, request: Mapping[str, Any], response: Mapping[str, Any]) -> None:
        for mark in self._revoked_of(request):
            seq, time = int(response["seq"]), _seconds(response["time"])
            began = _seconds(request["time"])
            for each in self._concerning(mark, request):
                before = seq < each.seq if chain == each.chain else time <= each.time
                later = int(request["seq"]) > each.seq if chain == each.chain else began > each.time
                if before or later or each.restored is not None:
                    continue
                late = min(time, each.until) - each.time
                self._found.latest_close = max(self._found.latest_close, late)
                if late > self._cut_within:
                    self._found.add(Breach(str(request.get("request_id")), mark, kept_open=True, late=late))
                    return

    def _concerning(self, mark: str, record: Mapping[str, Any]) -> Iterable[_InForce]:
        return [each for each in self._in_force[mark] if each.concerns(record)]

    def _revoked_of(self, record: Mapping[str, Any]) -> Iterable[str]:
        tenant = record.get("tenant")
        marks = (mark for kind in _RUNGS for mark in _marks(kind, str(record.get(kind)), tenant))
        return [mark for mark in marks if mark in self._in_force]


def _marks(kind: str, name: str, tenant: object) -> Sequence[str]:
    """What revokes one thing: its own mark first, and that of somebody who has noted no tenant."""
    marks = (f"{kind}:{name}",) if tenant is None else (mark_of(kind, name, str(tenant)), f"{kind}:{name}")
    return tuple(dict.fromkeys(marks))


def _seconds(time: object) -> float:
    """Unix seconds of an RFC 3339 time. Raises `ValueError`."""
    return datetime.fromisoformat(str(time)).timestamp()
