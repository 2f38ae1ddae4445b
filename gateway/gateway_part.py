"""Lets a process that is only a gateway take another configuration; knows neither who brings it nor an authority."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, final

from gateway.aside import aside
from gateway.credentials.obtain import Credentials
from gateway.gateway_side import GatewaySide
from gateway.ground import Ground
from gateway.reload import Prepared
from gateway.settings.compile import compile_configuration
from gateway.settings.load import Loaded


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class GatewayPrepared(Prepared):
    """What a gateway makes of a configuration."""

    credentials: Mapping[str, Credentials]


@final
class GatewayPart:
    """The gateway's side of a process, as what takes configurations."""

    def __init__(self, ground: Ground, gateway: GatewaySide) -> None:
        """Both have started before anything is prepared."""
        self._ground: Final = ground
        self._gateway: Final = gateway

    async def prepare(self, loaded: Loaded) -> GatewayPrepared:
        """Make everything of another configuration aside, with no effect. Raises `DoorwardError`."""
        now = self._ground.clock.now()
        return await aside(lambda: self._prepared(loaded, now))

    def commit(self, prepared: GatewayPrepared) -> None:
        """Serve by it from now on; nothing here waits or fails."""
        self._ground.loaded, self._ground.compiled = prepared.loaded, prepared.compiled
        self._gateway.commit(prepared.compiled, prepared.credentials, prepared.troubles)

    def abandon(self, prepared: GatewayPrepared) -> None:
        """What was prepared had no effect."""

    def tidy(self) -> None:
        """End what only an earlier configuration had a use for, if it has become idle."""
        self._gateway.tidy()

    def _prepared(self, loaded: Loaded, now: float) -> GatewayPrepared:
        compiled = compile_configuration(loaded, now, self._ground.compiled)
        credentials = self._gateway.prepare(loaded)
        return GatewayPrepared(
            loaded=loaded, compiled=compiled, credentials=credentials, troubles=self._gateway.troubles_of(credentials)
        )
