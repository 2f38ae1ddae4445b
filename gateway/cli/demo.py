"""`doorward demo`: plays one scene with real programs and says how to go on by hand; knows no step of it."""

import argparse
import asyncio
import json
import os
import shlex
import shutil
import signal
import socket
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

from gateway.cli.demo_children import Children
from gateway.cli.demo_page import Page
from gateway.cli.demo_scene import KEY_FILE, UPSTREAM_FILE, Ports, Scene, Step
from gateway.clock import Clock
from gateway.errors import DoorwardError
from gateway.fetch import Fetch

SUMMARY: Final = "play a complete scene: token, allowed and refused calls, revocation, audit"
FOLDER: Final = "doorward-demo"

_MARK: Final = ".made-by-doorward-demo"
_ENDED_BY: Final = (signal.SIGTERM, signal.SIGHUP)
_TERMINATED: Final = 143


def configure(parser: argparse.ArgumentParser) -> None:
    """Where its files go."""
    parser.add_argument(
        "--out", type=Path, default=Path(FOLDER), metavar="FOLDER", help=f"a folder for its files (default {FOLDER})"
    )


def run(arguments: argparse.Namespace) -> int:
    """Play, and leave the folder for the user to go on with; 1 if a step was not as it should be."""
    folder: Path = arguments.out
    _make_folder(folder)
    ports = Ports.free()
    page = Page.for_this_terminal()
    steps: list[Step] = []

    def report(step: Step) -> None:
        steps.append(step)
        if not arguments.json:
            page.step(step)

    if not arguments.json:
        page.opening(str(folder))
    try:
        seconds = asyncio.run(_play(folder, ports, report))
    except asyncio.CancelledError:
        return _TERMINATED
    well = all(step.well for step in steps)
    if arguments.json:
        print(json.dumps(_as_json(folder, ports, steps, seconds), indent=2))
    else:
        _close(page, folder, ports, steps[-1], seconds)
    return 0 if well else 1


async def _play(folder: Path, ports: Ports, report: Callable[[Step], None]) -> float:
    """Play the scene. Returns how many seconds it took, with the end of every program."""
    if (playing := asyncio.current_task()) is not None:
        for number in _ENDED_BY:
            asyncio.get_running_loop().add_signal_handler(number, playing.cancel)
    clock = Clock()
    began = clock.steady()
    async with Children(folder, clock) as children, Fetch() as fetch:
        await Scene(folder, ports, children, fetch).play(report)
    return clock.steady() - began


def _make_folder(folder: Path) -> None:
    """An empty folder with the mark. Only what bears the mark is replaced, and not under a Doorward that runs there."""
    if folder.is_symlink() or (folder.exists() and not folder.is_dir()):
        raise DoorwardError(f"{folder} is no folder; name another with --out")
    try:
        if (folder / _MARK).is_file():
            if _is_served(folder):
                raise DoorwardError(f"a Doorward runs in {folder}; stop it first, or name another folder with --out")
            shutil.rmtree(folder)
        elif folder.exists() and any(folder.iterdir()):
            raise DoorwardError(f"{folder} was not made by the demo and is left alone; name another folder with --out")
        folder.mkdir(parents=True, mode=0o700, exist_ok=True)
        (folder / _MARK).touch()
    except OSError as error:
        raise DoorwardError(f"cannot write {folder}: {error.strerror}") from None


def _is_served(folder: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(os.path.relpath(folder / "var" / "admin.sock"))
        except OSError:
            return False
    return True


def _close(page: Page, folder: Path, ports: Ports, last: Step, seconds: float) -> None:
    if not last.well:
        page.closing(f"step {last.number} was not as it should be: {last.title}; its logs are in {folder}/", well=False)
        return
    page.closing(f"all {last.number} steps were as they should be; {seconds:.1f} seconds", well=True)
    first, second = _by_hand(folder, ports)
    page.commands("To go on by hand, in one terminal (Ctrl-C ends it):", first)
    page.commands("and in another:", second)


def _by_hand(folder: Path, ports: Ports) -> tuple[Sequence[str], Sequence[str]]:
    """What starts the scene anew, and what an agent and an operator type beside it."""
    enter = [f"cd {shlex.quote(str(folder))}", *_find_doorward()]
    serve = [f"python3 {UPSTREAM_FILE} {ports.upstream} {KEY_FILE} &", "doorward serve; kill $!"]
    url = f"http://127.0.0.1:{ports.gateway}/billing/invoices"
    call = [
        "TOKEN=$(doorward token --intent billing.read)",
        f'curl -H "Authorization: Bearer $TOKEN" -H "Agent-Intent: billing.read" {url}',
        "doorward task list",
        "doorward audit show",
    ]
    return [*enter, *serve], [*enter, *call]


def _find_doorward() -> Sequence[str]:
    """What makes a shell find this very Doorward, if it would find none or another."""
    beside = Path(sys.executable).parent
    found = shutil.which("doorward") == str(beside / "doorward")
    return [] if found else [f'export PATH={shlex.quote(str(beside))}:"$PATH"']


def _as_json(folder: Path, ports: Ports, steps: Sequence[Step], seconds: float) -> dict[str, Any]:
    return {
        "well": all(step.well for step in steps),
        "seconds": round(seconds, 3),
        "folder": str(folder),
        "steps": [_members(step) for step in steps],
        "next": _by_hand(folder, ports),
    }


def _members(step: Step) -> dict[str, Any]:
    return {
        "step": step.number,
        "title": step.title,
        "does": step.does,
        "expected": step.expected,
        "seen": step.seen.line,
        "well": step.well,
        "told": step.seen.told or None,
        "table": step.seen.table,
    }
