"""Builds the hot path of one process and starts it in order; knows a feed to follow, and nothing of who is behind it."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import replace
from typing import Any, Final, final

from gateway.credentials.obtain import Credentials
from gateway.followed import Followed
from gateway.ground import Ground
from gateway.handle_request import handle_request
from gateway.http.bound import Bound, bind_address
from gateway.http.deadlines import Sweep
from gateway.http.downstream import Downstream
from gateway.http.fields import response_vocabulary
from gateway.http.listener import BACKLOG, Listener
from gateway.http.memory import DATED, Memory
from gateway.http.pool import Pool
from gateway.http.relay import Relay
from gateway.http.turns import SharedCounts, Turns
from gateway.http.waiting import Wait
from gateway.identity.cuts import Cuts
from gateway.identity.issuers import Issuers
from gateway.identity.nonces import Nonces
from gateway.identity.possession import Possession
from gateway.identity.replays import Replays, SharedProofs, alone
from gateway.identity.standing import Standing, Trust
from gateway.limits.leases import Leases
from gateway.limits.wishes import Lender
from gateway.settings.compile import compile_credentials
from gateway.settings.compiled import Compiled
from gateway.settings.load import Loaded
from gateway.settings.tls import followed_files
from gateway.snapshot import Snapshot

Follow = Callable[[Standing], Awaitable[None]]
"""Brings what is known of the authority up to date, then keeps it so."""
Lend = Callable[[Leases], Awaitable[Lender]]
"""Opens a line between the leases of a gateway and whoever lends to them."""

_TOO_OLD: Final = "the authority's last heartbeat is too old"


@final
class GatewaySide:
    """Everything that a request passes. Start once, stop once; all that was started stops in reverse."""

    def __init__(
        self,
        ground: Ground,
        bound: Sequence[Bound] = (),
        proofs: SharedProofs | None = None,
        counts: SharedCounts | None = None,
    ) -> None:
        """Nothing is opened yet. It listens on the sockets of `bound`, or on the addresses of the configuration.

        `proofs` is what it remembers proofs with, beside other processes of the same gateway, and `counts` what it takes
        turns with when they accept.
        """
        self._ground: Final = ground
        self._bound: Final = bound
        self._proofs: Final = proofs or alone()
        self._counts: Final = counts
        self._started: Final = AsyncExitStack()
        self.leases: Final = Leases(ground.clock)
        self.sweep: Final = Sweep()
        self.addresses: Final[list[str]] = []
        """Where agents send requests, once started."""
        self.troubles: Sequence[str] = ()
        """The credentials that could not be read at the start."""
        self._vanishing = False
        self.standing: Standing
        self.followed: Sequence[Followed] = ()
        """The issuers beside its own authority, once started."""
        self.pool: Pool
        self.listener: Listener
        self.snapshot: Snapshot

    async def start(self, follow: Follow, lend: Lend) -> None:
        """Know keys and revocations before the first request is heard. Raises `DoorwardError`; then nothing stays started."""
        try:
            self.standing = self._make_standing()
            await self._follow(follow)
            self.leases.borrow_from(await lend(self.leases))
            self._started.callback(self.leases.stop)
            self._started.callback(self._ground.clock.spawn(self.leases.run(), "leases").cancel)
            self.pool, self.snapshot = self.make_snapshot()
            self.listener = await self._listen()
        except BaseException:
            await self._started.aclose()
            raise

    async def stop(self) -> None:
        """Drain; every record is closed when this returns."""
        await self._started.aclose()

    def unready(self) -> Sequence[str]:
        """Why requests would be refused now; empty when ready."""
        if not self.addresses:
            return ["starting"]
        reasons = []
        if all(standing.stale for standing in self._standings) or not self.standing.epoch:
            reasons.append(self.standing.unfit or _TOO_OLD)
        if not self._ground.ledger.available:
            reasons.append("the audit log cannot take records")
        if self.listener.draining:
            reasons.append("draining")
        return reasons

    def notices(self) -> Sequence[str]:
        """What an operator should know of the issuers while requests with tokens of others are served."""
        if not self.addresses:
            return []
        why = self.standing.unfit or _TOO_OLD
        own = [f"{why}, so its tokens are refused"] if self.followed and self.standing.stale else []
        return [*own, *(notice for each in self.followed for notice in each.notices())]

    def make_snapshot(self) -> tuple[Pool, Snapshot]:
        """What requests use, and the connections that outlive them."""
        ground, compiled = self._ground, self._ground.compiled
        limits = compiled.admission.limits
        key = ground.ledger.derive_key("versions of credentials")
        credentials = {name: compile_credentials(part, ground.clock, key) for name, part in ground.loaded.parts.items()}
        self.troubles = self.troubles_of(credentials)
        pool = Pool(ground.clock, self.sweep, limits.head, ground.tls)
        self._started.callback(pool.close)
        return pool, self._of_issuers(compiled, credentials, Snapshot(
            digest=compiled.digest,
            admission=compiled.admission,
            routes=compiled.routes,
            issuers=Issuers(self._standings),
            standing=self.standing,
            possession=self._make_possession(),
            intents=compiled.intents,
            policy=compiled.policy,
            leases=self.leases,
            credentials=Credentials({}, ground.clock),
            relay=Relay(pool, response_vocabulary(), limits, ground.clock, Memory(DATED)),
            audit=ground.ledger,
            tenant=compiled.tenant,
        ))  # fmt: skip

    def prepare(self, loaded: Loaded) -> Mapping[str, Credentials]:
        """The credentials of another configuration, with no effect, by tenant; those that have not changed are the same."""
        ground, known = self._ground, self.snapshot.parts
        key = ground.ledger.derive_key("versions of credentials")
        return {
            name: compile_credentials(part, ground.clock, key, (ground.loaded.parts[name], known[name].credentials))
            for name, part in loaded.parts.items()
        }

    def troubles_of(self, credentials: Mapping[str, Credentials]) -> tuple[str, ...]:
        """A sentence for each credential that cannot be had; those that are in use already are not asked."""
        parts = self.snapshot.parts.values() if self.addresses else ()
        known = {managed.source for part in parts for managed in part.credentials.managed.values()}
        several = len(credentials) > 1
        return tuple(
            f"tenant {tenant}: {told}" if several else told
            for tenant, each in credentials.items()
            for _, told in each.troubles(known)
        )

    def commit(self, compiled: Compiled, credentials: Mapping[str, Credentials], troubles: Sequence[str]) -> None:
        """Serve the next request by it. What has begun goes on as it began; what is in use outlasts the change."""
        known = replace(
            self.snapshot,
            digest=compiled.digest,
            admission=compiled.admission,
            routes=compiled.routes,
            tenants={},
            by_issuer={},
        )
        self.snapshot = self._of_issuers(compiled, credentials, known)
        self.troubles = troubles
        followed = [files for _, files in followed_files(self._ground.loaded)]
        self._ground.tls.keep({*followed, *(upstream.tls for upstream in compiled.upstreams.values())})
        self._vanishing = True
        self.tidy()

    def tidy(self) -> None:
        """End the connections that only an earlier configuration had a use for, once they are idle."""
        if self._vanishing:
            self._vanishing = self.pool.keep(frozenset(self._ground.compiled.upstreams.values())) > 0

    def _of_tenants(self, compiled: Compiled, credentials: Mapping[str, Credentials], known: Snapshot) -> Snapshot:
        """What requests use, with what is each tenant's own; `known` is what all have in common."""
        key = self._ground.ledger.derive_key("names of sessions")
        parts = {
            name: replace(
                known, tenant=name, intents=part.intents.ready(key), policy=part.policy, credentials=credentials[name]
            )
            for name, part in compiled.parts.items()
        }
        if not compiled.tenants:
            return parts[compiled.tenant]
        none = Credentials({}, self._ground.clock)
        return replace(known, intents=compiled.intents, policy=compiled.policy, credentials=none, tenants=parts)

    def _of_issuers(self, compiled: Compiled, credentials: Mapping[str, Credentials], known: Snapshot) -> Snapshot:
        """What requests use, with what each issuer has said and lent where there are several; all else is the same."""
        own = self._of_tenants(compiled, credentials, known)
        if not self.followed:
            return own
        its = {each.standing.issuer: _followed(own, each) for each in self.followed}
        return replace(own, tenant="", by_issuer={own.standing.issuer: own, **its})

    @property
    def _standings(self) -> Sequence[Standing]:
        return [self.standing, *(each.standing for each in self.followed)]

    async def _follow(self, follow: Follow) -> None:
        document = self._ground.loaded.document
        self.followed = [Followed(self._ground, name, rule) for name, rule in document.issuers.items()]
        for each in self.followed:
            self._started.push_async_callback(each.stop)
        await asyncio.gather(follow(self.standing), *(each.start() for each in self.followed))

    def _make_standing(self) -> Standing:
        document = self._ground.loaded.document
        return Standing(
            self._ground.clock,
            issuer=document.authority.issuer,
            audience=document.gateway.audience,
            tenants=frozenset(self._ground.loaded.parts),
            prefix=document.authority.tokens.prefix,
            max_staleness=document.feed.max_staleness,
            trust=Trust(document.authority.algorithms),
        )

    def _make_possession(self) -> Possession:
        replays = Replays(self._proofs)
        self._started.callback(replays.close)
        required = self._ground.loaded.document.gateway.proof == "required"
        return Possession(Nonces(self._proofs.key, self._ground.clock), replays, required=required)

    async def _listen(self) -> Listener:
        ground, document = self._ground, self._ground.loaded.document
        tls = ground.live("gateway", document.gateway.tls)
        turns = None
        if self._counts is not None:
            turns = Turns(self._counts, document.gateway.limits.connections)
            self._started.callback(turns.close)
        listener = Listener(self._serve, document.gateway.limits, self.sweep, ground.clock, tls, turns)
        cuts = [Cuts(standing, listener.connections, ground.clock).run() for standing in self._standings]
        for work, name in ((self.sweep.run(ground.clock), "deadlines"), *((each, "cuts") for each in cuts)):
            self._started.callback(ground.clock.spawn(work, name).cancel)
        self._started.push_async_callback(listener.drain)
        for bound in self._bound or [self._bind(text) for text in document.gateway.listen]:
            listener.listen_on(bound.sockets)
            self.addresses.append(bound.text)
        return listener

    def _bind(self, text: str) -> Bound:
        bound = bind_address(text, self._ground.loaded.resolve, BACKLOG)
        self._started.callback(bound.close)
        return bound

    def _serve(self, caller: Downstream) -> Coroutine[Wait[Any], Any, None]:
        return handle_request(self.snapshot, caller)


def _followed(own: Snapshot, issuer: Followed) -> Snapshot:
    """What requests with tokens of this issuer use."""
    tenants = {name: replace(part, standing=issuer.standing, leases=issuer.leases) for name, part in own.tenants.items()}
    return replace(own, standing=issuer.standing, leases=issuer.leases, tenants=tenants)
