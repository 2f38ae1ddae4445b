"""Builds every part from one configuration and starts them in order; knows every concrete class and decides nothing."""

import os
from collections.abc import Coroutine, Sequence
from contextlib import AsyncExitStack
from typing import Any, Final, final

from gateway import __version__
from gateway.audit.build import build as build_ledger
from gateway.audit.configuration import record_configuration
from gateway.audit.ledger import Ledger
from gateway.authority.addresses import is_local, parse_address
from gateway.authority.authority import Authority, start_authority
from gateway.clock import Clock
from gateway.endpoints.admin import admin_application, operators_of
from gateway.endpoints.authority import authority_application
from gateway.endpoints.sites import start_site
from gateway.errors import ConfigurationError, DoorwardError, Refusal
from gateway.fetch import Fetch
from gateway.handle_request import handle_request
from gateway.http.deadlines import Sweep
from gateway.http.downstream import Downstream
from gateway.http.fields import response_vocabulary
from gateway.http.listener import Listener
from gateway.http.memory import Memory
from gateway.http.pool import Pool
from gateway.http.relay import Relay
from gateway.http.tls_context import UnusableFileError
from gateway.http.tls_rule import ListenerTlsRule
from gateway.http.tls_watch import LiveContext, TlsWatch
from gateway.http.unix_socket import EVERY_USER, OWNER_ONLY
from gateway.http.waiting import Wait
from gateway.identity.identify import Identities, Minter
from gateway.identity.provider import Tools
from gateway.identity.providers import PROVIDERS
from gateway.identity.standing import Standing
from gateway.limits.spend import Counters
from gateway.model import Upstream
from gateway.policy.issue import Allowance, may_hold
from gateway.settings.compile import compile_configuration, compile_credentials
from gateway.settings.load import Loaded
from gateway.settings.tls import listener_files
from gateway.snapshot import Snapshot


