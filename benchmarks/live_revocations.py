"""What does a gateway keep for each live revocation, and does it let go of them? Knows one `Standing`, and no feed.

A million tasks are revoked as the feed would tell of them; then the question of each request is asked of the full memory; at last the
tokens that they could concern have expired, and every heartbeat lets go of some until none is left. Memory is that of the process.
"""

import json
import os
import sys
import time

from benchmarks.results import save
from benchmarks.scene import resident_kib
from gateway.clock import Clock
from gateway.identity.standing import SECONDS_PAST_USE, Standing
from gateway.model import Revocation, marks_of

REVOCATIONS = 1_000_000
LIVES = 900.0
"""Seconds for which a revocation is live: the longest life of a token."""
QUESTIONS = 200_000


class Ahead(Clock):
    """A clock that can be put ahead."""

    ahead = 0.0

    def now(self) -> float:
        return super().now() + self.ahead


def main() -> int:
    clock = Ahead()
    standing = Standing(clock, issuer="i", audience="a", tenants=frozenset(("t",)), prefix="dwt_", max_staleness=10.0)
    standing.beat("epoch", 0, horizon=0.0)
    empty = resident_kib(os.getpid())
    now = clock.now()
    began = time.perf_counter()
    for seq in range(1, REVOCATIONS + 1):
        until = now + LIVES * seq / REVOCATIONS
        standing.revoked(Revocation(seq, now, "task", clock.identifier(), "completed", until))
    told = time.perf_counter() - began
    full = resident_kib(os.getpid())
    assert len(standing.ended) == REVOCATIONS
    marks = [marks_of(token=clock.identifier(), task=clock.identifier(), agent="g", tenant="t", key="k") for _ in range(1000)]
    began = time.perf_counter()
    for number in range(QUESTIONS):
        assert standing.ended.isdisjoint(marks[number % 1000])
    asked = time.perf_counter() - began
    clock.ahead = LIVES + SECONDS_PAST_USE + 20
    beats = []
    while standing.ended:
        began = time.perf_counter()
        standing.beat("epoch", REVOCATIONS, horizon=0.0)
        beats.append(time.perf_counter() - began)
    found = {
        "revocations": REVOCATIONS, "kib_empty": empty, "kib_full": full, "kib_after": resident_kib(os.getpid()),
        "bytes_each": round((full - empty) * 1024 / REVOCATIONS), "told_us": round(told / REVOCATIONS * 1e6, 2),
        "asked_us": round(asked / QUESTIONS * 1e6, 3), "beats": len(beats), "longest_beat_ms": round(max(beats) * 1e3, 1),
    }  # fmt: skip
    print(json.dumps(found))
    if "--no-save" not in sys.argv:
        save("live_revocations", None, found)
    return 0


if __name__ == "__main__":
    sys.exit(main())
