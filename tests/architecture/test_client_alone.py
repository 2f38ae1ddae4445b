"""The client for agents' own code works in an interpreter that has no package but the standard library's; knows no server."""

import subprocess
import sys
import tomllib

from house_rules import ROOT

ALONE = """
import sys
sys.path.insert(0, {root!r})
before = set(sys.modules)
import gateway.client
import gateway.cli.run
client = gateway.client.Client(authority="unix:/nonexistent/authority.sock", gateway="http://127.0.0.1:1")
try:
    client.task("a.read").__enter__()
except gateway.client.AuthorityUnreachableError as error:
    print(error)
foreign = {{name.partition(".")[0] for name in set(sys.modules) - before}} - set(sys.stdlib_module_names) - {{"gateway"}}
assert not foreign, foreign
{more}
"""


def alone(more: str = "") -> subprocess.CompletedProcess[str]:
    """Run it without site packages, so that aiohttp, pydantic, uvloop and all others cannot be imported."""
    words = [sys.executable, "-I", "-S", "-c", ALONE.format(root=str(ROOT), more=more)]
    return subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)


def test_the_client_needs_nothing_but_the_standard_library():
    """It is imported, asks for a task and says why it gets none; `doorward run` too is imported without any package."""
    done = alone()
    assert done.returncode == 0, done.stderr
    assert "cannot be reached" in done.stdout


def test_where_it_runs_no_package_can_be_imported():
    """The test can fail: in the same interpreter the server's packages are not there."""
    for name in ("aiohttp", "pydantic", "uvloop", "structlog", "orjson"):
        done = alone(f"import {name}")
        assert done.returncode == 1
        assert f"No module named '{name}'" in done.stderr


def test_the_distribution_demands_nothing_for_the_client():
    """`pip install doorward[client]` installs one distribution and no other."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert (project["dependencies"], project["optional-dependencies"]["client"]) == ([], [])
