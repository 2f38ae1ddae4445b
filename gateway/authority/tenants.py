"""Several tenants in one authority: whoever asks is of one, and reaches nothing of the others; verifies nobody."""

from collections import Counter
from collections.abc import Callable, Collection, Mapping
from typing import Final, NamedTuple, final

from gateway.authority.exchange import Exchange
from gateway.authority.refused import INVALID_REQUEST, UNAUTHORIZED_CLIENT, RefusedError
from gateway.authority.stopping import Stops
from gateway.authority.tasks import Tasks
from gateway.authority.tokens import OwnToken
from gateway.model import AGENT, TENANT, Restoration, Revocation
from gateway.stores.store import Stop, TaskFilter, TaskRow, TaskUnknownError


class Tenancy(NamedTuple):
    """What an authority does for one tenant. Its parts see nothing of another one, though the store is the same."""

    exchange: Exchange
    tasks: Tasks
    stops: Stops


@final
class Tenants:
    """All tenants of an authority. What agents ask goes to their own; operators are those of the installation."""

    def __init__(self, each: Mapping[str, Tenancy]) -> None:
        """By their names; there is at least one."""
        self.each: Final = each
        self.vouching: Callable[[str], Collection[str]] = _nobody
        """The tenants whose identities can vouch for an agent."""

    @property
    def tasks(self) -> Mapping[str, Tasks]:
        """The tasks of each."""
        return {name: tenancy.tasks for name, tenancy in self.each.items()}

    @property
    def given(self) -> Counter[str]:
        """How many tokens were given, by the event that their record names."""
        return sum((tenancy.exchange.given for tenancy in self.each.values()), Counter())

    @property
    def any(self) -> Tenancy:
        """For what is the same for all: the life of tokens, the form of tokens, the store."""
        return next(iter(self.each.values()))

    def of(self, tenant: str) -> Tenancy:
        """That of whoever asks. Raises `RefusedError`."""
        found = self.each.get(tenant)
        if found is None:
            raise RefusedError(UNAUTHORIZED_CLIENT, "The identity is of no tenant of this authority.")
        return found

    async def live_token(self, token: str) -> tuple[str, OwnToken] | None:
        """A task token that gives access now, with its tenant, or None."""
        for name, tenancy in self.each.items():
            if tenancy.tasks.is_of(token) and (own := await tenancy.tasks.live_token(token)) is not None:
                return name, own
        return None

    # What operators ask.

    async def show(self, name: str) -> TaskRow:
        """One task, of whichever tenant. Raises `TaskUnknownError`."""
        return await (await self._tasks_with(name)).show(name)

    async def revoke(self, name: str, operator: str) -> TaskRow:
        """End any task, by an operator; one that has ended stays as it is. Raises `TaskUnknownError`."""
        return await (await self._tasks_with(name)).revoke(name, operator)

    async def page(self, which: TaskFilter) -> list[TaskRow]:
        """A page of the tasks of one tenant, or of all, newest first. Raises `RefusedError` for a tenant that is not here."""
        asked = self.each.values() if which.tenant is None else [self._named(which.tenant)]
        found = [task for tenancy in asked for task in await tenancy.tasks.page(which)]
        return sorted(found, key=lambda task: (task.opened, task.id), reverse=True)[: which.limit]

    async def stop(self, kind: str, name: str, cause: str, until: float | None, *, tenant: str | None, by: str) -> Revocation:
        """Stop a tenant, or an agent of one, which has to be named where there are several. Raises as `Stops.stop` does."""
        whose = name if kind == TENANT and tenant is None else tenant
        if whose is None and len(self.each) > 1:
            raise RefusedError(INVALID_REQUEST, f"Say in tenant whose agent it is: {', '.join(self.each)}.")
        tenancy = self.any if whose is None else self._named(whose)
        owners = self.vouching(name) if kind == AGENT else ()
        if owners and whose is not None and whose not in owners:
            raise RefusedError(INVALID_REQUEST, f"This agent is none of {whose}, but of {', '.join(sorted(owners))}.")
        return await tenancy.stops.stop(kind, name, cause, until, by=by)

    async def restore(self, kind: str, name: str, *, by: str) -> Restoration | None:
        """Lift a stop, of whichever tenant; None if there is none. Raises `StoreUnavailableError`."""
        for tenancy in self.each.values():
            if (restoration := await tenancy.stops.restore(kind, name, by=by)) is not None:
                return restoration
        return None

    def shows(self, stop: Stop) -> bool:
        """Whether a stop is of a tenant here."""
        return stop.tenant in self.each

    def _named(self, tenant: str) -> Tenancy:
        found = self.each.get(tenant)
        if found is None:
            raise RefusedError(INVALID_REQUEST, "There is no such tenant here.")
        return found

    async def _tasks_with(self, name: str) -> Tasks:
        row = await self.any.tasks.row(name)
        if row is None or row.tenant not in self.each:
            raise TaskUnknownError(name)
        return self.each[row.tenant].tasks


def _nobody(_agent: str) -> Collection[str]:
    return ()