@final
class Doorward:
    """Authority and gateway in one process. Start once, stop once; what was started is stopped in reverse order."""

    def __init__(self, loaded: Loaded, clock: Clock) -> None:
        """Compile the configuration. Raises `ConfigurationError`; nothing is opened yet."""
        self._loaded: Final = loaded
        self._clock: Final = clock
        self._compiled: Final = compile_configuration(loaded, clock.now())
        self._started: Final = AsyncExitStack()
        self._troubles: tuple[str, ...] = ()
        self._tls: Final = TlsWatch(clock)
        self.sweep: Final = Sweep()
        self.addresses: Final[list[str]] = []
        """Where agents send requests, once started."""
        self.authority_ports: Final[list[int]] = []
        self.ledger: Ledger
        self.standing: Standing
        self.pool: Pool
        self.listener: Listener
        self.snapshot: Snapshot
        self.authority: Authority

    @property
    def warnings(self) -> Sequence[str]:
        """What the operator should know: credentials near their end, and agents that nothing isolates."""
        document = self._loaded.document
        shared = [
            f"identity {name}: an agent shares its user with Doorward or an operator, so nothing isolates it (same_user: true)"
            for name, rule in document.identities.items()
            if rule.same_user
        ]
        exposed = [
            f"{section} listens on {text} without TLS: tokens cross the network in the clear"
            for section, rule in (("gateway", document.gateway), ("authority", document.authority))
            for text in rule.listen
            if rule.tls is None and not is_local(parse_address(text))
        ]
        return (*self._compiled.warnings, *shared, *exposed, *self._troubles)

    async def start(self) -> None:
        """Start in the order of dependence: audit, authority, gateway. Raises `DoorwardError`; then nothing stays started."""
        try:
            self.ledger = await self._start_audit()
            identities = self._make_identities()
            self.authority = await self._start_authority()
            self.standing = await self._catch_up(self.authority)
            self.pool, self.snapshot = self._make_snapshot()
            await self._open_authority_sites(self.authority, identities)
            self.listener = await self._listen()
        except BaseException:
            await self._started.aclose()
            raise

    async def stop(self) -> None:
        """Drain and stop; every record is closed and the log is sealed when this returns."""
        await self._started.aclose()

    def upstream(self, name: str) -> Upstream:
        """The upstream of this name. Raises `KeyError`."""
        return self._compiled.upstreams[name]

    def unready(self) -> Sequence[str]:
        """Why requests would be refused now; empty when ready."""
        if not self.addresses:
            return ["starting"]
        reasons = [*self.authority.troubles()]
        if self.standing.stale:
            reasons.append("the authority's last heartbeat is too old")
        if not self.ledger.available:
            reasons.append("the audit log cannot take records")
        if self.listener.draining:
            reasons.append("draining")
        return reasons

    async def _start_audit(self) -> Ledger:
        document = self._loaded.document
        ledger = build_ledger(document.audit, name=document.tenant, clock=self._clock, resolve=self._loaded.resolve)
        self._started.push_async_callback(ledger.stop)
        await ledger.start({"version": __version__, "pid": os.getpid(), "warnings": list(self.warnings)})
        try:
            record_configuration(ledger, self._compiled.digest, str(self._loaded.file), self._loaded.text)
        except Refusal:
            raise DoorwardError("the configuration cannot be recorded, for the audit log takes no records") from None
        return ledger

    def _make_identities(self) -> Identities:
        fetch = Fetch()
        self._started.push_async_callback(fetch.close)
        tools = Tools(self._clock, fetch, self._loaded.resolve)
        try:
            return Identities(
                {
                    name: Minter(PROVIDERS[rule.choice.name].build(rule.choice.config, name, tools), rule.patterns)
                    for name, rule in self._loaded.document.identities.items()
                }
            )
        except ValueError as error:
            raise ConfigurationError([self._loaded.flaw(("identities",), str(error))]) from None

    async def _start_authority(self) -> Authority:
        document = self._loaded.document
        authority = await start_authority(
            document.authority,
            tenant=document.tenant,
            audience=document.gateway.audience,
            may_hold=self._may_hold,
            notes=self.ledger,
            resolve=self._loaded.resolve,
            clock=self._clock,
        )
        self._started.push_async_callback(authority.stop)
        return authority

    def _may_hold(self, agent: str, intents: Sequence[str]) -> Allowance:
        return may_hold(self._compiled.policy, agent, intents)

    async def _catch_up(self, authority: Authority) -> Standing:
        """The gateway knows keys and revocations before it hears its first request."""
        document = self._loaded.document
        standing = Standing(
            self._clock,
            issuer=document.authority.issuer,
            audience=document.gateway.audience,
            tenant=document.tenant,
            prefix=document.authority.tokens.prefix,
            max_staleness=document.feed.max_staleness,
        )
        await authority.feed.subscribe(standing)
        return standing

    def _make_snapshot(self) -> tuple[Pool, Snapshot]:
        compiled = self._compiled
        limits = compiled.admission.limits
        credentials = compile_credentials(self._loaded, self._clock, self.ledger.derive_key("versions of credentials"))
        self._troubles = tuple(credentials.troubles())
        pool = Pool(self._clock, self.sweep, limits.head, self._tls)
        self._started.callback(pool.close)
        return pool, Snapshot(
            digest=compiled.digest,
            admission=compiled.admission,
            routes=compiled.routes,
            standing=self.standing,
            intents=compiled.intents,
            policy=compiled.policy,
            counters=Counters(),
            credentials=credentials,
            relay=Relay(pool, response_vocabulary(), limits, self._clock, Memory()),
            audit=self.ledger,
        )

    async def _open_authority_sites(self, authority: Authority, identities: Identities) -> None:
        document, resolve = self._loaded.document, self._loaded.resolve
        url = document.gateway.url
        resources = frozenset((url, *(url + rule.prefix(name) for name, rule in document.upstreams.items())))
        application = authority_application(
            authority, identities, audience=document.gateway.audience, resources=resources, clock=self._clock
        )
        listen = [parse_address(text) for text in document.authority.listen]
        tls = self._live("authority", document.authority.tls)
        site = await start_site(application, listen, mode=EVERY_USER, resolve=resolve, clock=self._clock, tls=tls)
        self._started.push_async_callback(site.stop)
        self.authority_ports.extend(site.ports)
        operators = operators_of(document.admin.operators)
        admin = admin_application(
            authority.tasks,
            operators=operators,
            readiness=self.unready,
            clock=self._clock,
        )
        # Operators are told by their user. Others than our own could not even connect to a socket that is only ours.
        alone = set(operators) <= {os.getuid()}
        mode = OWNER_ONLY if alone else EVERY_USER
        admin_site = await start_site(
            admin, [parse_address(document.admin.socket)], mode=mode, resolve=resolve, clock=self._clock
        )
        self._started.push_async_callback(admin_site.stop)

    async def _listen(self) -> Listener:
        document = self._loaded.document
        tls = self._live("gateway", document.gateway.tls)
        listener = Listener(self._serve, document.gateway.limits, self.sweep, self._clock, tls)
        for work, name in ((self.sweep.run(self._clock), "deadlines"), (self._tls.run(), "files of TLS")):
            self._started.callback(self._clock.spawn(work, name).cancel)
        self._started.push_async_callback(listener.drain)
        for text in document.gateway.listen:
            self.addresses.append(await listener.listen(text, self._loaded.resolve))
        return listener

    def _live(self, section: str, rule: ListenerTlsRule | None) -> LiveContext | None:
        if rule is None:
            return None
        try:
            return self._tls.serve(section, listener_files(self._loaded, rule))
        except UnusableFileError as error:  # the files were good when the configuration was compiled
            raise ConfigurationError([self._loaded.flaw((section, "tls"), str(error))]) from None

    def _serve(self, caller: Downstream) -> Coroutine[Wait[Any], Any, None]:
        return handle_request(self.snapshot, caller)
