"""The command `doorward`: finds the command that was typed and reports what it cannot do; knows nothing of the commands' work.

Commands are imported only when they are typed, so that `doorward --help` works without a server's requirements.
"""

import argparse
import importlib
import json
import os
import sys
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from typing import Any, Final, Protocol, cast

from gateway import __version__
from gateway.errors import ConfigurationError, DoorwardError

COMMANDS: Final[Mapping[str, str]] = {
    "init": "gateway.cli.init",
    "serve": "gateway.cli.serve",
    "demo": "gateway.cli.demo",
    "check": "gateway.cli.check",
    "explain": "gateway.cli.explain",
    "test": "gateway.cli.test",
    "plan": "gateway.cli.plan",
    "flips": "gateway.cli.flips",
    "reload": "gateway.cli.reload",
    "schema": "gateway.cli.schema",
    "run": "gateway.cli.run",
    "token": "gateway.cli.token",
    "task": "gateway.cli.task",
    "revoke": "gateway.cli.revoke",
    "restore": "gateway.cli.restore",
    "keys": "gateway.cli.keys",
    "audit": "gateway.cli.audit",
}

_FAILED: Final = 1
_MISUSED: Final = 2
_INTERRUPTED: Final = 130
_PIPE_CLOSED: Final = 141


class Command(Protocol):
    """What the module of a command offers."""

    SUMMARY: str

    def configure(self, parser: argparse.ArgumentParser) -> None:
        """Add the command's own options."""

    def run(self, arguments: argparse.Namespace) -> int:
        """Do the work and return the exit status. Raises `DoorwardError` for what cannot be done."""


class Parser(argparse.ArgumentParser):
    """A parser, also for commands within a command, that knows `--json`."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **{"allow_abbrev": False, "conflict_handler": "resolve", **options})
        self.add_argument("--json", action="store_true", default=argparse.SUPPRESS, help="write JSON, for programs")

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> tuple[Any, list[str]]:
        """Refuse what is unknown here, where it was typed: `argparse` leaves it to the command around this one."""
        arguments, unknown = super().parse_known_args(args, namespace)
        if unknown:
            self.error(f"unrecognized arguments: {' '.join(unknown)}")
        return arguments, unknown


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command in `argv` (the process's own by default) and return the exit status."""
    words = list(sys.argv[1:] if argv is None else argv)
    if not words or words[0] in ("-h", "--help"):
        print(_overview())
        return 0 if words else _MISUSED
    if words[0] == "--version":
        print(f"doorward {__version__}")
        return 0
    try:
        status = _run(words[0], words[1:])
        sys.stdout.flush()
    except KeyboardInterrupt:
        return _INTERRUPTED
    except BrokenPipeError:
        # Whoever read the output has gone; what is still buffered must not fail again when Python exits.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return _PIPE_CLOSED
    return status


def _run(name: str, words: Sequence[str]) -> int:
    module = COMMANDS.get(name)
    if module is None:
        meant = get_close_matches(name, COMMANDS, n=1)
        hint = f"did you mean '{meant[0]}'?" if meant else f"known: {', '.join(COMMANDS)}"
        print(f"doorward: unknown command '{name}'; {hint}", file=sys.stderr)
        return _MISUSED
    as_json = "--json" in words
    try:
        command = _load(module)
        parser = Parser(prog=f"doorward {name}", description=command.SUMMARY)
        command.configure(parser)
        arguments = parser.parse_args(words)
        arguments.json = as_json = getattr(arguments, "json", False)
        return command.run(arguments)
    except DoorwardError as error:
        _report(error, as_json=as_json)
        return _FAILED


def _load(module: str) -> Command:
    try:
        return cast("Command", importlib.import_module(module))
    except ImportError as error:
        if (error.name or "gateway").partition(".")[0] == "gateway":
            raise
        raise DoorwardError(f"this command needs {error.name}; install doorward[server]") from None


def _report(error: DoorwardError, *, as_json: bool) -> None:
    if as_json:
        print(json.dumps({"error": str(error)}))
    elif isinstance(error, ConfigurationError):
        print(error, file=sys.stderr)
    else:
        print(f"doorward: {error}", file=sys.stderr)


def _overview() -> str:
    width = max(map(len, COMMANDS))
    lines = [f"  {name:<{width}}  {_summary(module)}" for name, module in COMMANDS.items()]
    head = ("usage: doorward COMMAND ...", "", "A gateway between software agents and the APIs they call.", "", "commands:")
    return "\n".join((*head, *lines, "", "doorward COMMAND --help tells more; doorward --version tells the version."))


def _summary(module: str) -> str:
    try:
        return _load(module).SUMMARY
    except DoorwardError as error:
        return str(error)
