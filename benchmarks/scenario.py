"""What a scenario is: who is measured, at what, and which figures come out; knows no scenario and measures nothing."""

import subprocess
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from benchmarks import upstreams
from benchmarks.results import median, most
from benchmarks.scene import Peer, Scene

Figures = dict[str, float | None]


@dataclass(frozen=True)
class Column:
    """One figure of a run, as tables show it."""

    key: str
    title: str
    digits: int = 0
    of_runs: Callable[[Iterable[dict], str], float | None] = median
    """What is shown of many runs."""


STOLEN = Column("steal", "most stolen", 2, most)
"""What the host took from all cores, in cores, in the run from which it took most; every run says its own."""


@dataclass(frozen=True)
class Stage:
    """What has to run around the peers of a scenario; scenarios of one stage share it."""

    upstream: Callable[[Scene], subprocess.Popen] = upstreams.pages
    with_condition: bool = False
    started: bool = True
    """Whether the peers are started before the runs; if not, each run starts its own."""


@dataclass(frozen=True)
class Scenario:
    """One row of runs for each peer. The first column is the one that is compared."""

    name: str
    title: str
    peers: tuple[str, ...]
    measure: Callable[[Peer, int], Figures]
    """One run of one peer, for so many seconds."""
    columns: tuple[Column, ...]
    stage: Stage = Stage()
    prepare: Callable[[Scene, int], None] | None = None
    """Done before each round."""
    conclude: Callable[[dict[str, list[Figures]]], None] | None = None
    """Done after all rounds, with the runs of all peers: adds figures that need more than one of them."""
    against: tuple[str, ...] = ("envoy", "nginx")
    """The peers that ratios are given to."""
    repeats: int = 5
    seconds: int = 4

    @property
    def measured(self) -> tuple[str, ...]:
        """The peers, and wherever Doorward is, also what compiling makes of it."""
        return (*self.peers, "doorward-compiled") if "doorward" in self.peers else self.peers
