"""Starts the programs of the demo and ends every one of them, however the demo ends; knows nothing of what they do."""

import asyncio
import os
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from pathlib import Path
from types import TracebackType
from typing import Final, Self, final

from gateway.cli.reach import VARIABLE
from gateway.clock import Clock
from gateway.errors import DoorwardError

_END_SECONDS: Final = 10.0
_START_SECONDS: Final = 20.0
_RUN_SECONDS: Final = 30.0
_LOOK_EVERY: Final = 0.03
_MOST_LOG: Final = 4096


@final
class Children:
    """An async context manager: when the block is left, whatever was started in it has ended.

    The programs run in `folder` and in sessions of their own, so that Ctrl-C reaches the demo alone, which then ends them in
    order.
    """

    def __init__(self, folder: Path, clock: Clock) -> None:
        self._folder: Final = folder
        self._clock: Final = clock
        self._started: Final[list[Process]] = []
        # The demo asks its own authority, whatever the user's environment names.
        self._environment: Final = {name: value for name, value in os.environ.items() if name != VARIABLE} | {"NO_COLOR": "1"}

    async def __aenter__(self) -> Self:
        """Nothing runs yet."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the youngest first. If even this is interrupted, everything is killed."""
        try:
            for process in reversed(self._started):
                await self.end(process)
        finally:
            for process in self._started:
                if process.returncode is None:
                    process.kill()

    async def start(self, *words: str, port: int, log: str) -> Process:
        """Start a Python program that stays, and wait until its port accepts. Output goes to the file `log` in the folder.

        Raises `DoorwardError` with the last line of the log.
        """
        path = self._folder / log
        with path.open("ab") as output:
            process = await self._spawn(*words, stdout=output.fileno(), stderr=output.fileno())
        try:
            async with asyncio.timeout(_START_SECONDS):
                while not await _accepts(port):
                    if process.returncode is not None:
                        raise DoorwardError(f"it ended with status {process.returncode}: {_last_line(path)}")
                    await self._clock.sleep(_LOOK_EVERY)
        except TimeoutError:
            raise DoorwardError(f"nothing listens on port {port} after {_START_SECONDS:g} seconds; see {path}") from None
        return process

    async def run(self, *words: str) -> str:
        """Run a command of Doorward to its end and return what it printed. Raises `DoorwardError` with what it says."""
        process = await self._spawn("-m", "gateway", *words, stdout=PIPE, stderr=PIPE)
        try:
            async with asyncio.timeout(_RUN_SECONDS):
                printed, complaint = await process.communicate()
        except TimeoutError:
            raise DoorwardError(f"doorward {words[0]} did not end within {_RUN_SECONDS:g} seconds") from None
        if process.returncode != 0:
            said = (complaint or printed).decode(errors="replace").strip().splitlines()
            raise DoorwardError(f"exit {process.returncode}: {said[-1] if said else 'it said nothing'}")
        return printed.decode()

    async def end(self, process: Process) -> int:
        """SIGTERM, and SIGKILL after ten seconds. Returns the exit status, negative for the signal that ended it."""
        if process.returncode is None:
            process.terminate()
            try:
                async with asyncio.timeout(_END_SECONDS):
                    await process.wait()
            except TimeoutError:
                process.kill()
        return await process.wait()

    async def _spawn(self, *words: str, stdout: int, stderr: int) -> Process:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *words,
            cwd=self._folder,
            env=self._environment,
            stdin=DEVNULL,
            stdout=stdout,
            stderr=stderr,
            start_new_session=True,
        )
        self._started.append(process)
        return process


async def _accepts(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    writer.close()
    return True


def _last_line(path: Path) -> str:
    lines = path.read_bytes()[-_MOST_LOG:].decode(errors="replace").strip().splitlines()
    return lines[-1] if lines else "it said nothing"
