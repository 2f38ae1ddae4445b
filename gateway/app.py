"""Puts both sides of Doorward into one process, with the feed between them; knows no part of either side."""

from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import asdict, dataclass
from typing import Final, final

from gateway.aside import aside
from gateway.audit.ledger import Ledger
from gateway.authority.authority import Authority
from gateway.authority.lending import Line
from gateway.authority_side import AuthoritySide
from gateway.clock import Clock
from gateway.credentials.obtain import Credentials
from gateway.endpoints.health import Health
from gateway.errors import DoorwardError
from gateway.gateway_side import GatewaySide
from gateway.ground import Ground
from gateway.http.deadlines import Sweep
from gateway.http.listener import Listener
from gateway.http.pool import Pool
from gateway.identity.identify import Identities
from gateway.identity.standing import Standing
from gateway.limits.wishes import Lender
from gateway.measuring import measure_authority, measure_gateway, measure_ground, measure_reload
from gateway.metrics.figures import Figures
from gateway.model import Upstream
from gateway.reload import Prepared, Reload
from gateway.settings.compile import compile_configuration
from gateway.settings.load import Loaded
from gateway.snapshot import Snapshot
from gateway.stores.store import StoreUnavailableError

GATEWAY: Final = "gateway"
"""The name under which the gateway of one process holds places. Its successor has the same, and takes them over."""


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class BothPrepared(Prepared):
    """What both sides make of a configuration."""

    credentials: Mapping[str, Credentials]
    identities: Identities


@final
class Doorward:
    """Authority and gateway in one process. Start once, stop once; what was started is stopped in reverse order."""

    def __init__(self, loaded: Loaded, clock: Clock) -> None:
        """Compile the configuration. Raises `ConfigurationError`; nothing is opened yet."""
        self.ground: Final = Ground(loaded, clock)
        self._authority: Final = AuthoritySide(self.ground)
        self._gateway: Final = GatewaySide(self.ground)
        self._started: Final = AsyncExitStack()
        self.reload: Reload[BothPrepared] | None = None
        """What reads the configuration again, once started."""

    @property
    def addresses(self) -> Sequence[str]:
        """Where agents send requests, once started."""
        return self._gateway.addresses

    @property
    def authority(self) -> Authority:
        """The authority, once started."""
        return self._authority.authority

    @property
    def ledger(self) -> Ledger:
        """The audit log, once started."""
        return self.ground.ledger

    @property
    def standing(self) -> Standing:
        """What the gateway knows of the authority, once started."""
        return self._gateway.standing

    @property
    def snapshot(self) -> Snapshot:
        """What the next request will use, once started."""
        return self._gateway.snapshot

    @property
    def listener(self) -> Listener:
        """The connections of agents, once started."""
        return self._gateway.listener

    @property
    def pool(self) -> Pool:
        """The connections to upstreams, once started."""
        return self._gateway.pool

    @property
    def sweep(self) -> Sweep:
        """The deadlines of all connections."""
        return self._gateway.sweep

    @property
    def authority_ports(self) -> Sequence[int]:
        """The TCP ports of the authority, once started."""
        return self._authority.ports

    @property
    def health_ports(self) -> Sequence[int]:
        """The TCP port of `admin.listen`, once started, if it has one."""
        return self._authority.health_ports

    @property
    def warnings(self) -> Sequence[str]:
        """What the operator should know: credentials near their end, and agents that nothing isolates."""
        return (*self.ground.warnings, *self._gateway.troubles, *self._gateway.notices())

    async def start(self) -> None:
        """Start in the order of dependence: audit, authority, gateway. Raises `DoorwardError`; then nothing stays started."""
        try:
            await self.ground.start()
            self._started.push_async_callback(self.ground.stop)
            await self._authority.start(Health(self.unready, self._notices, self.measure), self._reload_for)
            self._started.push_async_callback(self._authority.stop)
            await self._gateway.start(self.authority.feed.subscribe, self._lend)
            self._started.push_async_callback(self._gateway.stop)
            self.reload = self._make_reload()
            self._started.callback(self.ground.clock.spawn(self.reload.run(), "reload").cancel)
        except BaseException:
            await self._started.aclose()
            raise

    async def _lend(self, line: Line) -> Lender:
        try:
            return await self.authority.lending.lend(GATEWAY, line)
        except StoreUnavailableError as error:
            raise DoorwardError(f"the store cannot be written ({error})") from None

    async def stop(self) -> None:
        """Drain and stop; every record is closed and the log is sealed when this returns."""
        await self._started.aclose()

    async def prepare(self, loaded: Loaded) -> BothPrepared:
        """Make everything of another configuration aside, with no effect. Raises `DoorwardError`."""
        now = self.ground.clock.now()
        return await aside(lambda: self._prepared(loaded, now))

    def commit(self, prepared: BothPrepared) -> None:
        """Serve by it from now on; nothing here waits or fails."""
        self.ground.loaded, self.ground.compiled = prepared.loaded, prepared.compiled
        self._authority.commit(prepared.loaded, prepared.identities)
        self._gateway.commit(prepared.compiled, prepared.credentials, prepared.troubles)

    def abandon(self, prepared: BothPrepared) -> None:
        """What was prepared had no effect."""

    def ask_reload(self) -> None:
        """Read the configuration again soon, changed or not."""
        if self.reload is not None:
            self.reload.ask()

    def tidy(self) -> None:
        """End what only an earlier configuration had a use for, if it has become idle."""
        self._gateway.tidy()

    async def measure(self) -> Figures:
        """The figures of this process, which are all there are."""
        figures = Figures()
        measure_ground(figures, self.ground)
        measure_gateway(figures, self._gateway, self.ground)
        measure_authority(figures, self._authority)
        measure_reload(figures, self.reload)
        return figures

    def upstream(self, name: str) -> Upstream:
        """The upstream of this name. Raises `KeyError`."""
        return self.ground.compiled.upstreams[name]

    def unready(self) -> Sequence[str]:
        """Why requests would be refused now; empty when ready."""
        reasons = self._gateway.unready()
        return reasons if reasons == ["starting"] else [*self._authority.troubles(), *reasons]

    def _prepared(self, loaded: Loaded, now: float) -> BothPrepared:
        compiled = compile_configuration(loaded, now, self.ground.compiled)
        credentials = self._gateway.prepare(loaded)
        return BothPrepared(
            loaded=loaded,
            compiled=compiled,
            credentials=credentials,
            identities=self._authority.prepare(loaded),
            troubles=self._gateway.troubles_of(credentials),
        )

    def _make_reload(self) -> Reload[BothPrepared]:
        ground = self.ground
        return Reload(
            self, ground.loaded, ground.compiled.digest, tasks=self.authority.tenants.tasks, ledger=self.ledger,
            clock=ground.clock,
        )  # fmt: skip

    def _notices(self) -> Sequence[str]:
        return [*self._gateway.notices(), *(() if self.reload is None else self.reload.notices())]

    async def _reload_for(self, operator: str, confirmed: bool) -> Mapping[str, object]:  # noqa: FBT001 as an endpoint gives it
        if self.reload is None:
            raise DoorwardError("doorward has not started yet; try again in a moment")
        return asdict(await self.reload.again(by=f"user:{operator}", confirmed=confirmed))
