"""A gateway whose authority is elsewhere: one side, and a line to that authority's feed; knows no store and no task."""

from collections.abc import Sequence
from contextlib import AsyncExitStack
from typing import Final, final

from gateway.authority.remote import RemoteFeed
from gateway.clock import Clock
from gateway.endpoints.health import Health, start_health_site
from gateway.followed import place_of
from gateway.gateway_part import GatewayPart, GatewayPrepared
from gateway.gateway_side import GatewaySide
from gateway.ground import Ground
from gateway.measuring import measure_feed, measure_gateway, measure_ground, measure_reload
from gateway.metrics.figures import Figures
from gateway.reload import Reload
from gateway.settings.load import Loaded


@final
class Sidecar:
    """Start once, stop once; what was started is stopped in reverse order."""

    def __init__(self, loaded: Loaded, clock: Clock) -> None:
        """Compile the configuration. Raises `ConfigurationError`; nothing is opened yet."""
        self.ground: Final = Ground(loaded, clock)
        self._gateway: Final = GatewaySide(self.ground)
        place = place_of(self.ground, ("authority",), loaded.document.authority)
        self._feed: Final = RemoteFeed(place, clock, policy=lambda: self.ground.policy)
        self._started: Final = AsyncExitStack()
        self._reload: Reload[GatewayPrepared] | None = None
        self.health_ports: Sequence[int] = ()
        """The TCP port of `admin.listen`, once started, if it has one."""

    @property
    def addresses(self) -> Sequence[str]:
        """Where agents send requests, once started."""
        return self._gateway.addresses

    @property
    def warnings(self) -> Sequence[str]:
        """What the operator should know."""
        return (*self.ground.warnings, *self._gateway.troubles, *self._feed.troubles(), *self._gateway.notices())

    async def start(self) -> None:
        """Start audit, feed and gateway, in this order. Raises `DoorwardError`; then nothing stays started.

        If the authority is not heard in time it listens all the same, and refuses until all is known.
        """
        try:
            await self.ground.start()
            self._started.push_async_callback(self.ground.stop)
            await self._open_admin_sites()
            self._started.push_async_callback(self._feed.stop)
            await self._gateway.start(self._feed.subscribe, self._feed.lend)
            self._started.push_async_callback(self._gateway.stop)
            ground, part = self.ground, GatewayPart(self.ground, self._gateway)
            self._reload = Reload(
                part, ground.loaded, ground.compiled.digest, tasks=None, ledger=ground.ledger, clock=ground.clock
            )
            self._started.callback(ground.clock.spawn(self._reload.run(), "reload").cancel)
        except BaseException:
            await self._started.aclose()
            raise

    async def stop(self) -> None:
        """Drain and stop; every record is closed and the log is sealed when this returns."""
        await self._started.aclose()

    def ask_reload(self) -> None:
        """Read the configuration again soon, changed or not."""
        if self._reload is not None:
            self._reload.ask()

    def unready(self) -> Sequence[str]:
        """Why requests would be refused now; empty when ready."""
        reasons = [*self._gateway.unready()]
        return [*reasons, *self._feed.troubles()] if reasons else []

    async def measure(self) -> Figures:
        """The figures of this process, which are all there are."""
        figures = Figures()
        measure_ground(figures, self.ground)
        measure_gateway(figures, self._gateway, self.ground)
        measure_feed(figures, self._feed)
        measure_reload(figures, self._reload)
        return figures

    async def _open_admin_sites(self) -> None:
        """The socket of operators has nothing to hide here either: a sidecar keeps no task that could be shown or revoked."""
        ground, rule = self.ground, self.ground.loaded.document.admin
        health = Health(self.unready, self._notices, self.measure)
        for listen in (rule.socket, rule.listen):
            site = await start_health_site(health, listen, resolve=ground.loaded.resolve, clock=ground.clock)
            if site is not None:
                self._started.push_async_callback(site.stop)
                self.health_ports = site.ports

    def _notices(self) -> Sequence[str]:
        reload = () if self._reload is None else self._reload.notices()
        return [*self._gateway.notices(), *self._feed.notices(), *reload]
