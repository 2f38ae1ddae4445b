"""`doorward reload`: has a running Doorward read its configuration again; reads nothing of it but where to ask."""

import argparse
import asyncio
import json

from gateway.cli.reach import add_config, admin_place, ask
from gateway.settings.difference import Difference

SUMMARY = "have the configuration read again now, or confirm a change that revokes many tasks"


def configure(parser: argparse.ArgumentParser) -> None:
    """The file says where the admin socket is."""
    add_config(parser)
    parser.add_argument("--confirm", action="store_true", help="let it revoke more live tasks than policy_drift.at_most")


def run(arguments: argparse.Namespace) -> int:
    """Print what has changed; fails with the reasons if the files were refused."""
    query = "?confirm=true" if arguments.confirm else ""
    done = asyncio.run(ask(admin_place(arguments.config), "POST", f"/reload{query}"))
    if arguments.json:
        print(json.dumps(done))
        return 0
    changed = Difference(**{name: tuple(names) for name, names in done["changed"].items()})
    lines = [*changed.lines()] or ["nothing has changed"]
    lines += [f"warning: {trouble}" for trouble in done["troubles"]]
    print("\n".join([*lines, f"policy {done['policy']} is in force, {done['revoked']} tasks were revoked"]))
    return 0
