"""Puts the authority together and runs its heart; knows every part of it and nothing of HTTP."""

import asyncio
import ssl
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final, final

from gateway.authority.ending import Endings
from gateway.authority.exchange import Exchange, MayHold, Terms
from gateway.authority.feed import HEARTBEAT, Feed
from gateway.authority.key_file import KeyFile
from gateway.authority.key_folder import KeyFolder
from gateway.authority.lending import Lending
from gateway.authority.recording import Notes, Recorder
from gateway.authority.rotation import SigningKeys
from gateway.authority.rules import AuthorityRule, VaultRule
from gateway.authority.stopping import Stops
from gateway.authority.tasks import Tasks
from gateway.authority.tenants import Tenancy, Tenants
from gateway.authority.tokens import TokenMaker
from gateway.authority.vault import Vault
from gateway.clock import Clock
from gateway.errors import DoorwardError
from gateway.stores.backends import BACKENDS
from gateway.stores.store import Store, StoreUnavailableError

_SWEEP: Final = 15.0


@final
class Authority:
    """A started authority: its feed beats, its store is open."""

    def __init__(
        self,
        *,
        store: Store,
        keys: SigningKeys,
        feed: Feed,
        tenants: Tenants,
        lending: Lending,
        endings: Endings,
        vault: Vault | None = None,
    ) -> None:
        """Made by `start_authority`."""
        self.keys: Final = keys
        self.feed: Final = feed
        self.tenants: Final = tenants
        self.lending: Final = lending
        self.store: Final = store
        self.endings: Final = endings
        self._recorder = endings.recorder
        self._vault = vault
        self._running: list[asyncio.Task[None]] = []

    def run(self, clock: Clock) -> None:
        """Start the heartbeat and the sweep."""
        parts = (
            (self.feed.run(), "feed"),
            (self.feed.watch(), "feed of others"),
            (self.lending.run(), "lending"),
            (self.lending.look_after(), "recalls"),
            (self._sweep(clock), "sweep"),
            (self.keys.run(), "signing keys"),
        )
        self._running = [clock.spawn(work, name) for work, name in parts]
        if self._vault is not None:
            self._running.append(clock.spawn(self._vault.run(clock), "vault"))

    @property
    def exchange(self) -> Exchange:
        """What gives tokens where there is only one tenant. Raises `ValueError` where there are several."""
        return self._one.exchange

    @property
    def tasks(self) -> Tasks:
        """The tasks where there is only one tenant. Raises `ValueError` where there are several."""
        return self._one.tasks

    @property
    def stops(self) -> Stops:
        """The stops where there is only one tenant. Raises `ValueError` where there are several."""
        return self._one.stops

    @property
    def _one(self) -> Tenancy:
        (tenancy,) = self.tenants.each.values()
        return tenancy

    @property
    def unrecorded(self) -> int:
        """How many records wait for the audit log."""
        return self._recorder.waiting

    @property
    def issuer(self) -> str:
        """What it calls itself: the `iss` of its tokens."""
        return self.feed.issuer

    def troubles(self) -> Sequence[str]:
        """Why the authority cannot do its work now, for readiness; nothing when it can."""
        found = [] if self.feed.reading else ["the store cannot be read"]
        if self._recorder.waiting:
            found.append(f"{self._recorder.waiting} records wait for the audit log")
        return found

    async def once(self, key: str, until: float, now: float) -> bool:
        """See `Store.once`. Raises `StoreUnavailableError`."""
        return await self.store.once(key, until, now)

    async def stop(self) -> None:
        """Stop the heartbeat, take what gateways gave back, record what waits, close the store.

        Stop its listeners before, and the audit log after.
        """
        await self.lending.settle()
        while running := [task for task in self._running if not task.done()]:
            for task in running:
                task.cancel()  # more than once: the library of a store may take one for the end of a connection
            await asyncio.wait(running, timeout=0.1)
        self._recorder.catch_up()
        if self._vault is not None:
            await self._vault.close()
        await self.store.close()

    async def _sweep(self, clock: Clock) -> None:
        while True:
            with suppress(StoreUnavailableError):  # the heartbeat says so already
                await self.endings.expire()
            await clock.sleep(_SWEEP)


