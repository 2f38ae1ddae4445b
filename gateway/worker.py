"""One gateway of several on one host: a child that its parent starts, tells what to do and outlives; decides nothing alone."""

import asyncio
import socket
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from typing import Any, Final, final

from gateway.aside import aside, building
from gateway.authority.place import Place
from gateway.authority.remote import RemoteFeed
from gateway.clock import Clock
from gateway.control import Control
from gateway.errors import DoorwardError
from gateway.gateway_part import GatewayPart, GatewayPrepared
from gateway.gateway_side import GatewaySide
from gateway.ground import Ground
from gateway.heap import settle
from gateway.http.bound import Bound
from gateway.http.turns import SharedCounts
from gateway.identity.replays import SharedProofs
from gateway.measuring import measure_feed, measure_gateway, measure_ground
from gateway.metrics.figures import Figures
from gateway.settings.load import Loaded, load_text

TELL_EVERY: Final = 1.0
"""Seconds between two reports of a worker to its parent."""


@final
class Worker:
    """The gateway's side on the sockets of the parent, which hears the feed over the parent's own Unix socket."""

    def __init__(self, loaded: Loaded, order: Mapping[str, Any], clock: Clock) -> None:
        """`order` is what the parent has said with the configuration. Raises `ConfigurationError`."""
        self.ground: Final = Ground(loaded, clock, worker=order["number"])
        self._bound: Final = [
            Bound(text, [socket.socket(fileno=descriptor) for descriptor in descriptors])
            for text, descriptors in order["listen"]
        ]
        proofs = SharedProofs(bytes.fromhex(order["key"]), order["proofs"], order["number"] - 1, order["processes"])
        counts = SharedCounts(order["connections"], order["number"] - 1, order["processes"])
        self._gateway: Final = GatewaySide(self.ground, self._bound, proofs, counts)
        self._feed: Final = RemoteFeed(
            Place("http://doorward", order["feed"]), clock, policy=lambda: self.ground.policy, name=order["name"]
        )
        self._part: Final = GatewayPart(self.ground, self._gateway)
        self._prepared: GatewayPrepared | None = None
        self._clock: Final = clock
        self._started: Final = AsyncExitStack()

    async def start(self) -> None:
        """Start audit, feed and gateway. Raises `DoorwardError`; then nothing stays started."""
        try:
            await self.ground.start()
            self._started.push_async_callback(self.ground.stop)
            self._started.push_async_callback(self._feed.stop)
            await self._gateway.start(self._feed.subscribe, self._feed.lend)
            self._started.push_async_callback(self._gateway.stop)
        except BaseException:
            await self._started.aclose()
            raise

    async def stop(self) -> None:
        """Drain; every record is closed and the log is sealed when this returns."""
        await self._started.aclose()

    async def report(self, control: Control) -> None:
        """Tell the parent again and again how things are, until cancelled."""
        while True:
            gateway = self._gateway
            control.send({"unready": self._unready(), "warnings": gateway.troubles, "notices": gateway.notices()})
            self._part.tidy()
            await self._clock.sleep(TELL_EVERY)

    def measured(self) -> Mapping[str, Any]:
        """The figures of this worker, for the parent."""
        figures, process = Figures(), str(self.ground.worker)
        measure_ground(figures, self.ground, process)
        measure_gateway(figures, self._gateway, self.ground)
        measure_feed(figures, self._feed)
        return {"measured": figures.written()}

    async def prepare(self, order: Mapping[str, Any]) -> Mapping[str, Any]:
        """Make everything of another configuration, with no effect; what to tell the parent."""
        self._prepared = None
        try:
            with building():
                self._prepared = await self._part.prepare(await aside(lambda: _loaded(order)))
        except DoorwardError as error:
            return {"prepared": None, "refused": str(error)}
        return {"prepared": self._prepared.compiled.digest, "troubles": self._prepared.troubles}

    def commit(self, digest: str) -> bool:
        """Serve by what was prepared; false if that is not what the parent means."""
        prepared, self._prepared = self._prepared, None
        if prepared is None or prepared.compiled.digest != digest:
            return False
        self._part.commit(prepared)
        return True

    def _unready(self) -> Sequence[str]:
        reasons = self._gateway.unready()
        return [*reasons, *self._feed.troubles()] if reasons else []


async def work(control: Control, clock: Clock, stopping: asyncio.Event) -> None:
    """Do as the parent says, until it says to stop or is gone, or until `stopping`. Raises `DoorwardError`."""
    order = await control.receive()
    if order is None:
        raise DoorwardError("a worker is started by doorward serve, and not by hand")
    worker = Worker(_loaded(order), order, clock)
    await worker.start()
    settle()
    reports = clock.spawn(worker.report(control), "reports to the parent")
    try:
        ended = clock.spawn(_obey(worker, control, stopping), "orders of the parent")
        await stopping.wait()
        ended.cancel()
    finally:
        control.send({"unready": ["draining"], "warnings": []})
        await worker.stop()
        control.send(worker.measured())
        reports.cancel()
        with suppress(asyncio.CancelledError):
            await reports
        control.close()


async def _obey(worker: Worker, control: Control, stopping: asyncio.Event) -> None:
    """Follow the parent until it says to stop or is gone. Who cannot follow stops too: its successor has what is in force."""
    while (order := await control.receive()) is not None:
        match order.get("do"):
            case "measure":
                control.send(worker.measured())
            case "prepare":
                control.send(await worker.prepare(order))
            case "commit" if worker.commit(order["digest"]):
                continue
            case _:
                break
    stopping.set()


def _loaded(order: Mapping[str, Any]) -> Loaded:
    """The configuration of an order. Raises `ConfigurationError`."""
    (file, text, _), *included = order["texts"]
    return load_text(text, Path(file), included={Path(other): (content, tenant) for other, content, tenant in included})
