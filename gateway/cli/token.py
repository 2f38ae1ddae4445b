"""`doorward token`: exchanges an identity for a task token and prints it; knows nothing of what the token is for."""

import argparse
import asyncio
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from gateway.cli.reach import add_config, ask, authority_place, read_token
from gateway.cli.wishes import IDENTITY_TYPE, add_identity, add_wishes, as_actor, as_subject, details_of
from gateway.errors import DoorwardError

SUMMARY: Final = "exchange an identity for a task token"

# The words of the protocol are written out: to load the server's modules for them takes longer than the whole exchange.
_EXCHANGE: Final = "urn:ietf:params:oauth:grant-type:token-exchange"
_TASK_TOKEN_TYPE: Final = "urn:ietf:params:oauth:token-type:access_token"  # noqa: S105 a name of a type (RFC 8693 §3)


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's own options."""
    add_config(parser)
    add_wishes(parser)
    parser.add_argument("--task", metavar="ID", help="join or renew this task instead of opening one")
    parser.add_argument("--resource", metavar="URL", help="for the upstream at this address of the gateway alone")
    parser.add_argument("--may-act", metavar="SPIFFE-ID", help="a token with which that agent may open a task below this one")
    above = parser.add_mutually_exclusive_group()
    above.add_argument("--below", type=Path, metavar="FILE", help="for a task below the one whose token is in FILE")
    above.add_argument("--on-behalf", type=Path, metavar="FILE", help="on behalf of whoever the JWT in FILE is of")
    add_identity(parser)


def run(arguments: argparse.Namespace) -> int:
    """Print nothing but the token; with `--json` the whole answer, with the id of the task."""
    if not arguments.intent and not arguments.task and arguments.below is None:
        raise DoorwardError("say with --intent what the task is for, or with --task which task to renew")
    form = {
        "grant_type": _EXCHANGE,
        **_shown(arguments),
        "scope": " ".join(arguments.intent),
        "task": arguments.task or "",
        "resource": arguments.resource or "",
        "authorization_details": details_of(arguments, arguments.may_act),
    }
    place = authority_place(arguments.config, peer=arguments.identity_token is None)
    answer = asyncio.run(ask(place, "POST", "/token", form={name: value for name, value in form.items() if value}))
    print(json.dumps(answer) if arguments.json else answer["access_token"])
    return 0


def _shown(arguments: argparse.Namespace) -> Mapping[str, str]:
    """Who asks, and beside it on whose behalf or below which task."""
    if arguments.below is not None:
        parent = {"subject_token": read_token(arguments.below), "subject_token_type": _TASK_TOKEN_TYPE}
        return {**parent, **as_actor(arguments.identity_token)}
    if arguments.on_behalf is not None:
        subject = {"subject_token": read_token(arguments.on_behalf), "subject_token_type": IDENTITY_TYPE}
        return {**subject, **as_actor(arguments.identity_token)}
    return as_subject(arguments.identity_token)
