"""Replaces the configuration of a running Doorward as a whole, or not at all; knows nothing of what a part makes of it.

Two phases: a part prepares everything aside and may fail with no effect, then it commits in one step that cannot fail. The
request that has begun finishes on the snapshot it began with. Whatever is refused leaves the last good configuration in force.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Generic, Protocol, TypeVar, final

from gateway import telemetry
from gateway.aside import aside, building
from gateway.audit.configuration import record_configuration
from gateway.audit.ledger import Ledger
from gateway.authority.drafts import opening_of
from gateway.clock import Clock
from gateway.errors import ConfigurationError, DoorwardError, Refusal
from gateway.policy.compile import Policy
from gateway.policy.issue import NotGrantedError, may_hold
from gateway.settings.compiled import Compiled
from gateway.settings.difference import Difference, difference, fixed_flaws, narrowed_intents
from gateway.settings.load import Loaded, load, still_holds
from gateway.settings.watch import LOOK_EVERY, Watch
from gateway.stores.store import OPEN, PAGE, StoreUnavailableError, TaskFilter, TaskRow

if TYPE_CHECKING:  # a gateway alone reloads too, and has no tasks
    from gateway.authority.tasks import Tasks

TRIES: Final = 3
"""How often files that change while they are read are read again at once."""
TOLD: Final = 20
"""How many flaws of a refused configuration are logged and shown."""

_log = telemetry.logger("reload")


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """A configuration and what it means; a part adds what it makes of it. `troubles` are sentences for the operator."""

    loaded: Loaded
    compiled: Compiled
    troubles: tuple[str, ...]


P = TypeVar("P", bound=Prepared)


class Part(Protocol[P]):
    """What takes configurations: one process, or several that take them together."""

    async def prepare(self, loaded: Loaded) -> P:
        """Make everything of it, without any effect. Raises `DoorwardError`."""
        ...

    def commit(self, prepared: P) -> None:
        """Serve by it from now on."""
        ...

    def abandon(self, prepared: P) -> None:
        """What was prepared is not wanted after all."""
        ...

    def tidy(self) -> None:
        """End what only an earlier configuration had a use for, if it has become idle; asked now and then."""
        ...


@final
@dataclass(frozen=True, slots=True)
class Reloaded:
    """What a reload has done; nothing if `changed` is empty."""

    policy: str
    changed: Difference
    revoked: int
    troubles: tuple[str, ...] = ()


@final
class Lost:
    """Which live tasks a policy would not give any more: an intent is not granted, or covers less than it did."""

    def __init__(self, policy: Policy, narrowed: frozenset[str]) -> None:
        """`narrowed` are the intents that a task from before `policy` was given more of."""
        self._policy: Final = policy
        self._narrowed: Final = narrowed

    def __call__(self, task: TaskRow) -> bool:
        """Whether this task was given what policy gives no more."""
        if task.policy != self._policy.digest and not self._narrowed.isdisjoint(task.intents):
            return True
        try:
            may_hold(self._policy, opening_of(task), task.intents)
        except NotGrantedError:
            return True
        return False


@final
class Reload(Generic[P]):
    """Reads the files again when they change or somebody asks, one attempt at a time."""

    def __init__(
        self, part: Part[P], loaded: Loaded, policy: str, *, tasks: "Mapping[str, Tasks] | None", ledger: Ledger, clock: Clock
    ) -> None:
        """`loaded` and the `policy` of this digest are in force.

        `tasks` are the live ones of each tenant, some of which may have to end; None elsewhere.
        """
        self._part: Final = part
        self._loaded = loaded
        self._policy = policy
        self._tasks: Final = tasks
        self._ledger: Final = ledger
        self._clock: Final = clock
        self._watch: Final = Watch(loaded.file, loaded.patterns)
        self._busy = False
        self._asked = False
        self._drift: Mapping[str, Lost] | None = None
        self.refused: str | None = None
        """Why the files are not what is in force; None when they are."""
        self.taken = 0
        self.turned_down = 0
        """How many changed configurations came into force, and how many attempts were refused."""
        self.since: float = clock.now()
        """When the configuration came into force, in Unix seconds."""

    def ask(self) -> None:
        """Read the files at the next look, changed or not."""
        self._asked = True

    async def run(self) -> None:
        """Look at the files again and again, until cancelled."""
        while True:
            await self._clock.sleep(LOOK_EVERY)
            with suppress(StoreUnavailableError):  # the next look tries again
                await self._end_drifted()
            self._part.tidy()
            asked, self._asked = self._asked, False
            with suppress(DoorwardError):  # it was logged and recorded
                if asked or await self._watch.settled():
                    await self.again(by="signal" if asked else "watch")

    def notices(self) -> Sequence[str]:
        """What an operator should know of the configuration."""
        told = [] if self.refused is None else [f"policy {self._policy} stays in force: {self.refused}"]
        if self._drift is not None:
            told.append("tasks that policy gives no more wait for the store to be revoked")
        return told

    async def again(self, *, by: str, confirmed: bool = False) -> Reloaded:
        """Read the files and take what they say. `confirmed` lets it revoke however many tasks.

        Raises `DoorwardError` if they are refused; then nothing has changed.
        """
        if self._busy:
            raise DoorwardError("another reload is under way; try again when it is over")
        self._busy = True
        try:
            with building():
                loaded = await self._read()
                try:
                    reloaded = await self._take(loaded, by, confirmed=confirmed)
                except DoorwardError:
                    await aside(loaded.take_apart)
                    raise
        except DoorwardError as error:
            self._refuse(error, by)
            raise
        finally:
            self._busy = False
        self.refused = None
        return reloaded

    async def _read(self) -> Loaded:
        """The configuration, of files that did not change while they were read."""
        for _ in range(TRIES):
            began = await self._watch.begin()
            try:
                loaded = await aside(self._load)
            except DoorwardError:
                if await self._watch.done(began, None):
                    raise
            else:
                if await self._watch.done(began, loaded.patterns):
                    return loaded
        raise DoorwardError(f"{self._loaded.file}: the files keep changing while they are read")

    def _load(self) -> Loaded:
        with suppress(DoorwardError):
            if still_holds(self._loaded):
                return self._loaded
        return load(self._loaded.file)

    async def _take(self, loaded: Loaded, by: str, *, confirmed: bool) -> Reloaded:
        if loaded is self._loaded:
            return Reloaded(self._policy, Difference(), 0)
        changed, narrowed = await aside(lambda: _compared(self._loaded, loaded))
        prepared = await self._part.prepare(loaded)
        compiled = prepared.compiled
        lost = {name: Lost(its.policy, narrowed[name]) for name, its in compiled.parts.items()}
        try:
            if not confirmed:
                await self._check_drift(lost, loaded.document.policy_drift.at_most)
            await self._record(prepared, changed, by)
        except BaseException:
            self._part.abandon(prepared)
            raise
        self._part.commit(prepared)
        self.taken, self.since = self.taken + 1, self._clock.now()
        before, self._loaded, self._policy, self._drift = self._loaded, loaded, compiled.digest, lost
        _log.info(
            "configuration_loaded", policy=compiled.digest, by=by, added=changed.added, removed=changed.removed,
            changed=changed.changed, warnings=[*compiled.warnings, *prepared.troubles],
        )  # fmt: skip
        revoked = 0
        with suppress(StoreUnavailableError):  # what is not granted is refused anyway, and the next look tries again
            revoked = await self._end_drifted()
        await aside(before.take_apart)
        return Reloaded(compiled.digest, changed, revoked, prepared.troubles)

    async def _check_drift(self, lost: Mapping[str, Lost], at_most: float) -> None:
        if self._tasks is None:
            return
        live = ended = 0
        try:
            for name, tasks in self._tasks.items():
                async for task in _live(tasks):
                    live += 1
                    ended += lost[name](task)
        except StoreUnavailableError:
            raise DoorwardError("the store cannot be read, so nobody knows which live tasks would be revoked") from None
        if ended > live * at_most:
            raise DoorwardError(
                f"{self._loaded.file}: this would revoke {ended} of {live} live tasks, and policy_drift.at_most is "
                f"{at_most:.0%}; `doorward plan` names them, `doorward reload --confirm` does it"
            )

    async def _end_drifted(self) -> int:
        lost, policy, ended = self._drift, self._policy, 0
        if lost is None or self._tasks is None:
            return 0
        for name, tasks in self._tasks.items():
            async for task in _live(tasks):
                if lost[name](task):
                    await tasks.end_as_drifted(task.id, policy)
                    ended += 1
        if self._drift is lost:
            self._drift = None
        if ended:
            _log.warning("tasks_revoked", cause="policy_drift", count=ended, policy=policy)
        return ended

    async def _record(self, prepared: P, changed: Difference, by: str) -> None:
        """Nothing comes into force that is not in the log; between two parts of a long text requests have their turn."""
        digest = prepared.compiled.digest
        facts: Mapping[str, object] = {
            "event": "loaded", "policy": digest, "before": self._policy, "by": by,
            "added": changed.added, "removed": changed.removed, "changed": changed.changed,
        }  # fmt: skip
        try:
            for file, text in prepared.loaded.texts.items():
                for record in record_configuration(self._ledger, digest, str(file), text):
                    record()
                    await self._clock.sleep(0)
            self._ledger.note("config", facts)
        except Refusal:
            raise DoorwardError("the audit log takes no records, so the configuration cannot be recorded") from None

    def _refuse(self, error: DoorwardError, by: str) -> None:
        self.turned_down += 1
        flaws = error.flaws if isinstance(error, ConfigurationError) else ()
        told = [str(flaw) for flaw in flaws[:TOLD]] or [str(error)]
        more = len(flaws) - len(told) if flaws else 0
        self.refused = told[0] + (f" (and {len(flaws) - 1} more)" if len(flaws) > 1 else "")
        _log.error("configuration_refused", by=by, flaws=told, further=more, in_force=self._policy)
        facts = {"event": "refused", "policy": self._policy, "by": by, "flaws": told, "further": more}
        with suppress(Refusal):  # it gives nobody anything; the operational log has it
            self._ledger.note("config", facts)


def _compared(before: Loaded, after: Loaded) -> tuple[Difference, Mapping[str, frozenset[str]]]:
    """What differs, and which intents of each tenant cover less. Raises `ConfigurationError` for what cannot change now."""
    if flaws := [*fixed_flaws(before, after)]:
        raise ConfigurationError(flaws)
    return difference(before, after), {
        name: narrowed_intents(before.parts[name].document, part.document) for name, part in after.parts.items()
    }


async def _live(tasks: "Tasks") -> AsyncIterator[TaskRow]:
    which = TaskFilter(state=OPEN, limit=PAGE)
    while page := await tasks.page(which):
        for task in page:
            yield task
        if len(page) < PAGE:
            return
        which = TaskFilter(state=OPEN, limit=PAGE, before=(page[-1].opened, page[-1].id))
