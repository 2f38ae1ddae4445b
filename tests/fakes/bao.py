"""A real development server of OpenBao with the transit engine, in a process of its own; knows nothing of who signs by it."""

import asyncio
import contextlib
import os
import socket
import sys
from collections.abc import AsyncIterator
from pathlib import Path

from gateway.fetch import Fetch, FetchError

ROOT = "root-of-the-test"


class Bao:
    """A development server of OpenBao, and requests of its operator."""

    def __init__(self, port: int, process: asyncio.subprocess.Process) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self.process = process

    async def post(self, path: str, body: object) -> None:
        async with Fetch() as fetch:
            answer = await fetch.request("POST", f"{self.url}/v1/{path}", json=body, headers={"X-Vault-Token": ROOT})
        assert answer.status in (200, 204)


@contextlib.asynccontextmanager
async def serving_bao(home: Path) -> AsyncIterator[Bao]:
    """A real one, with the transit engine."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    process = await asyncio.create_subprocess_exec(
        str(Path(sys.executable).parent / "bao"), "server", "-dev", "-dev-no-store-token", f"-dev-root-token-id={ROOT}",
        f"-dev-listen-address=127.0.0.1:{port}", env={**os.environ, "HOME": str(home)},
        stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    try:
        made = Bao(port, process)
        async with asyncio.timeout(60):
            while True:
                try:
                    await made.post("sys/mounts/transit", {"type": "transit"})
                    break
                except (FetchError, AssertionError):
                    await asyncio.sleep(0.2)
        yield made
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