def _vault(rule: VaultRule, resolve: Callable[[str], Path]) -> Vault:
    try:
        tls = None if rule.ca is None else ssl.create_default_context(cafile=resolve(rule.ca))
    except (OSError, ssl.SSLError):
        raise DoorwardError(f"{resolve(rule.ca or '')} holds no certificates that the vault could be checked by") from None
    return Vault(rule.url, rule.mount, rule.key, resolve(rule.token.file), tls)


async def start_authority(
    rule: AuthorityRule,
    *,
    tenants: Mapping[str, MayHold],
    audience: str,
    max_staleness: float,
    notes: Notes,
    resolve: Callable[[str], Path],
    clock: Clock,
) -> Authority:
    """Open the store, load or make the keys, and start the feed. Raises `DoorwardError` if any of it cannot be used.

    `tenants` are those that it serves, each with what policy answers there; `audience` is what every token carries in `aud`;
    `max_staleness` is after how many seconds without a heartbeat a gateway stops; `resolve` finds a path relative to the
    configuration.
    """
    store = BACKENDS[rule.store.name].build(rule.store.config, resolve=resolve, clock=clock)
    vault = None if rule.signing.vault is None else _vault(rule.signing.vault, resolve)
    try:
        await store.open()
        if vault is not None:
            with suppress(DoorwardError):  # a first start says so; what was kept can be verified without the vault
                await vault.look()
        # A gateway that has not heard of a new key by then refuses everything as stale.
        heard = max_staleness + HEARTBEAT
        keys = SigningKeys(
            KeyFolder(store.folder, vault), store, clock, algorithm=rule.signing.algorithm, every=rule.signing.rotate_every,
            lead=max(rule.signing.lead, heard), longest=rule.tokens.max_ttl,
            source=vault if rule.signing.file is None else KeyFile(resolve(rule.signing.file)),
        )  # fmt: skip
        await keys.begin(heard)
        feed = Feed(store, clock, issuer=rule.issuer, jwks=keys.jwks(), tenants=frozenset(tenants))
        keys.on_change = feed.keys
        await feed.start()
    except StoreUnavailableError as error:
        await store.close()
        if vault is not None:
            await vault.close()
        raise DoorwardError(f"the store cannot be used: {error}") from None
    except BaseException:
        await store.close()
        if vault is not None:
            await vault.close()
        raise
    recorder = Recorder(notes, rule.issuer)
    only = next(iter(tenants)) if len(tenants) == 1 else None
    keys.on_event = lambda members: recorder.after_ending("key", {"tenant": only, **members})
    endings = Endings(store=store, feed=feed, recorder=recorder, clock=clock)
    maker = TokenMaker(keys, issuer=rule.issuer, audience=audience, prefix=rule.tokens.prefix)

    def tenancy(tenant: str, may_hold: MayHold) -> Tenancy:
        terms = Terms(
            tenant=tenant,
            ttl=rule.tokens.ttl,
            max_ttl=rule.tokens.max_ttl,
            max_task=rule.tokens.max_task,
            proof=rule.proof == "required",
            max_open=rule.tokens.max_open,
        )
        return Tenancy(
            Exchange(
                store=store, maker=maker, endings=endings, recorder=recorder, may_hold=may_hold, terms=terms, feed=feed,
                clock=clock,
            ),
            Tasks(store=store, maker=maker, endings=endings, tenant=tenant, silence=rule.tokens.heartbeat, clock=clock),
            Stops(store=store, endings=endings, tenant=tenant, clock=clock),
        )  # fmt: skip

    lending = Lending(
        store,
        clock,
        max_task=rule.tokens.max_task,
        max_staleness=max_staleness,
        families=store,
        labelled=lambda tenant, task, labels: recorder.after_ending(
            "task", {"event": "labelled", "tenant": tenant, "task": task, "labels": sorted(labels)}
        ),
    )
    authority = Authority(
        store=store,
        keys=keys,
        feed=feed,
        tenants=Tenants({name: tenancy(name, may_hold) for name, may_hold in tenants.items()}),
        lending=lending,
        endings=endings,
        vault=vault,
    )
    authority.run(clock)
    return authority
