"""What `doorward serve` does before it serves: room for as many connections as the configuration admits."""

import resource
import subprocess
import sys

import pytest

from gateway.cli.serve import DESCRIPTORS_BESIDE

PROGRAM = """
import resource, sys
soft, hard, connections = map(int, sys.argv[1:])
resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
from gateway.cli.serve import _raise_descriptor_limit
_raise_descriptor_limit(connections)
print(resource.getrlimit(resource.RLIMIT_NOFILE)[0])
"""


def raised(soft: int, hard: int, connections: int) -> tuple[int, str]:
    """The soft limit afterwards and what was said, in a process of its own."""
    if resource.getrlimit(resource.RLIMIT_NOFILE)[1] < hard:
        pytest.skip("this machine allows fewer file descriptors")
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(soft), str(hard), str(connections)], capture_output=True, text=True, check=True
    )
    return int(done.stdout), done.stderr


def test_two_descriptors_for_each_connection_and_some_beside() -> None:
    """One to the client and one to the upstream; what was enough already is left as it is."""
    assert raised(400, 4096, 200) == (2 * 200 + DESCRIPTORS_BESIDE, "")
    assert raised(4000, 4096, 200) == (4000, "")


def test_a_hard_limit_that_is_too_low_is_told() -> None:
    """What can be had is taken, and one line says how many are missing and what to do."""
    limit, told = raised(400, 600, 200)
    assert limit == 600
    assert told.count("\n") == 1
    assert "only 600 file descriptors" in told
    assert f"may need {2 * 200 + DESCRIPTORS_BESIDE}" in told
    assert "gateway.limits.connections" in told
