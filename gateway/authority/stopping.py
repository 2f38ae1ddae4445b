"""What operators stop and restore: agents and tenants beside single tasks and tokens; knows no HTTP."""

from collections.abc import Sequence
from typing import Final, final

from gateway.authority.ending import Endings
from gateway.authority.refused import INVALID_REQUEST, RefusedError
from gateway.clock import Clock
from gateway.model import AGENT, FOREVER, TENANT, Restoration, Revocation
from gateway.stores.store import Stop, Store

STOPPABLE: Final = (AGENT, TENANT)
"""The kinds that operators stop and restore. Credentials and keys have their place in the store, but no gateway asks yet."""
CAUSES: Final = ("operator", "exposed", "behaviour_drift", "policy_drift", "identity_ended")
"""Why an operator may say that something is stopped (design §9)."""


@final
class Stops:
    """The agents that are stopped, or the whole tenant. Another tenant's stops look like those that do not exist."""

    def __init__(self, *, store: Store, endings: Endings, tenant: str, clock: Clock) -> None:
        """`tenant` is the one whose stops are seen here."""
        self._store = store
        self._endings = endings
        self._tenant = tenant
        self._clock = clock

    async def stop(self, kind: str, name: str, cause: str, until: float | None, *, by: str) -> Revocation:
        """Stop an agent, or the tenant, until `until` (Unix seconds) or until it is restored.

        Its tasks have ended when this returns. Raises `RefusedError` and `StoreUnavailableError`.
        """
        if kind == TENANT and name != self._tenant:
            raise RefusedError(INVALID_REQUEST, "There is no such tenant here.")
        if until is not None and not self._clock.now() < until <= FOREVER:
            raise RefusedError(INVALID_REQUEST, "The time in until is over already, or is none.")
        last = FOREVER if until is None else until
        return await self._endings.stop(kind, name, self._tenant, cause, by=f"user:{by}", until=last)

    async def restore(self, kind: str, name: str, *, by: str) -> Restoration | None:
        """Lift a stop; None if there is none. Raises `StoreUnavailableError`."""
        return await self._endings.restore(kind, name, self._tenant, by=f"user:{by}")

    async def page(self, after: int) -> Sequence[Stop]:
        """A page of what is stopped in this installation, of which only the tenant's own may be shown."""
        return await self._store.stops(after)

    def shows(self, stop: Stop) -> bool:
        """Whether a stop is of this tenant."""
        return stop.tenant == self._tenant
