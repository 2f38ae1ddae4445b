"""An installation of several workers: how many there are to be, and which processes they are; knows no single behaviour."""

import time
from collections.abc import Callable
from pathlib import Path

from fakes.installation import Installation


def workers_of(installation: Installation, count: int) -> None:
    file = installation.folder / "doorward.yaml"
    text = file.read_text()
    assert "\ngateway:\n" in text
    file.write_text(text.replace("\ngateway:\n", f"\ngateway:\n  workers: {count}\n"))


def until(condition: Callable[[], object], seconds: float = 30) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.02)


def children(installation: Installation) -> list[int]:
    assert installation.served is not None
    pid = installation.served.pid
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
