"""What one decision costs beside more and more policy that does not concern it; in process, knows no socket.

Each installation has as many upstreams, intents, grants and denials as its row says, each grant for an agent of its own. One
request of one agent is decided: its upstream is found, its operation compared with the templates, its denials and its grant
asked. The installations take turns, so that what disturbs the machine disturbs them all.

    python -m benchmarks.decisions --decisions 2000 --rounds 15
"""

import argparse
import statistics
import sys
import time
from typing import Any, Final, cast

from benchmarks.results import save
from benchmarks.table import as_text
from gateway.clock import Clock
from gateway.http.fields import request_vocabulary
from gateway.http.head import parse_request
from gateway.http.routes import Routes
from gateway.intent.index import OperationIndex
from gateway.intent.rules import IntentRule
from gateway.model import Current, DeclaredIntent, Operation, Origin, Principal, Upstream, Use
from gateway.policy.compile import Policy
from gateway.policy.decide import decide
from gateway.policy.rules import DenialRule, GrantRule

SIZES: Final = (10, 100, 1_000, 10_000)
"""How many entries of each kind an installation has."""
BOUND: Final = 1.2
"""How much dearer a decision may be in the largest than in the smallest."""
AGENT: Final = "spiffe://bench.test/ns/agents/sa/agent-7"
HEAD: Final = b"GET /up-7/v1/thing-7/42/items HTTP/1.1\r\nHost: x"


class Installation:
    """Policy of one size, and one request that concerns a single grant of it."""

    def __init__(self, size: int) -> None:
        numbers = range(size)
        upstreams = [upstream(number) for number in numbers]
        self.routes = Routes(upstreams)
        rules = {
            f"thing-{n}.read": IntentRule(upstream="up-7", operations=[f"GET /v1/thing-{n}/{{id}}/items"]) for n in numbers
        }
        self.index = OperationIndex(rules)
        grants = [
            GrantRule(
                name=f"grant {n}", agents=[f"spiffe://bench.test/ns/agents/sa/agent-{n}"], intents=[f"thing-{n}.read"],
                start=cast("Any", {"by": ["spiffe://bench.test/ns/*"]}), when="path.id == task.params.id",
            )
            for n in numbers
        ]  # fmt: skip
        denials = [
            DenialRule(name=f"denial {n}", agents=[f"spiffe://bench.test/ns/agents/sa/agent-{n}"], intents=[f"thing-{n}.read"],
                       when="path.id == '666'")
            for n in numbers
        ]  # fmt: skip
        self.policy = Policy(grants, denials, list(rules), "digest")
        self.head = parse_request(HEAD, request_vocabulary(()), most_lines=9)

    def decide(self, principal: Current, clock: Clock) -> str:
        """Route, compare and decide, with nothing remembered of an earlier request."""
        target = self.head.target
        found = self.routes.match(self.head)
        observed = self.index.covering("GET", target.segments[1:], None)
        use = Use(DeclaredIntent("thing-7.read"), Operation("GET", target.path, target.segments), observed)
        return decide(self.policy, principal, use, found, self.head, "127.0.0.1", clock).grant


def upstream(number: int) -> Upstream:
    return Upstream(tenant="t", name=f"up-{number}", origin=Origin("http", "h", 1), prefix=f"/up-{number}", base_path="",
                    protocol="http", credential="c")  # fmt: skip


def principal() -> Current:
    return Current(
        Principal(agent=AGENT, subject=AGENT, tenant="t", task="t", token="", intents=frozenset(("thing-7.read",)),
                  expires=9e9, epoch="e", marks=frozenset(), params={"id": "42"})
    )  # fmt: skip


def measure(decisions: int, rounds: int, sizes: tuple[int, ...] = SIZES) -> dict[str, list[float]]:
    """Nanoseconds of one decision, for each size in each round."""
    installations = {size: Installation(size) for size in sizes}
    caller, clock, now = principal(), Clock(), time.perf_counter_ns
    taken: dict[str, list[float]] = {str(size): [] for size in sizes}
    for installation in installations.values():
        assert installation.decide(caller, clock) == "grant 7"
    for _ in range(rounds):
        for size, installation in installations.items():
            started = now()
            for _ in range(decisions):
                installation.decide(caller, clock)
            taken[str(size)].append((now() - started) / decisions)
    return taken


def rows_of(taken: dict[str, list[float]]) -> list[list[str]]:
    """One row for each size: the median, and how much that is of the smallest size's in the same round."""
    first = next(iter(taken.values()))
    rows = [["upstreams, intents, grants and denials", "µs a decision", "of the smallest"]]
    for size, each in taken.items():
        beside = statistics.median(mine / its for mine, its in zip(each, first, strict=True))
        rows.append([f"{int(size):,} of each", f"{statistics.median(each) / 1000:.2f}", f"{beside:.2f}"])
    return rows


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--decisions", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=15)
    arguments = parser.parse_args()
    taken = measure(arguments.decisions, arguments.rounds)
    build = "pure Python" if str(sys.modules["gateway.policy.decide"].__file__).endswith(".py") else "compiled"
    save("decisions", build, {"decisions": arguments.decisions, "rounds": arguments.rounds, "taken": taken})
    print("\n".join(as_text(rows_of(taken))))
    least, most = taken[str(SIZES[0])], taken[str(SIZES[-1])]
    worst = statistics.median(mine / its for mine, its in zip(most, least, strict=True))
    print(f"{build}: the largest costs {worst:.2f} of the smallest, and may cost {BOUND}")
    return 0 if worst <= BOUND else 1


if __name__ == "__main__":
    sys.exit(main())
