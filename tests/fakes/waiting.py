"""A request that waits, driven by hand; knows not what for."""

import pytest

from gateway.errors import Refusal
from gateway.http.waiting import Wait


class Caller:
    """A request that waits, driven by hand."""

    def __init__(self) -> None:
        self.life = None
        self.wait: Wait | None = None
        self.outcome: object = None

    def drive(self, life) -> "Caller":
        self.life = life
        self._step(None)
        return self

    def resume(self, wait: Wait, value: object) -> None:
        if self.wait is wait:
            self._step(value)

    def expire(self) -> None:
        assert self.wait is not None
        with pytest.raises(Refusal) as refused:
            self.life.throw(self.wait.overdue())
        self.outcome = refused.value.code

    def _step(self, value: object) -> None:
        try:
            self.wait = self.life.send(value)
        except StopIteration as end:
            self.wait, self.outcome = None, end.value if end.value is not None else "done"
        except Refusal as refusal:
            self.wait, self.outcome = None, refusal.code
