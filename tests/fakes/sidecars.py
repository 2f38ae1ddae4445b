"""Gateways without an authority of their own, beside a whole Doorward whose feed they follow; knows no single behaviour."""

import asyncio
import json
import re
from contextlib import AsyncExitStack

from fakes.house import House, RawClient, get

from gateway.clock import Clock
from gateway.fetch import Answer, Fetch
from gateway.settings.load import load
from gateway.sidecar import Sidecar

OVER_UNIX = "{remote: unix:authority.sock, issuer: http://authority.test}"


class BesideHouse:
    """One sidecar, with files of its own in the folder of its authority."""

    def __init__(self, door: House, clock: Clock, stack: AsyncExitStack, authority: str, name: str, **changes: str) -> None:
        text = (door.folder / "doorward.yaml").read_text()
        text = re.sub(r"^authority:\n(  .*\n)+", f"authority: {authority}\n", text, flags=re.MULTILINE)
        text = text.replace("admin.sock", f"{name}-admin.sock").replace("path: audit.jsonl", f"path: {name}.jsonl")
        text = text.replace("audit:\n", f"audit:\n  checkpoint: {{key: {{file: {name}-audit.key}}}}\n")
        for before, after in changes.items():
            text = text.replace(before, after)
        file = door.folder / f"{name}.yaml"
        file.write_text(text)
        self.sidecar = Sidecar(load(file), clock)
        self._stack = stack
        self._admin = str(door.folder / f"{name}-admin.sock")

    async def start(self) -> None:
        await self.sidecar.start()
        self._stack.push_async_callback(self.sidecar.stop)

    async def get(self, token: str) -> tuple[int, str | None]:
        """The status of a request, and the code of its refusal."""
        host, _, port = self.sidecar.addresses[0].rpartition(":")
        client = RawClient(*await asyncio.open_connection(host, int(port)))
        await client.send(get("/api/items", token))
        answer = await client.answer()
        await client.close()
        return answer.status, None if answer.status == 200 else answer.problem["code"]

    async def ready(self) -> dict:
        async with Fetch() as fetch:
            answer: Answer = await fetch.request("GET", "http://doorward/readyz", unix=self._admin)
        return json.loads(answer.body)
