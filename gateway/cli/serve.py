"""`doorward serve`: runs gateway and authority until it is told to stop; knows nothing of how they are built."""

import argparse
import asyncio
import gc
import json
import resource
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

import uvloop

from gateway import telemetry
from gateway.app import Doorward
from gateway.clock import Clock
from gateway.http.pool import IDLE_PER_KEY
from gateway.settings.document import Document
from gateway.settings.load import Loaded, load

SUMMARY = "run gateway and authority"
DESCRIPTORS_BESIDE = 256
"""File descriptors for everything but client and upstream connections."""


def configure(parser: argparse.ArgumentParser) -> None:
    """One file says it all."""
    parser.add_argument(
        "-c", "--config", default="doorward.yaml", metavar="FILE", help="the configuration (default doorward.yaml)"
    )


def run(arguments: argparse.Namespace) -> int:
    """Serve until SIGTERM or SIGINT, then drain; 0 after a clean stop."""
    telemetry.configure(json=arguments.json or not sys.stderr.isatty())
    loaded = load(Path(arguments.config))
    warnings = _raise_descriptor_limit(_descriptors(loaded.document))
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve(loaded, warnings, as_json=arguments.json))
    return 0


def _descriptors(document: Document) -> int:
    """How many file descriptors the configured connections may need at once."""
    upstreams = sum(rule.limits.concurrent + IDLE_PER_KEY for rule in document.upstreams.values())
    return document.gateway.limits.connections + upstreams + DESCRIPTORS_BESIDE


def _raise_descriptor_limit(wanted: int) -> list[str]:
    """The usual soft limit is far below what is wanted. Returns a warning if the hard one is too."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    granted = max(soft, wanted if hard == resource.RLIM_INFINITY else min(wanted, hard))
    if granted > soft:
        resource.setrlimit(resource.RLIMIT_NOFILE, (granted, hard))
    if granted >= wanted:
        return []
    told = f"gateway.limits.connections and those of upstreams may need {wanted} file descriptors, and {granted} are allowed"
    return [f"{told}; raise the limit (ulimit -Hn) or lower them"]


async def _serve(loaded: Loaded, warnings: Sequence[str], *, as_json: bool) -> None:
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    doorward = Doorward(loaded, Clock())
    await doorward.start()
    # What was built to stay is never garbage; the collector need not look at it again.
    gc.collect()
    gc.freeze()
    try:
        print(_banner(doorward, loaded, (*doorward.warnings, *warnings), as_json=as_json), flush=True)
        await stopping.wait()
    finally:
        await doorward.stop()


def _banner(doorward: Doorward, loaded: Loaded, warnings: Sequence[str], *, as_json: bool) -> str:
    document = loaded.document
    if as_json:
        return json.dumps({"gateway": doorward.addresses, "authority": document.authority.listen, "warnings": list(warnings)})
    lines = [
        f"doorward serves {', '.join(document.upstreams)} for tenant {document.tenant}",
        f"  requests   {', '.join(doorward.addresses)}",
        f"  tokens     {', '.join(document.authority.listen)}",
        f"  operators  {document.admin.socket}",
        *(f"  warning    {warning}" for warning in warnings),
    ]
    return "\n".join(lines)
