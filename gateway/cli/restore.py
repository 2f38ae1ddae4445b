"""`doorward restore`: gives a stopped agent or tenant access again, for operators; brings back nothing that has ended."""

import argparse
import asyncio
import json
from typing import Final
from urllib.parse import quote

from gateway.cli.reach import add_config, admin_place, ask

SUMMARY: Final = "give a stopped agent or tenant access again"


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("kind", choices=("agent", "tenant"), metavar="KIND", help="agent or tenant")
    parser.add_argument("id", metavar="ID", help="the SPIFFE ID of the agent, or the tenant")
    add_config(parser)


def run(arguments: argparse.Namespace) -> int:
    """Restore, and say so."""
    path = f"/revocations/{arguments.kind}:{quote(arguments.id, safe='')}"
    told = asyncio.run(ask(admin_place(arguments.config), "DELETE", path))
    print(
        json.dumps(told) if arguments.json else f"{arguments.kind} {arguments.id} is restored; its tasks of before stay ended"
    )
    return 0
