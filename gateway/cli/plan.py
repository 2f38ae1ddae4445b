"""`doorward plan`: what another configuration would decide otherwise, and which live tasks it would revoke; changes nothing."""

import argparse
import asyncio
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from gateway.cli.check import check
from gateway.cli.reach import add_config, admin_place, ask
from gateway.errors import DoorwardError
from gateway.policy.issue import NotGrantedError, may_hold
from gateway.policy.start import Opening
from gateway.settings.difference import Difference, difference, fixed_flaws, narrowed_intents
from gateway.settings.foresight import Otherwise, Side, decided_otherwise
from gateway.stores.store import OPEN, PAGE

SUMMARY = "what a change would decide otherwise, and which live tasks it would revoke"


def configure(parser: argparse.ArgumentParser) -> None:
    """The changed file, beside the one in force."""
    parser.add_argument("file", type=Path, metavar="FILE", help="the changed configuration")
    add_config(parser)
    parser.add_argument("--offline", action="store_true", help="do not ask the running doorward for its live tasks")


def run(arguments: argparse.Namespace) -> int:
    """Print the plan; 0 whatever it says, unless one of the files cannot be used."""
    before, old = check(arguments.config)
    after, new = check(arguments.file)
    changed = difference(before, after)
    restart = [str(flaw) for flaw in fixed_flaws(before, after)]
    pairs = [
        (Side(before.parts[name].document, old.parts[name]), Side(part.document, new.parts[name]))
        for name, part in after.parts.items()
        if name in before.parts
    ]
    otherwise = [one for pair in pairs for one in decided_otherwise(*pair)]
    tasks: Sequence[Mapping[str, Any]] | None = None
    if not arguments.offline:
        tasks = asyncio.run(_live_tasks(arguments.config))
    narrowed = {one.compiled.tenant: narrowed_intents(one.document, other.document) for one, other in pairs}

    def ends(task: Mapping[str, Any]) -> bool:
        if (its := new.parts.get(task["tenant"])) is None:
            return True
        try:
            may_hold(
                its.policy,
                Opening(task["agent"], task["starter"], task["params"], None, frozenset(task["met"])),
                task["intents"],
            )
        except NotGrantedError:
            return True
        return not narrowed[task["tenant"]].isdisjoint(task["intents"])

    ended = None if tasks is None else [task for task in tasks if ends(task)]
    if arguments.json:
        print(json.dumps({
            "policy": new.digest, "added": changed.added, "removed": changed.removed, "changed": changed.changed,
            "otherwise": [one._asdict() for one in otherwise], "restart": restart,
            "live": None if tasks is None else len(tasks), "revoked": None if ended is None else [t["task"] for t in ended],
        }))  # fmt: skip
    else:
        print("\n".join(_told(changed, otherwise, restart, tasks, ended)))
    return 0


async def _live_tasks(config: Path) -> Sequence[Mapping[str, Any]]:
    place, found, before = admin_place(config), list[Mapping[str, Any]](), None
    if place.unix is not None and not os.path.exists(place.unix):  # noqa: ASYNC240, PTH110 a command has nobody to hold up
        raise DoorwardError(f"nobody listens on {place.unix}; with --offline the plan says nothing of live tasks")
    while True:
        wanted = {"state": OPEN, "limit": str(PAGE)} | ({} if before is None else {"before": before})
        page = await ask(place, "GET", f"/tasks?{urlencode(wanted)}")
        found += page["tasks"]
        before = page["next"]
        if before is None:
            return found


def _told(
    changed: Difference,
    otherwise: Sequence[Otherwise],
    restart: Sequence[str],
    tasks: Sequence[Mapping[str, Any]] | None,
    ended: Sequence[Mapping[str, Any]] | None,
) -> Iterator[str]:
    yield from changed.lines() if changed else ("nothing changes but comments and layout",)
    for one in otherwise:
        yield f"{one.agent} {one.intent}, {one.operation}: {one.before} -> {one.after}"
    if changed and not otherwise:
        yield "no decision on an agent, an intent and an operation changes"
    yield from (f"needs a restart: {flaw}" for flaw in restart)
    if tasks is None or ended is None:
        yield "live tasks were not asked for"
        return
    yield f"{len(ended)} of {len(tasks)} live tasks would be revoked"
    yield from (f"  {task['task']} of {task['agent']}: {' '.join(task['intents'])}" for task in ended)
