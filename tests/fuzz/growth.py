"""Grows the corpus of one target by what is the first of its kind, a step in the product or an outcome; knows no protocol.

A failure is an exception of any kind, or an input that takes too long. Everything that is kept has a bound.
"""

import random
import signal
import sys
import time
import traceback
from collections.abc import Hashable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from types import FrameType
from typing import NamedTuple, Protocol

from fuzz.mutations import Mutator
from fuzz.targets import Check, Target
from fuzz.written import words

import gateway

MOST_KEPT = 4000
MOST_OUTCOMES = 20_000
MOST_FINDINGS = 20
SECONDS_PER_INPUT = 10.0
"""Of this process, which does not run while the machine stands still."""
TRACED = 4
"""One of so many inputs has its steps watched, for that makes it several times slower; every one has its outcome judged."""
_PRODUCT = Path(gateway.__file__).parent


class Step(Protocol):
    """What the interpreter calls on each event of a traced frame."""

    def __call__(self, frame: FrameType, event: str, argument: object, /) -> "Step | None": ...


class TooSlowError(BaseException):
    """An input took longer than it may; no handler of ordinary errors catches it."""


class Finding(NamedTuple):
    """An input that broke something, with where it broke."""

    raw: bytes
    where: str
    told: str


class Reach:
    """The steps from line to line that were taken in some modules of the product."""

    def __init__(self, modules: Iterable[str]) -> None:
        self._files = {str(_PRODUCT / f"{module}.py") for module in modules}
        missing = [file for file in self._files if not Path(file).is_file()]
        assert not missing, missing
        self._last = 0
        self.steps: set[tuple[int, str, int]] = set()

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Note the steps that are taken meanwhile."""
        self._last = 0
        before = sys.gettrace()
        sys.settrace(self._called)
        try:
            yield
        finally:
            sys.settrace(before)

    def _called(self, frame: FrameType, _event: str, _argument: object) -> Step | None:
        return self._stepped if frame.f_code.co_filename in self._files else None

    def _stepped(self, frame: FrameType, event: str, _argument: object) -> Step:
        if event == "line":
            line = frame.f_lineno
            self.steps.add((self._last, frame.f_code.co_name, line))
            self._last = line
        return self._stepped


class Growth:
    """One target with its corpus."""

    def __init__(self, target: Target, seeds: Iterable[bytes], chance: random.Random, *, traced: int = TRACED) -> None:
        """`seeds` are all watched, and later one of `traced` inputs."""
        self._check: Check = target.check
        self._chance = chance
        self._mutator = Mutator(chance, [word for name in target.words for word in words(name)], target.longest)
        self._reach = Reach(target.reaches)
        self._outcomes: set[Hashable] = set()
        self._traced = traced
        self.kept: list[bytes] = []
        self.given = 0
        """How many inputs it began with."""
        self.executions = 0
        self.slowest = 0.0
        """Seconds of this process that one input took at most."""
        self.findings: list[Finding] = []
        for seed in seeds:
            if not self.run(seed):
                self._keep(seed)
        self.given = len(self.kept)

    @property
    def steps(self) -> int:
        """How many different steps were taken in the product."""
        return len(self._reach.steps)

    def mutate(self) -> None:
        """Make one new input and run it."""
        kept, chance = self.kept, self._chance
        recent = chance.random() < 0.3
        parent = kept[-chance.randint(1, min(50, len(kept)))] if recent else chance.choice(kept)
        self.run(self._mutator.of(parent, chance.choice(kept)))

    def run(self, raw: bytes) -> bool:
        """Run one input; keep it if it is the first of its kind."""
        self.executions += 1
        before, began = len(self._reach.steps), time.process_time()
        try:
            with limited(SECONDS_PER_INPUT), self._watching():
                outcome = self._check(raw)
        except (Exception, TooSlowError) as error:  # noqa: BLE001 whatever it is, it is a finding
            self._found(raw, error)
            return False
        self.slowest = max(self.slowest, time.process_time() - began)
        new = len(self._reach.steps) > before
        if outcome not in self._outcomes and len(self._outcomes) < MOST_OUTCOMES:
            self._outcomes.add(outcome)
            new = True
        if new:
            self._keep(raw)
        return new

    def _watching(self) -> AbstractContextManager[None]:
        traced = self.executions % self._traced == 0 or not self.given
        return self._reach.watching() if traced else nullcontext()

    def _keep(self, raw: bytes) -> None:
        if len(self.kept) >= MOST_KEPT:
            self.kept[self._chance.randrange(MOST_KEPT)] = raw
        else:
            self.kept.append(raw)

    def _found(self, raw: bytes, error: BaseException) -> None:
        frames = traceback.extract_tb(error.__traceback__)
        inner = [frame for frame in frames if "/fuzz/" in frame.filename or "/gateway/" in frame.filename][-1]
        where = f"{type(error).__name__} at {Path(inner.filename).name}:{inner.lineno}"
        if len(self.findings) < MOST_FINDINGS and where not in {finding.where for finding in self.findings}:
            self.findings.append(Finding(self._smallest(raw, type(error)), where, f"{error}"[:400]))

    def _smallest(self, raw: bytes, kind: type[BaseException]) -> bytes:
        """Leave out parts for as long as the same kind of error comes of the rest."""
        size = max(1, len(raw) // 2)
        while size:
            at = 0
            while at < len(raw):
                less = raw[:at] + raw[at + size :]
                if self._fails(less, kind):
                    raw = less
                else:
                    at += size
            size //= 2
        return raw

    def _fails(self, raw: bytes, kind: type[BaseException]) -> bool:
        try:
            with limited(SECONDS_PER_INPUT):
                self._check(raw)
        except kind:
            return True
        except Exception:  # noqa: BLE001 another error is another finding
            return False
        return False


@contextmanager
def limited(seconds: float) -> Iterator[None]:
    """Let the block take so much of this process's time and no more. Raises `TooSlowError` out of it."""

    def overdue(_signal: int, _frame: FrameType | None) -> None:
        raise TooSlowError(f"more than {seconds} s")

    before = signal.signal(signal.SIGPROF, overdue)
    signal.setitimer(signal.ITIMER_PROF, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)
