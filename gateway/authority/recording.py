"""Writes what the authority did into the audit log; decides what may wait for the log and what must not, knows no file."""

from collections import deque
from collections.abc import Mapping
from typing import Final, Protocol, final

from gateway import telemetry
from gateway.errors import Refusal

WAITING: Final = 10_000
"""How many records may wait; beyond it the oldest goes to the operational log instead."""

_log = telemetry.logger("authority")


class Notes(Protocol):
    """The audit log as the authority sees it."""

    def note(self, kind: str, members: Mapping[str, object]) -> None:
        """Take one record. Raises `Refusal("audit_unavailable")` if it cannot be taken."""
        ...


@final
class Recorder:
    """Access is given only once it is recorded; access is ended even if the record has to wait for the log."""

    def __init__(self, notes: Notes, issuer: str = "") -> None:
        """`notes` is where records go. Each says by its `issuer` whose agents, tasks and tokens it is about."""
        self._notes = notes
        self._issuer = issuer
        self._waiting: deque[tuple[str, Mapping[str, object]]] = deque()

    @property
    def waiting(self) -> int:
        """How many records wait for the log."""
        return len(self._waiting)

    def ready(self) -> None:
        """Say so before anything is stored if records are waiting that the log does not take. Raises `Refusal`."""
        self._catch_up()

    def before_giving(self, kind: str, members: Mapping[str, object]) -> None:
        """Record access that is about to be given. Raises `Refusal`; then it must not be given."""
        self._catch_up()
        self._notes.note(kind, self._whole(members))

    def after_ending(self, kind: str, members: Mapping[str, object]) -> None:
        """Record access that has ended, as soon as the log takes it; the store keeps it until then."""
        if len(self._waiting) == WAITING:
            lost, facts = self._waiting.popleft()
            _log.error("record_lost", kind=lost, members=dict(facts))
        self._waiting.append((kind, self._whole(members)))
        self.catch_up()

    def catch_up(self) -> None:
        """Try again to record what waits."""
        try:
            self._catch_up()
        except Refusal:
            _log.error("records_waiting", count=len(self._waiting))

    def _whole(self, members: Mapping[str, object]) -> Mapping[str, object]:
        return {**members, "issuer": self._issuer} if self._issuer else members

    def _catch_up(self) -> None:
        while self._waiting:
            self._notes.note(*self._waiting[0])
            self._waiting.popleft()
