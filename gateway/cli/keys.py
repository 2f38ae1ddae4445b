"""`doorward keys`: shows the keys that sign task tokens and has them exchanged, for operators; sees no private half."""

import argparse
import asyncio
import json
from collections.abc import Mapping
from typing import Any, Final

from gateway.cli.reach import add_config, admin_place, ask

SUMMARY: Final = "list the keys that sign task tokens, or exchange them"

_WHEN: Final[Mapping[str, str]] = {
    "published": "signs from {at}",
    "signs": "since {at}",
    "retired": "until {at}",
    "of another authority": "until {at} if it is not heard of again",
}


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the actions."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    listing = actions.add_parser("list", help="every key that is published, and what it is for")
    rotate = actions.add_parser("rotate", help="publish the next key now; it signs when every gateway has to know it")
    for action in (listing, rotate):
        add_config(action)


def run(arguments: argparse.Namespace) -> int:
    """Do one action, and print the keys or the new one."""
    place = admin_place(arguments.config)
    if arguments.action == "list":
        told = asyncio.run(ask(place, "GET", "/keys"))
        lines = [_line(key) for key in told["keys"]]
    else:
        told = asyncio.run(ask(place, "POST", "/keys/rotate"))
        lines = [_line(told)]
    print(json.dumps(told) if arguments.json else "\n".join(lines))
    return 0


def _line(key: Mapping[str, Any]) -> str:
    when = _WHEN[key["state"]].format(at=key["at"]) if key["at"] else "signs as soon as the store has taken it"
    return f"{key['key']}  {key['algorithm']}  {key['state']}, {when}"
