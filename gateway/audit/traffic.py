"""Counts what closing records say, so cheaply that every request can be counted; knows no name of a metric.

Plain integers of one thread: who looks at them adds them up. Of requests to the same upstream one object holds all.
"""

from bisect import bisect_left
from typing import Final, final

from gateway.metrics.table import DURATIONS
from gateway.model import Outcome, Upstream

MOST_FLOWS: Final = 4096
"""How many upstreams are counted apart, also those of earlier configurations; all others together."""
FURTHER: Final = "(others)"
"""The name of those others, which no upstream can have."""

ALLOW: Final = "allow"
OBSERVED: Final = "observed"
DENY: Final = "deny"
NONE: Final = "none"
_CLASSES: Final = 6
"""Of statuses: none, and 1xx to 5xx."""


@final
class Flow:
    """The requests of one upstream that have ended. `answers` are those without a refusal by class of status."""

    __slots__ = ("answers", "durations", "endings", "head_seconds", "heads", "limits", "received", "refusals", "resent",
                 "scrubbed", "seconds", "sent", "tenant", "upstream")  # fmt: skip

    def __init__(self, tenant: str, upstream: str) -> None:
        self.tenant: Final = tenant
        self.upstream: Final = upstream
        self.answers: Final[list[int]] = [0] * _CLASSES
        self.refusals: Final[dict[tuple[str, str, int], int]] = {}
        """All others by decision, code and class of status."""
        self.endings: Final[dict[str, int]] = {}
        self.limits: Final[dict[str, int]] = {}
        """Refusals for a limit by its kind."""
        self.durations: Final[list[int]] = [0] * (len(DURATIONS) + 1)
        self.seconds = 0.0
        self.heads: Final[list[int]] = [0] * (len(DURATIONS) + 1)
        """How long the upstream took for the head of its answer."""
        self.head_seconds = 0.0
        self.received = 0
        self.sent = 0
        self.scrubbed = 0
        self.resent = 0


@final
class Traffic:
    """All flows of one process."""

    __slots__ = ("_known", "flows")

    def __init__(self) -> None:
        """Nothing has passed yet."""
        self.flows: Final[dict[tuple[str, str], Flow]] = {}
        """By tenant and name of the upstream, both empty where none was found."""
        self._known: dict[Upstream | None, Flow] = {}

    def count(self, upstream: Upstream | None, decision: str, outcome: Outcome, seconds: float, cause: str | None) -> None:
        """One exchange has ended, after so many seconds. `cause` says which limit, where one was the reason."""
        flow = self._known.get(upstream)
        if flow is None:
            flow = self._flow(upstream)
        code, status = outcome.code, outcome.status // 100
        if status >= _CLASSES:
            status = 0
        if code is None and decision == ALLOW:
            flow.answers[status] += 1
        else:
            key = (decision, code or "", status)
            flow.refusals[key] = flow.refusals.get(key, 0) + 1
            if code == "limit_exceeded" and cause is not None:
                kind = cause.partition(" ")[0]
                flow.limits[kind] = flow.limits.get(kind, 0) + 1
        ending = outcome.ending
        flow.endings[ending] = flow.endings.get(ending, 0) + 1
        flow.durations[bisect_left(DURATIONS, seconds)] += 1
        flow.seconds += seconds
        head = outcome.upstream_seconds
        if head is not None:
            flow.heads[bisect_left(DURATIONS, head)] += 1
            flow.head_seconds += head
        flow.received += outcome.received
        flow.sent += outcome.sent
        if outcome.scrubbed:
            flow.scrubbed += outcome.scrubbed
        if outcome.attempts > 1:
            flow.resent += outcome.attempts - 1

    def _flow(self, upstream: Upstream | None) -> Flow:
        """The flow of an upstream; after a change of the configuration another object has the same name, and the same flow."""
        name = ("", "") if upstream is None else (upstream.tenant, upstream.name)
        flow = self.flows.get(name)
        if flow is None:
            if len(self.flows) >= MOST_FLOWS:
                name = ("", FURTHER)
                flow = self.flows.get(name)
            if flow is None:
                flow = self.flows[name] = Flow(*name)
        if len(self._known) >= MOST_FLOWS:
            self._known = {}
        self._known[upstream] = flow
        return flow
