"""Turns what the script of the Redis store answers into values, and remembers how far it was; asks no server."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, final

from gateway.model import Restoration, Revocation
from gateway.stores.store import Ending, Entry, Stop, StoreUnavailableError, TaskRow, read_terms, terms_of

_RESTORED: Final = "restored"
_FIXED: Final = ("id", "tenant", "agent", "subject", "starter", "intents", "opened", "ends", "policy", "parent", "params")
_FILE: Final = "redis.json"
_LARGEST: Final = 4096


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


@final
@dataclass(slots=True)
class Memory:
    """What this authority remembers of the store: under which name, in which epoch, and how often it was there.

    A store that counts fewer calls than it has answered was emptied or set back. The file makes an authority remember it
    when it starts anew; without one it has no signing key of before either, so no token of before is good.
    """

    name: str
    epoch: str = ""
    count: int = 0
    file: Path | None = None

    def load(self, folder: Path | None) -> None:
        """Take over what was remembered. What cannot be read is forgotten, and so are all tokens: it counts as lost."""
        if folder is None:
            return
        self.file = folder / _FILE
        try:
            with self.file.open("rb") as opened:
                found = json.loads(opened.read(_LARGEST))
            self.name, self.epoch, self.count = str(found["name"]), str(found["epoch"]), int(found["count"])
        except FileNotFoundError:
            return
        except (OSError, ValueError, KeyError, TypeError):
            raise StoreUnavailableError(f"what is remembered of it in {self.file} cannot be read; remove that file") from None

    def save(self) -> None:
        """Keep it for the next start; the name of the file is that of a whole one at any time."""
        if self.file is None:
            return
        draft = self.file.with_suffix(".new")
        try:
            draft.write_text(json.dumps({"name": self.name, "epoch": self.epoch, "count": self.count}))
            draft.replace(self.file)
        except OSError as error:
            raise StoreUnavailableError(f"{self.file} cannot be written ({error.strerror})") from None

    def learn(self, epoch: str, count: int) -> None:
        """What the store said. In a new epoch it counts anew."""
        self.count = max(self.count, count) if epoch == self.epoch else count
        self.epoch = epoch
