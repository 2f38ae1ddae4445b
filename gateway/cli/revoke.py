"""`doorward revoke`: ends a task, or stops an agent or the tenant, for operators; keeps nothing itself."""

import argparse
import asyncio
import json
from typing import Final

from gateway.cli.reach import add_config, admin_place, ask
from gateway.cli.task import task_path

SUMMARY: Final = "stop a task, an agent or the tenant"


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("kind", choices=("task", "agent", "tenant"), metavar="KIND", help="task, agent or tenant")
    parser.add_argument("id", metavar="ID", help="the id of the task, the SPIFFE ID of the agent, or the tenant")
    parser.add_argument("--until", metavar="TIME", help="restore it by itself then, as in 2027-01-31T18:00:00Z")
    parser.add_argument("--cause", default="operator", help="why, for the record (default: %(default)s)")
    parser.add_argument("--tenant", metavar="NAME", help="the tenant of the agent, where there are several")
    add_config(parser)


def run(arguments: argparse.Namespace) -> int:
    """Revoke, and say what is revoked now."""
    place = admin_place(arguments.config)
    if arguments.kind == "task":
        told = asyncio.run(ask(place, "POST", task_path(arguments.id, "/revoke")))
        sentence = f"task {arguments.id} is {told['state']}"
    else:
        wanted = {"kind": arguments.kind, "id": arguments.id, "cause": arguments.cause, "until": arguments.until}
        wanted |= {} if arguments.tenant is None else {"tenant": arguments.tenant}
        told = asyncio.run(ask(place, "POST", "/revocations", body=wanted))
        end = "it is restored" if told["until"] is None else told["until"]
        sentence = f"{arguments.kind} {arguments.id} is revoked until {end}"
    print(json.dumps(told) if arguments.json else sentence)
    return 0
