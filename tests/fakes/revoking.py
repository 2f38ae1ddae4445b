"""Load with revocations going on against a Doorward in another process, and a note of each acknowledgement; knows no fault."""

import asyncio
import contextlib
import json
import socket
from collections.abc import AsyncIterator
from pathlib import Path

from fakes.installation import Installation

from gateway.clock import Clock
from gateway.fetch import Fetch, FetchError

EXCHANGE = {
    "grant_type": "urn:ietf:params:oauth:grant-type:token-exchange",
    "subject_token": "peer",
    "subject_token_type": "urn:doorward:unix-peer",
    "scope": "billing.read",
}
PATIENCE = 5.0


class Revoking:
    """Workers that each open a task, use it all the time, have it ended, and go on using it for a while.

    `told` has every revocation that was acknowledged, with the time at which that was heard; `revived` every request that was
    answered with success though it was sent after that.
    """

    def __init__(self, made: Installation, workers: int = 4) -> None:
        self.told: list[dict[str, str]] = []
        self.revived: list[str] = []
        self.answered = 0
        self.refused = 0
        self.dead: list[str] = []
        self._made = made
        self._clock = Clock()
        self._workers = workers
        self._stop = asyncio.Event()

    @contextlib.asynccontextmanager
    async def going_on(self) -> AsyncIterator["Revoking"]:
        """The load runs as long as the block; a Doorward that is away or silent only makes it try again."""
        tasks = [asyncio.create_task(self._work()) for _ in range(self._workers)]
        try:
            yield self
        finally:
            self._stop.set()
            await asyncio.gather(*tasks)

    async def until(self, more: int) -> None:
        """Wait until so many more revocations were acknowledged."""
        wanted = len(self.told) + more
        async with asyncio.timeout(60):
            while len(self.told) < wanted:
                await asyncio.sleep(0.02)

    def note(self, file: Path) -> Path:
        """Write down what was acknowledged, for the replay."""
        file.write_text("".join(json.dumps(each) + "\n" for each in self.told))
        return file

    async def _work(self) -> None:
        socket_file = str(self._made.folder / "var/authority.sock")
        async with Fetch() as fetch:
            while not self._stop.is_set():
                try:
                    async with asyncio.timeout(PATIENCE):
                        answer = await fetch.request("POST", "http://a/token", form=EXCHANGE, unix=socket_file)
                    issued = answer.json() if answer.status == 200 else None
                except (FetchError, TimeoutError):
                    issued = None
                if issued is None:
                    await asyncio.sleep(0.05)
                    continue
                await self._use(issued["access_token"], 3)
                acknowledged = await self._end(fetch, socket_file, issued["task"])
                answered = await self._use(issued["access_token"], 3)
                if acknowledged:
                    self.dead.append(issued["access_token"])
                    self.revived += [issued["task"]] * answered

    async def _end(self, fetch: Fetch, socket_file: str, task: str) -> bool:
        try:
            async with asyncio.timeout(PATIENCE):
                done = await fetch.request("POST", f"http://a/tasks/{task}/complete", unix=socket_file)
        except (FetchError, TimeoutError):
            return False
        if done.status != 200:
            return False
        self.told.append({"kind": "task", "id": task, "time": self._clock.stamped()})
        return True

    async def _use(self, token: str, times: int) -> int:
        """How many of so many requests were answered with success."""
        successes = 0
        for _ in range(times):
            with contextlib.suppress(OSError, asyncio.IncompleteReadError, TimeoutError):
                async with asyncio.timeout(PATIENCE):
                    status = await self._ask(token)
                self.answered += status == 200
                self.refused += status == 401
                successes += status == 200
        return successes

    async def _ask(self, token: str, port: int = 0) -> int:
        reader, writer = await asyncio.open_connection("127.0.0.1", port or self._made.port)
        try:
            writer.write(
                b"GET /billing/x HTTP/1.1\r\nHost: a\r\nConnection: close\r\nAgent-Intent: billing.read\r\n"
                b"Authorization: Bearer " + token.encode() + b"\r\n\r\n"
            )
            head = await reader.readuntil(b"\r\n")
            return int(head.split(b" ")[1])
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                writer.get_extra_info("socket").shutdown(socket.SHUT_RDWR)

    async def ask_with_the_dead(self, port: int = 0) -> set[int]:
        """How every token whose end was acknowledged is answered now, by this gateway or the one at another port."""
        return {await self._ask(token, port) for token in self.dead}
