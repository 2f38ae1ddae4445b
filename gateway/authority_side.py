"""Builds the authority with everything that it answers on, and starts it in order; knows nothing of how requests pass."""

import os
import secrets
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import replace
from functools import partial
from typing import Final, final

from gateway.authority.addresses import parse_address
from gateway.authority.authority import Authority, start_authority
from gateway.authority.drift import Drift
from gateway.endpoints.admin import Reload, admin_application, operators_of
from gateway.endpoints.authority import authority_application
from gateway.endpoints.callers import Callers
from gateway.endpoints.evaluation import EvaluationEndpoint
from gateway.endpoints.feed import FeedEndpoint, Gateways
from gateway.endpoints.health import Health, start_health_site
from gateway.endpoints.proofs import Proofs
from gateway.endpoints.sites import start_site
from gateway.errors import ConfigurationError
from gateway.fetch import Fetch
from gateway.ground import Ground
from gateway.http.unix_socket import EVERY_USER, OWNER_ONLY
from gateway.identity.failures import Failures
from gateway.identity.identify import Identities, Minter
from gateway.identity.local_users import user_id
from gateway.identity.nonces import Nonces
from gateway.identity.provider import Tools
from gateway.identity.providers import PROVIDERS
from gateway.identity.replays import KEY_BYTES
from gateway.policy.issue import Allowance, may_hold
from gateway.policy.start import Opening
from gateway.settings.identities import tenants_of
from gateway.settings.load import Loaded


