"""`doorward serve`: runs gateway and authority until it is told to stop; knows nothing of how they are built."""

import argparse
import asyncio
import json
import resource
import signal
import socket
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import uvloop

from gateway import telemetry
from gateway.clock import Clock
from gateway.heap import settle
from gateway.http.pool import IDLE_PER_KEY
from gateway.settings.load import Loaded, load

if TYPE_CHECKING:
    from gateway.app import Doorward
    from gateway.sidecar import Sidecar
    from gateway.workers import Workers

SUMMARY = "run gateway and authority"
DESCRIPTORS_BESIDE = 256
"""File descriptors for everything but client and upstream connections."""


def configure(parser: argparse.ArgumentParser) -> None:
    """One file says it all."""
    parser.add_argument(
        "-c", "--config", default="doorward.yaml", metavar="FILE", help="the configuration (default doorward.yaml)"
    )
    parser.add_argument("--worker", type=int, help=argparse.SUPPRESS)  # how it starts its own workers: a descriptor


def run(arguments: argparse.Namespace) -> int:
    """Serve until SIGTERM or SIGINT, then drain; 0 after a clean stop."""
    telemetry.configure(json=arguments.json or not sys.stderr.isatty())
    if arguments.worker is not None:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(_work(arguments.worker))
        return 0
    loaded = load(Path(arguments.config))
    warnings = _raise_descriptor_limit(_descriptors(loaded))
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve(loaded, warnings, as_json=arguments.json))
    return 0


def _descriptors(loaded: Loaded) -> int:
    """How many file descriptors the configured connections may need at once."""
    rules = [rule for part in loaded.parts.values() for rule in part.document.upstreams.values()]
    upstreams = sum(rule.limits.concurrent + IDLE_PER_KEY for rule in rules)
    return loaded.document.gateway.limits.connections + upstreams + DESCRIPTORS_BESIDE


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


def _assemble(loaded: Loaded, clock: Clock) -> "Doorward | Sidecar | Workers":
    """What the configuration asks for; the parts of the others are megabytes, and are not loaded."""
    document = loaded.document
    if document.authority.remote is not None:
        from gateway.sidecar import Sidecar  # noqa: PLC0415 only one of three is needed

        return Sidecar(loaded, clock)
    if document.gateway.workers == 1:
        from gateway.app import Doorward  # noqa: PLC0415 the same

        return Doorward(loaded, clock)
    from gateway.workers import Workers  # noqa: PLC0415 the same

    workers = Workers(loaded, clock)
    asyncio.get_running_loop().add_signal_handler(signal.SIGUSR2, _replace, workers)
    return workers


def _replace(workers: "Workers") -> None:
    workers.clock.spawn(workers.replace(), "replacing workers")


async def _work(descriptor: int) -> None:
    """Be a worker: the parent says what to do and when to stop, and a signal to the whole group stops all the same."""
    from gateway.control import Control  # noqa: PLC0415 needed by workers alone
    from gateway.worker import work  # noqa: PLC0415 the same

    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, stopping.set)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    await work(await Control.open(socket.socket(fileno=descriptor)), Clock(), stopping)


async def _serve(loaded: Loaded, warnings: Sequence[str], *, as_json: bool) -> None:
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    doorward = _assemble(loaded, Clock())
    loop.add_signal_handler(signal.SIGHUP, doorward.ask_reload)
    await doorward.start()
    settle()
    try:
        print(_banner(doorward, loaded, (*doorward.warnings, *warnings), as_json=as_json), flush=True)
        await stopping.wait()
    finally:
        await doorward.stop()


def _banner(doorward: "Doorward | Sidecar | Workers", loaded: Loaded, warnings: Sequence[str], *, as_json: bool) -> str:
    document = loaded.document
    authority = document.authority.listen or [document.authority.remote]
    if as_json:
        return json.dumps({"gateway": doorward.addresses, "authority": authority, "warnings": list(warnings)})
    lines = [
        *(f"doorward serves {', '.join(its.document.upstreams)} for tenant {name}" for name, its in loaded.parts.items()),
        f"  requests   {', '.join(doorward.addresses)}",
        f"  tokens     {', '.join(map(str, authority))}",
        f"  operators  {document.admin.socket}",
        *([] if document.admin.listen is None else [f"  health     {document.admin.listen}"]),
        *(f"  warning    {warning}" for warning in warnings),
    ]
    return "\n".join(lines)
