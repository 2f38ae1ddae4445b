"""`doorward run`: runs a command as a task, which ends with it; knows nothing of what the command does.

The command gets an address on this host and a key that is good there alone. Behind them stand the current token of the task and
its intent, so that an SDK that knows nothing of Doorward works for as long as the task lives.
"""

import argparse
import asyncio
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final, NoReturn, final

from gateway.cli.run_setting import Setting
from gateway.client.client import AUTHORITY, GATEWAY, Client
from gateway.client.identity import TokenFile
from gateway.client.loopback import Loopback, Way
from gateway.client.task import Task
from gateway.errors import DoorwardError

SUMMARY: Final = "run a command as a task"
END_SECONDS: Final = 10.0
"""How long the command may take to end after SIGTERM or SIGHUP; then it is killed."""

_FORWARDED: Final = (signal.SIGTERM, signal.SIGHUP, signal.SIGINT)
_BY_SIGNAL: Final = 128


def configure(parser: argparse.ArgumentParser) -> None:
    """Its own options, then the command and everything that belongs to it."""
    parser.add_argument(
        "-c", "--config", type=Path, default=Path("doorward.yaml"), help="the configuration (default: %(default)s)"
    )
    parser.add_argument("--intent", action="append", default=[], metavar="NAME", help="what the task is for; may be repeated")
    parser.add_argument("--param", action="append", default=[], metavar="K=V", help="a param of the task; may be repeated")
    parser.add_argument("--identity-token", type=Path, metavar="FILE", help="prove who you are with the JWT in FILE")
    parser.add_argument("--tenant", metavar="NAME", help="the tenant of the agent, where the configuration has several")
    parser.add_argument("words", nargs=argparse.REMAINDER, metavar="-- COMMAND ...", help="the command to run")


def run(arguments: argparse.Namespace) -> int:
    """Run the command to its end; its exit status, or 128 and the number of the signal that ended it."""
    words = arguments.words[1:] if arguments.words[:1] == ["--"] else arguments.words
    if not words or not arguments.intent:
        raise DoorwardError("say what it is for and what to run: doorward run --intent billing.read -- python agent.py")
    setting = _setting(arguments.config, peer=arguments.identity_token is None, tenant=arguments.tenant)
    identity = None if arguments.identity_token is None else TokenFile(arguments.identity_token)
    client = Client(authority=setting.authority, gateway=setting.gateway, identity=identity, tls=setting.tls)
    task = client.task(*arguments.intent, params=dict(map(_param, arguments.param)))
    try:
        asyncio.run(_run(task, setting, words))
    except _EndedBadlyError as end:
        for note in getattr(end, "__notes__", ()):
            print(note, file=sys.stderr)
        return end.status
    return 0


def _setting(config: Path, *, peer: bool, tenant: str | None = None) -> Setting:
    """From the environment, so that an agent's host needs no configuration; else from the file."""
    named = {name: os.environ.get(name, "") for name in (AUTHORITY, GATEWAY)}
    if all(named.values()) and not config.exists():
        return Setting(authority=named[AUTHORITY], gateway=named[GATEWAY])
    try:
        from gateway.cli import run_configured  # noqa: PLC0415 only a configuration needs a server's packages
    except ImportError as error:
        raise DoorwardError(
            f"without {error.name} (doorward[server]) no configuration can be read; set {AUTHORITY} and {GATEWAY}"
        ) from None
    return run_configured.setting(config, peer=peer, gateway=named[GATEWAY], tenant=tenant)


def _param(text: str) -> tuple[str, str]:
    name, mark, value = text.partition("=")
    if not mark:
        raise DoorwardError("a param is written NAME=VALUE, as in --param customer=42")
    return name, value


async def _run(task: Task, setting: Setting, words: Sequence[str]) -> None:
    """Raises `_EndedBadlyError` if the command did, within the block of the task, which fails by that."""
    command = _Command(words)
    async with task, Loopback(_Declaring(task, setting), Way.to(setting.gateway)) as loopback:
        status = await command.run({**os.environ, **setting.environment(loopback.url, loopback.key), "DOORWARD_TASK": task.id})
        if status:
            raise _EndedBadlyError(status)


class _EndedBadlyError(Exception):
    """The command did not end with status 0."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status: Final = status


@final
class _Declaring:
    """Gives each request of the command the task's token, and its intent where only one can be meant."""

    def __init__(self, task: Task, setting: Setting) -> None:
        self._task: Final = task
        self._setting: Final = setting

    def for_request(self, path: str, *, declared: bool) -> dict[str, str]:
        """The headers for a request to this path. Raises `ClientError`."""
        intents = [intent for intent in self._task.intents if self._setting.covers(intent, path)]
        if declared or len(intents) != 1:
            return {"Authorization": f"Bearer {self._task.token}"}
        return self._task.headers(intents[0])


@final
class _Command:
    """A child that gets the signals that this process gets, and is killed if it does not heed them."""

    def __init__(self, words: Sequence[str]) -> None:
        """From now on signals do not end this process; it ends with its command. To be made in a running loop."""
        self._words: Final = words
        self._child: asyncio.subprocess.Process | None = None
        self._early: list[int] = []
        self._loop: Final = asyncio.get_running_loop()
        for number in _FORWARDED:
            self._loop.add_signal_handler(number, self._forward, number)

    async def run(self, environment: Mapping[str, str]) -> int:
        """Its exit status. Raises `DoorwardError` if it cannot be started."""
        if self._early:
            return _BY_SIGNAL + self._early[0]
        try:
            self._child = await asyncio.create_subprocess_exec(*self._words, env=environment)
        except (OSError, ValueError) as error:
            _cannot_run(self._words[0], error)
        for number in self._early:
            self._forward(number)
        status = await self._child.wait()
        return status if status >= 0 else _BY_SIGNAL - status

    def _forward(self, number: int) -> None:
        if self._child is None:
            self._early.append(number)
            return
        if number == signal.SIGINT and _terminal_tells_it():
            return
        with suppress(ProcessLookupError):
            self._child.send_signal(number)
        if number != signal.SIGINT:
            self._loop.call_later(END_SECONDS, self._kill)

    def _kill(self) -> None:
        if self._child is not None:
            with suppress(ProcessLookupError):
                self._child.kill()


def _cannot_run(word: str, error: Exception) -> NoReturn:
    why = error.strerror.lower() if isinstance(error, OSError) and error.strerror else "it has no such arguments"
    raise DoorwardError(f"cannot run {word}: {why}") from None


def _terminal_tells_it() -> bool:
    """Whether Ctrl-C reached the command too: a terminal sends SIGINT to all that run in its foreground."""
    try:
        return os.tcgetpgrp(sys.stdin.fileno()) == os.getpgrp()
    except (OSError, ValueError):
        return False