@final
class AuthoritySide:
    """The authority, its listeners and those of operators. Start once, stop once; all that was started stops in reverse."""

    def __init__(self, ground: Ground) -> None:
        """Nothing is opened yet."""
        self._ground: Final = ground
        self._started: Final = AsyncExitStack()
        self.ports: Final[list[int]] = []
        """The TCP ports of the authority, once started."""
        self.authority: Authority
        self.answered: Final[Counter[tuple[str, str]]] = Counter()
        """How often each endpoint for agents has answered what, by its path and the error."""
        self._identities: Identities | None = None
        self._failures = Failures(ground.clock)
        self._resources = _resources(ground.loaded)
        self.health_ports: Sequence[int] = ()
        """The TCP port of `admin.listen`, once started, if it has one."""
        self.feed: FeedEndpoint
        """Where gateways in other processes follow the feed."""

    async def start(self, health: Health, reload: Reload) -> None:
        """Start identities, the authority and its listeners; `reload` reads the configuration again for an operator.

        Raises `DoorwardError`; then nothing stays started.
        """
        try:
            self._tools = self._make_tools()
            self._identities = self.prepare(self._ground.loaded)
            self._started.callback(self._identities.close)
            self.authority = await self._start_authority()
            self.authority.tenants.vouching = self._identities.vouching
            await self._open_authority_site(self._identities)
            health = _with_troubles(health, self._identities)
            await self._open_admin_site(health, reload)
            await self._open_health_site(health)
        except BaseException:
            await self._started.aclose()
            raise

    async def stop(self) -> None:
        """Answer what was asked, then close the listeners, the feed and the store."""
        await self._started.aclose()

    def troubles(self) -> Sequence[str]:
        """Why the authority cannot do its work now."""
        return self.authority.troubles()

    def prepare(self, loaded: Loaded) -> Identities:
        """The identities of a configuration, with no effect; those whose rule has not changed keep the keys they know.

        Raises `ConfigurationError`.
        """
        before, known = self._ground.loaded.document.identities, self._identities
        tenants, old = tenants_of(loaded), tenants_of(self._ground.loaded)
        minters: dict[str, Minter] = {}
        try:
            for name, rule in loaded.document.identities.items():
                if known is not None and before.get(name) == rule and old.get(name) == tenants[name]:
                    minters[name] = known.minters[name]
                else:
                    provider = PROVIDERS[rule.choice.name].build(rule.choice.config, name, self._tools)
                    minters[name] = Minter(provider, rule.patterns, tenants[name])
            return Identities(minters, self._failures)
        except ValueError as error:
            raise ConfigurationError([loaded.flaw(("identities",), str(error))]) from None

    def commit(self, loaded: Loaded, identities: Identities) -> None:
        """Verify and issue by it from now on."""
        self._resources = _resources(loaded)
        if self._identities is not None:
            self._identities.become(identities)

    def _make_tools(self) -> Tools:
        fetch = Fetch()
        self._started.push_async_callback(fetch.close)
        return Tools(self._ground.clock, fetch, self._ground.loaded.resolve)

    async def _start_authority(self) -> Authority:
        document = self._ground.loaded.document
        authority = await start_authority(
            document.authority,
            tenants={name: partial(self._may_hold, name) for name in self._ground.loaded.parts},
            audience=document.gateway.audience,
            max_staleness=document.feed.max_staleness,
            notes=self._ground.ledger,
            resolve=self._ground.loaded.resolve,
            clock=self._ground.clock,
        )
        self._started.push_async_callback(authority.stop)
        authority.lending.drift = Drift(
            store=authority.store, endings=authority.endings, clock=self._ground.clock,
            rule=lambda: self._ground.loaded.document.drift,
        )  # fmt: skip
        return authority

    def _may_hold(self, tenant: str, opening: Opening, intents: Sequence[str]) -> Allowance:
        return may_hold(self._ground.compiled.parts[tenant].policy, opening, intents)

    async def _open_authority_site(self, identities: Identities) -> None:
        ground, document = self._ground, self._ground.loaded.document
        self.feed = FeedEndpoint(self.authority, self._gateways(), lambda: ground.policy, ground.clock)
        proofs = self._make_proofs()
        application = authority_application(
            self.authority,
            identities,
            audience=document.gateway.audience,
            resources=lambda tenant: self._resources.get(tenant, {}),
            proofs=proofs,
            clock=ground.clock,
            feed=self.feed,
            counts=self.answered,
        )
        evaluation = EvaluationEndpoint(
            callers=Callers(identities, self.authority.tenants, proofs, self.authority.issuer),
            askers=document.authority.askers,
            compiled=lambda tenant: ground.compiled.parts[tenant],
            issuer=self.authority.issuer,
            clock=ground.clock,
        )
        application.add_routes(evaluation.routes())
        listen = [parse_address(text) for text in document.authority.listen]
        tls = ground.live("authority", document.authority.tls, identities.roots)
        site = await start_site(
            application, listen, mode=EVERY_USER, resolve=ground.loaded.resolve, clock=ground.clock, tls=tls
        )
        self._started.push_async_callback(site.stop)
        self.ports.extend(site.ports)

    def _make_proofs(self) -> Proofs:
        document, clock = self._ground.loaded.document, self._ground.clock
        shown_to_gateways = document.gateway.tls is not None and document.gateway.tls.client_ca is not None
        return Proofs(
            issuer=document.authority.issuer,
            once=self.authority.once,
            nonces=Nonces(secrets.token_bytes(KEY_BYTES), clock),
            binds_certificates=shown_to_gateways or document.authority.proof == "required",
            clock=clock,
        )

    def _gateways(self) -> Gateways:
        rule = self._ground.loaded.document.authority.gateways
        try:
            users = frozenset((os.getuid(), *map(user_id, rule.users)))
        except ValueError as error:
            raise ConfigurationError([self._ground.loaded.flaw(("authority", "gateways", "users"), str(error))]) from None
        return Gateways(users, frozenset(rule.certificates), self._ground.clock)

    async def _open_admin_site(self, health: Health, reload: Reload) -> None:
        ground, rule = self._ground, self._ground.loaded.document.admin
        operators = operators_of(rule.operators)
        application = admin_application(
            self.authority.tenants,
            self.authority.keys,
            operators=operators,
            health=health,
            reload=reload,
            clock=ground.clock,
        )
        # Operators are told by their user. Others than our own could not even connect to a socket that is only ours.
        alone = set(operators) <= {os.getuid()}
        mode = OWNER_ONLY if alone else EVERY_USER
        site = await start_site(
            application, [parse_address(rule.socket)], mode=mode, resolve=ground.loaded.resolve, clock=ground.clock
        )
        self._started.push_async_callback(site.stop)

    async def _open_health_site(self, health: Health) -> None:
        ground, listen = self._ground, self._ground.loaded.document.admin.listen
        site = await start_health_site(health, listen, resolve=ground.loaded.resolve, clock=ground.clock)
        if site is not None:
            self._started.push_async_callback(site.stop)
            self.health_ports = site.ports


def _with_troubles(health: Health, identities: Identities) -> Health:
    """The same, with what operators should know of identities among its notices."""

    def notices() -> Sequence[str]:
        return (*health.notices(), *identities.troubles())

    return replace(health, notices=notices)


def _resources(loaded: Loaded) -> Mapping[str, Mapping[str, frozenset[str] | None]]:
    """By tenant the URLs of the gateway and of its upstreams on it, for which a token may be asked, with the intents there."""
    return {name: _resources_of(part) for name, part in loaded.parts.items()}


def _resources_of(loaded: Loaded) -> Mapping[str, frozenset[str] | None]:
    document = loaded.document
    url = document.gateway.url.rstrip("/")
    intents: dict[str, set[str]] = {name: set() for name in document.upstreams}
    for intent, its in document.intents.items():
        intents[its.upstream].add(intent)
    found: dict[str, frozenset[str] | None] = {
        url + rule.prefix(name): frozenset(intents[name]) for name, rule in document.upstreams.items()
    }
    return {**found, url: None}
