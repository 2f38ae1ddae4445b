"""`doorward task`: lists, shows and revokes tasks for operators, starts and ends them for agents; keeps no task itself."""

import argparse
import asyncio
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlencode

from gateway.cli.reach import add_config, admin_place, ask, authority_place, read_token
from gateway.cli.wishes import add_identity, add_wishes, as_client, details_of
from gateway.errors import DoorwardError
from gateway.stores.store import PAGE, STATES

SUMMARY: Final = "list, show, start, complete, fail, revoke tasks"

_COLUMNS: Final = ("task", "state", "agent", "intents", "opened", "ended", "cause")
_OF_AGENTS: Final = ("heartbeat", "complete", "fail")
_TASK = re.compile(r"[0-9a-f]{32}").fullmatch


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the actions with their options."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    listing = actions.add_parser("list", help="the latest tasks, for operators")
    listing.add_argument("--state", choices=STATES, help="only tasks in this state")
    listing.add_argument("--agent", metavar="SPIFFE-ID", help="only tasks of this agent")
    listing.add_argument("--limit", type=int, default=100, metavar="N", help=f"at most N tasks, up to {PAGE} (default: 100)")
    show = actions.add_parser("show", help="one task, for operators")
    revoke = actions.add_parser("revoke", help="end a task now with everything issued for it, for operators")
    start = actions.add_parser("start", help="open a task for an agent, which joins it with: doorward token --task ID")
    start.add_argument("--agent", required=True, metavar="SPIFFE-ID", help="the agent that the task is for")
    add_wishes(start)
    add_identity(start)
    heartbeat = actions.add_parser("heartbeat", help="say that the work goes on, for its agent or starter")
    complete = actions.add_parser("complete", help="end a task as done, for its agent or starter")
    fail = actions.add_parser("fail", help="end a task as failed, for its agent or starter")
    for action in (show, revoke, heartbeat, complete, fail):
        action.add_argument("task", metavar="ID", help="the id of the task")
    for action in (heartbeat, complete, fail):
        proof = action.add_mutually_exclusive_group()
        proof.add_argument("--identity-token", type=Path, metavar="FILE", help="prove who you are with the JWT in FILE")
        proof.add_argument("--task-token", type=Path, metavar="FILE", help="prove it with the task's own token in FILE")
    for action in (listing, show, revoke, start, heartbeat, complete, fail):
        add_config(action)


def run(arguments: argparse.Namespace) -> int:
    """Do one action and print the task or the tasks."""
    if arguments.action == "list":
        return _list(arguments)
    if arguments.action == "start":
        return _start(arguments)
    path = task_path(arguments.task)
    if arguments.action in _OF_AGENTS:
        task = _end(arguments)
    else:
        method, ending = ("GET", "") if arguments.action == "show" else ("POST", "/revoke")
        task = asyncio.run(ask(admin_place(arguments.config), method, path + ending))
    print(json.dumps(task) if arguments.json else _sheet(task))
    return 0


def task_path(task: str, ending: str = "") -> str:
    """The path of one task. Raises `DoorwardError` for what is no id."""
    if _TASK(task) is None:
        raise DoorwardError("a task is named by 32 hexadecimal digits; doorward task list shows them")
    return f"/tasks/{task}{ending}"


def _list(arguments: argparse.Namespace) -> int:
    if not 1 <= arguments.limit <= PAGE:
        raise DoorwardError(f"--limit is a number from 1 to {PAGE}")
    wanted = {"state": arguments.state, "agent": arguments.agent, "limit": str(arguments.limit)}
    query = urlencode({name: value for name, value in wanted.items() if value})
    page = asyncio.run(ask(admin_place(arguments.config), "GET", f"/tasks?{query}"))
    print(json.dumps(page) if arguments.json else _table(page["tasks"]))
    return 0


def _start(arguments: argparse.Namespace) -> int:
    """Print nothing but the id of the new task; with `--json` all of it."""
    if not arguments.intent:
        raise DoorwardError("say with --intent what the task is for")
    form = {
        "agent": arguments.agent,
        "scope": " ".join(arguments.intent),
        "authorization_details": details_of(arguments),
        **as_client(arguments.identity_token),
    }
    place = authority_place(arguments.config, peer=arguments.identity_token is None)
    task = asyncio.run(ask(place, "POST", "/tasks", form={name: value for name, value in form.items() if value}))
    print(json.dumps(task) if arguments.json else task["task"])
    return 0


def _end(arguments: argparse.Namespace) -> Mapping[str, Any]:
    file: Path | None = arguments.identity_token or arguments.task_token
    place = authority_place(arguments.config, peer=file is None)
    bearer = None if file is None else read_token(file)
    return asyncio.run(ask(place, "POST", f"/tasks/{arguments.task}/{arguments.action}", bearer=bearer))


def _table(tasks: Sequence[Mapping[str, Any]]) -> str:
    rows = [_COLUMNS, *(tuple(_cell(task, column) for column in _COLUMNS) for task in tasks)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ("  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows)
    return "\n".join(lines) if tasks else "no tasks"


def _sheet(task: Mapping[str, Any]) -> str:
    width = max(map(len, task))
    return "\n".join(f"{name:<{width}}  {_cell(task, name)}" for name in task)


def _cell(task: Mapping[str, Any], name: str) -> str:
    value = task[name]
    if isinstance(value, list):
        return " ".join(value) or "-"
    if isinstance(value, dict):
        return " ".join(f"{key}={each}" for key, each in value.items()) or "-"
    if name in ("opened", "ended", "ends") and value:
        return f"{value[:10]} {value[11:19]}"
    return "-" if value is None else str(value)
