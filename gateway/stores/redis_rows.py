"""Turns what the script of the Redis store answers into values; asks no server."""

import json
from collections.abc import Sequence
from typing import Any, Final

from gateway.model import Restoration, Revocation
from gateway.stores.store import Ending, Entry, Stop, TaskRow, read_terms, terms_of

_RESTORED: Final = "restored"
_FIXED: Final = ("id", "tenant", "agent", "subject", "starter", "intents", "opened", "ends", "policy", "parent", "params")


def row_of(task: TaskRow) -> str:
    """The members of a task that never change, as text."""
    fixed = {name: getattr(task, name) for name in _FIXED}
    return json.dumps({**fixed, "params": dict(task.params), "terms": terms_of(task)})


def task_row(shown: Sequence[bytes]) -> TaskRow:
    """A task, from its text and what has become of it."""
    row, state, ended, cause, due = shown
    members: dict[str, Any] = json.loads(row)
    members["intents"] = tuple(members["intents"])
    terms = read_terms(members.pop("terms", {}))
    return TaskRow(
        **members,
        **terms,
        state=state.decode(),
        ended=float(ended) if ended else None,
        cause=cause.decode() or None,
        due=float(due) if due else None,
    )


def entry(packed: bytes) -> Entry:
    """An entry of the feed."""
    seq, time, kind, name, cause, until, tenant, state = json.loads(packed)
    if state == _RESTORED:
        return Restoration(int(seq), float(time), kind, name, tenant)
    return Revocation(int(seq), float(time), kind, name, cause, float(until), tenant)


def revocation(packed: bytes) -> Revocation:
    """An entry of the feed that revokes."""
    seq, time, kind, name, cause, until, tenant, _state = json.loads(packed)
    return Revocation(int(seq), float(time), kind, name, cause, float(until), tenant)


def stop(packed: bytes) -> Stop:
    """A stop, with the tenant that it is of."""
    found = revocation(packed)
    return Stop(found.tenant, found)


def ending(family: Sequence[Sequence[Any]]) -> Ending:
    """A task that has ended, with those below it."""
    first, *below = (
        Ending(task_row(shown), revocation(packed) if packed else None, first == b"1") for shown, first, packed in family
    )
    return first._replace(descendants=tuple(below))
