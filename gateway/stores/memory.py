"""What an authority remembers of its store, in a file of its own, so that it knows one that was set back; asks no store."""

import json
import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import mkstemp
from typing import Final, final

from gateway import telemetry
from gateway.stores import epochs
from gateway.stores.store import StoreUnavailableError

_LARGEST: Final = 4096

_log = telemetry.logger("store")


@final
@dataclass(slots=True)
class Memory:
    """The latest epoch of the store that this authority knows, and the highest count that it has seen in it.

    In one epoch a store counts on for ever: a lower count, or an epoch that is over, is that of a store that was set back.
    The file makes an authority remember when it starts anew. `name` is what a shared store calls this authority.
    """

    name: str = ""
    epoch: str = ""
    count: int = 0
    file: Path | None = None
    _saved: tuple[str, str, int] | None = None

    def load(self, file: Path | None) -> None:
        """Take over what was remembered in this file, and keep it there from now on; with None nothing is kept.

        Raises `StoreUnavailableError` for a file that cannot be read.
        """
        if file is not None:
            try:
                with file.open("rb") as opened:
                    found = json.loads(opened.read(_LARGEST))
                self.name, self.epoch, self.count = str(found["name"]), str(found["epoch"]), int(found["count"])
            except FileNotFoundError:
                pass
            except (OSError, ValueError, KeyError, TypeError):
                raise StoreUnavailableError(f"what is remembered of it in {file} cannot be read; remove that file") from None
            for draft in file.parent.glob(f"{file.name}.*"):  # that a kill has left
                with suppress(OSError):
                    draft.unlink()
        self.file, self._saved = file, (self.name, self.epoch, self.count)

    def save(self, *, synced: bool = False) -> None:
        """Keep it for the next start; the name of the file is that of a whole one at any time.

        After a loss of power that is only certain if it was `synced`, which waits for the disk. Raises
        `StoreUnavailableError`.
        """
        known = self.name, self.epoch, self.count
        if self.file is None or known == self._saved:
            return
        try:
            _write(self.file, json.dumps({"name": self.name, "epoch": self.epoch, "count": self.count}), synced=synced)
        except OSError as error:
            raise StoreUnavailableError(f"{self.file} cannot be written ({error.strerror})") from None
        self._saved = known

    def learn(self, epoch: str, count: int) -> None:
        """What the store said; of two answers the one that says more, whichever comes first."""
        if epoch == self.epoch:
            self.count = max(self.count, count)
        elif not epochs.is_past(epoch, self.epoch):
            self.epoch, self.count = epoch, count

    def exceeds(self, epoch: str, count: int) -> bool:
        """Whether a store that says this was set back."""
        return epochs.is_past(epoch, self.epoch) or (epoch == self.epoch and count < self.count)

    def compare(self, remembered: str) -> None:
        """Log that another epoch has begun since `remembered` was, while this authority was away."""
        if remembered not in ("", self.epoch):
            _log.error("epoch_began", epoch=self.epoch, lost=remembered, reason="the store was emptied or set back meanwhile")


def _write(file: Path, text: str, *, synced: bool) -> None:
    """By way of a draft of its own, for another authority that has the same file by mistake may write at the same time."""
    descriptor, draft = mkstemp(prefix=f"{file.name}.", dir=file.parent)
    try:
        with os.fdopen(descriptor, "w") as out:
            out.write(text)
            if synced:
                out.flush()
                os.fsync(descriptor)
        Path(draft).replace(file)
    except OSError:
        with suppress(OSError):
            Path(draft).unlink()
        raise
