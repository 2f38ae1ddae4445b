"""What an audit log says of a soak: whether it verifies, and whether every request left its records; knows no load.

Verified by `doorward audit verify`, offline; the records of each request are counted here once more, on their own.
"""

import json
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

import orjson

from gateway.audit import segments


@dataclass
class Records:
    """Counts of one pass over a log."""

    requests: int = 0
    """Of parsed heads."""
    responses: int = 0
    unparsed: int = 0
    counted: int = 0
    """Refusals that were counted instead of recorded one by one."""
    alone: int = 0
    """Requests without their response, or responses without their request."""
    endings: dict[str, int] = field(default_factory=dict)

    def read(self, log: Path) -> "Records":
        opened: set[str] = set()
        for located in segments.all_lines(log):
            self.take(orjson.loads(located.line), opened)
        self.alone += len(opened)
        return self

    def take(self, record: dict, opened: set[str]) -> None:
        kind = record["type"]
        if kind == "request" and record["method"] is None:
            self.unparsed += 1
        elif kind == "request":
            self.requests += 1
            self.alone += record["request_id"] in opened
            opened.add(record["request_id"])
        elif kind == "response":
            self.responses += 1
            self.endings[record["ending"]] = self.endings.get(record["ending"], 0) + 1
            self.alone += record["request_id"] not in opened
            opened.discard(record["request_id"])
        elif kind == "refusals":
            self.counted += sum(value for value in record.get("codes", {}).values())


def verified(configuration: Path) -> dict:
    """What the product's own verification says."""
    words = [sys.executable, "-m", "gateway", "audit", "verify", "--json", "-c", str(configuration)]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    found = json.loads(done.stdout)
    kept = ("intact", "records", "signed_checkpoints", "open", "repeated_or_unopened", "incomplete_last_line", "findings")
    return {"status": done.returncode, **{name: found.get(name) for name in kept}}


def faults(records: Records, verification: dict, answered: int, asked: int, malformed: int) -> list[str]:
    """Sentences about what is not as it must be. `asked` counts heads that were sent, `answered` those that were answered."""
    found = []
    if verification["status"] or not verification["intact"] or verification["open"] or verification["repeated_or_unopened"]:
        found.append(f"the audit log does not verify: {verification}")
    if records.alone or records.requests != records.responses:
        found.append(f"{records.alone} requests have not exactly two records")
    if not answered <= records.requests <= asked:
        found.append(f"{records.requests} requests are recorded, but {answered} were answered and {asked} asked")
    if records.unparsed + records.counted != malformed:
        found.append(f"{records.unparsed + records.counted} unparsed heads are recorded, but {malformed} were sent")
    return found
