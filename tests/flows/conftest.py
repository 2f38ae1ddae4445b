"""The fixture that builds a whole Doorward; what it is made of stands in `fakes/house.py`."""

import os
import pwd
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from fakes.house import AGENT, CONFIGURATION, SECRET, Build, House, Script, ScriptedUpstream, answer_ok

from gateway.app import Doorward
from gateway.clock import Clock
from gateway.settings.load import load


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[Build]:
    """Builds a Doorward before a scripted upstream; everything is stopped, and nothing may be left over, at the end."""
    async with AsyncExitStack() as stack:

        async def build(script: Script = answer_ok, *, clock: Clock | None = None, name: str = "", **changes: str) -> House:
            upstream = ScriptedUpstream(script)
            port = await upstream.start()
            stack.push_async_callback(upstream.stop)
            clock = clock or Clock()
            today = clock.stamp(clock.now())[:10]
            values = {
                "user": pwd.getpwuid(os.getuid()).pw_name,
                "agent": AGENT,
                "listen": "127.0.0.1:0",
                "authority": "listen: [unix:authority.sock]\n  issuer: http://authority.test",
                "gateway_url": "http://127.0.0.1:1",
                "url": f"http://127.0.0.1:{port}/base",
                "networks": "[127.0.0.0/8]",
                "gateway_limits": "{}",
                "upstream": "protocol: http",
                "inject": "{header: X-Api-Key}",
                "expires": clock.stamp(clock.now() + 90 * 86400)[:10],
                "today": today,
                "declare": "required",
                "denied": "items.burn",
                "identities": "",
                "store": "{sqlite: doorward.db}",
                "admin": "",
                "read": "touches: []",
                "watch": "touches: []",
                "watched": "WEBSOCKET /items/{id}/events",
            }
            secret = tmp_path / "secret"
            if not secret.exists():
                secret.write_text(SECRET + "\n")
            file = tmp_path / f"{name or 'doorward'}.yaml"
            text = CONFIGURATION.format(**{**values, **changes})
            if name:  # one more in the same folder, on the same store
                text = text.replace("audit.jsonl", f"{name}.jsonl").replace("admin.sock", f"{name}-admin.sock")
                text = text.replace("audit:\n", f"audit:\n  checkpoint: {{key: {{file: {name}-audit.key}}}}\n")
            file.write_text(text)
            doorward = Doorward(load(file), clock)
            await doorward.start()
            stack.push_async_callback(doorward.stop)
            return House(doorward, clock, tmp_path, upstream, stack)

        yield build
