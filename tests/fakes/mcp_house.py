"""A whole Doorward before a real server of MCP, and how agents reach it; knows no single behaviour."""

import asyncio
import os
import pwd
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from fakes.house import SECRET, House, ScriptedUpstream, answer_ok
from mcp.client.client import Client
from mcp.client.streamable_http import streamable_http_client
from mcp.shared._httpx_utils import create_mcp_http_client

from gateway.app import Doorward
from gateway.clock import Clock
from gateway.settings.load import load

AGENT = "spiffe://mcp.test/agent"
SERVER = Path(__file__).parent / "mcp_server.py"

CONFIGURATION = """
version: 1
tenant: mcp
gateway: {{listen: ["127.0.0.1:0"], url: "http://127.0.0.1:1", limits: {limits}}}
authority: {{listen: ["unix:authority.sock"], issuer: "http://authority.test", store: {{sqlite: doorward.db}}}}
admin: {{socket: "unix:admin.sock", operators: [{user}]}}
identities:
  host: {{unix: {{users: {{{user}: {agent}}}}}, same_user: true}}
upstreams:
  tracker: {{url: {url}, protocol: mcp, credential: key, networks: [127.0.0.0/8], scrub: {scrub}}}
credentials:
  key:
    secret: {{file: secret}}
    inject: {{header: X-Api-Key}}
    exception: {{owner: tests, reason: tests, expires: {expires}, review_every: 30d, reviewed: {today}}}
intents:
{intents}
grants:
{grants}
denials:
{denials}
audit: {{sinks: {{local: {{file: {{path: audit.jsonl}}, required: true}}}}}}
"""
INTENTS = """\
  issues.read:
    upstream: tracker
    operations: [tool look, tool count, tool forever, tool cancellations, tool interrupted, tool fail, tool echo_key,
                 prompt review, "resource note://boards/rain", "resource note://people/{name}"]
    log_arguments: [issue]
  issues.write: {upstream: tracker, operations: [tool write]}
  issues.burn: {upstream: tracker, operations: [tool burn]}
"""
GRANTS = "  - {{name: the agent works, agents: [{agent}], intents: [issues.*], declare: implied}}"
DENIALS = "  - {name: nobody burns, intents: [issues.burn]}"


async def start_server(stack: AsyncExitStack, script: Path = SERVER, *words: str) -> int:
    """Start a server as a process of its own; returns its port."""
    # A server of another process finds its neighbours by the script's folder, unless PYTHONSAFEPATH forbids it.
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONSAFEPATH"}
    process = await asyncio.create_subprocess_exec(
        sys.executable, str(script), *words, stdout=asyncio.subprocess.PIPE, env=environment
    )
    stack.push_async_callback(process.wait)
    stack.callback(process.terminate)
    assert process.stdout is not None
    return int(await asyncio.wait_for(process.stdout.readline(), 60))


async def build_house(stack: AsyncExitStack, folder: Path, url: str, clock: Clock | None = None, **changes: str) -> House:
    """Start a Doorward before the server at `url`."""
    clock = clock or Clock()
    values = {
        "user": pwd.getpwuid(os.getuid()).pw_name,
        "agent": AGENT,
        "url": url,
        "limits": "{}",
        "scrub": "full",
        "intents": INTENTS,
        "grants": GRANTS.format(agent=AGENT),
        "denials": DENIALS,
        "today": clock.stamp(clock.now())[:10],
        "expires": clock.stamp(clock.now() + 90 * 86400)[:10],
        **changes,
    }
    (folder / "secret").write_text(SECRET + "\n")
    file = folder / "doorward.yaml"
    file.write_text(CONFIGURATION.format(**values))
    doorward = Doorward(load(file), clock)
    await doorward.start()
    stack.push_async_callback(doorward.stop)
    return House(doorward, clock, folder, ScriptedUpstream(answer_ok), stack)


@asynccontextmanager
async def agent(
    house: House, token: str, *, mode: str = "auto", intent: str | None = None, **callbacks
) -> AsyncIterator[Client]:
    """A client of the official SDK, which knows nothing of the gateway but its address and a token."""
    headers = {"Authorization": f"Bearer {token}"} | ({} if intent is None else {"Agent-Intent": intent})
    async with create_mcp_http_client(headers=headers) as http:
        transport = streamable_http_client(f"http://{house.doorward.addresses[0]}/tracker", http_client=http)
        async with Client(transport, mode=mode, **callbacks) as client:
            yield client
