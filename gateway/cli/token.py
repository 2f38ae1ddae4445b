"""`doorward token`: exchanges an identity for a task token and prints it; knows nothing of what the token is for."""

import argparse
import asyncio
import json
from pathlib import Path
from typing import Final

from gateway.cli.reach import add_config, ask, authority_place, read_token
from gateway.endpoints.callers import PEER
from gateway.endpoints.token import GRANT_TYPE
from gateway.errors import DoorwardError
from gateway.identity.provider import JWT_TYPE, UNIX_PEER_TYPE

SUMMARY: Final = "exchange an identity for a task token"


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's own options."""
    add_config(parser)
    parser.add_argument("--intent", action="append", default=[], metavar="NAME", help="what the task is for; may be repeated")
    parser.add_argument("--task", metavar="ID", help="renew the token of this task instead of opening one")
    parser.add_argument(
        "--identity-token",
        type=Path,
        metavar="FILE",
        help="prove who you are with the JWT in FILE, not with your user on this host",
    )


def run(arguments: argparse.Namespace) -> int:
    """Print nothing but the token; with `--json` the whole answer, with the id of the task."""
    if not arguments.intent and not arguments.task:
        raise DoorwardError("say with --intent what the task is for, or with --task which task to renew")
    file: Path | None = arguments.identity_token
    form = {
        "grant_type": GRANT_TYPE,
        "subject_token_type": UNIX_PEER_TYPE if file is None else JWT_TYPE,
        "subject_token": PEER if file is None else read_token(file),
        "scope": " ".join(arguments.intent),
        "task": arguments.task or "",
    }
    place = authority_place(arguments.config, peer=file is None)
    answer = asyncio.run(ask(place, "POST", "/token", form={name: value for name, value in form.items() if value}))
    print(json.dumps(answer) if arguments.json else answer["access_token"])
    return 0
