"""What `doorward serve` does before it serves: room for as many connections as the configuration admits."""

import json
import subprocess
import sys
from pathlib import Path

from gateway.cli.serve import DESCRIPTORS_BESIDE, _descriptors
from gateway.http.pool import IDLE_PER_KEY
from gateway.settings.load import load

ROOT = Path(__file__).parents[3]

PROGRAM = """
import json, resource, sys
soft, hard, wanted = map(int, sys.argv[1:])
resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
from gateway.cli.serve import _raise_descriptor_limit
told = _raise_descriptor_limit(wanted)
print(json.dumps([resource.getrlimit(resource.RLIMIT_NOFILE)[0], told]))
"""


def raised(soft: int, hard: int, wanted: int) -> tuple[int, list[str]]:
    """The soft limit afterwards and what was said, in a process of its own."""
    words = [sys.executable, "-c", PROGRAM, str(soft), str(hard), str(wanted)]
    return tuple(json.loads(subprocess.run(words, capture_output=True, text=True, check=True).stdout))


def test_every_connection_and_what_stands_beside_is_counted() -> None:
    """Clients, what each upstream may bear at once and keep idle, and some for everything else."""
    loaded = load(ROOT / "config" / "minimal.yaml", {})
    document = loaded.document
    upstreams = sum(rule.limits.concurrent + IDLE_PER_KEY for rule in document.upstreams.values())
    assert _descriptors(loaded) == document.gateway.limits.connections + upstreams + DESCRIPTORS_BESIDE


def test_the_soft_limit_is_raised_as_far_as_needed() -> None:
    """What was enough already is left as it is."""
    assert raised(300, 512, 400) == (400, [])
    assert raised(450, 512, 400) == (450, [])


def test_a_hard_limit_that_is_too_low_is_told() -> None:
    """What can be had is taken, and one sentence says how many are missing and what to do."""
    limit, (told,) = raised(300, 400, 900)
    assert limit == 400
    assert "may need 900 file descriptors, and 400 are allowed" in told
    assert "gateway.limits.connections" in told
