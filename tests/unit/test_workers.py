"""The parent of several workers, as far as no process is needed to see it."""

import os
import pwd
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from fakes.dry_house import AGENT, CONFIGURATION, StillClock

from gateway import workers
from gateway.errors import DoorwardError
from gateway.settings.load import load_text
from gateway.workers import Workers


class Silent:
    """The line to a worker that hears everything and never answers."""

    def __init__(self) -> None:
        self.heard: list[Mapping[str, Any]] = []

    def send(self, message: Mapping[str, Any]) -> None:
        self.heard.append(message)


async def test_a_change_is_refused_if_a_worker_does_not_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is in force that one of them did not prepare."""
    monkeypatch.setattr(workers, "PREPARE", 0.05)
    text = CONFIGURATION.format(user=pwd.getpwuid(os.getuid()).pw_name, agent=AGENT)
    loaded = load_text(text.replace("gateway: {", "gateway: {workers: 2, ", 1), tmp_path / "doorward.yaml")
    parent, line = Workers(loaded, StillClock()), Silent()
    slot = parent._slots[0]
    slot.process, slot.control = object(), line
    with pytest.raises(DoorwardError, match="not every worker"):
        await parent._prepare_workers(loaded, "digest")
    assert [message["do"] for message in line.heard] == ["prepare"]
