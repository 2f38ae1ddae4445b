"""A further issuer that a gateway follows: what is known of it, what it has lent, and the line to both; knows no request."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from typing import Final, final

from gateway.authority.addresses import parse_address
from gateway.authority.place import Place
from gateway.authority.remote import RemoteFeed
from gateway.authority.rules import AuthorityRule
from gateway.errors import ConfigurationError
from gateway.ground import Ground
from gateway.http.tls_context import UnusableFileError
from gateway.identity.standing import Standing, Trust
from gateway.limits.leases import Leases
from gateway.settings.issuer_rule import IssuerRule
from gateway.settings.tls import remote_files


@final
class Followed:
    """One of `issuers`. Nothing here is shared with another issuer, so what one says or fails to say is about its own alone."""

    def __init__(self, ground: Ground, name: str, rule: IssuerRule) -> None:
        """Nobody is called yet. Raises `ConfigurationError`."""
        document = ground.loaded.document
        self.name: Final = name
        self.standing: Final = Standing(
            ground.clock,
            issuer=rule.issuer,
            audience=document.gateway.audience,
            tenants=frozenset(rule.tenants),
            prefix=rule.prefix,
            max_staleness=document.feed.max_staleness,
            trust=Trust(rule.algorithms, rule.patterns),
        )
        self.leases: Final = Leases(ground.clock)
        # Its policy is its own affair: it says what it issues, and here everything is judged by the policy of this gateway.
        self.feed: Final = RemoteFeed(place_of(ground, ("issuers", name), rule), ground.clock, policy=str)
        self._clock: Final = ground.clock
        self._looking: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Follow it. When this returns all is known, or it was waited for as long as a start waits."""
        await self.feed.subscribe(self.standing)
        self.leases.borrow_from(await self.feed.lend(self.leases))
        self._looking = self._clock.spawn(self.leases.run(), f"leases of {self.name}")

    async def stop(self) -> None:
        """Give back what it has lent, and hang up."""
        if self._looking is not None:
            self._looking.cancel()
            with suppress(asyncio.CancelledError):
                await self._looking
        self.leases.stop()
        await self.feed.stop()

    def notices(self) -> Sequence[str]:
        """What an operator should know of it."""
        told = "".join(f" ({trouble})" for trouble in self.feed.troubles())
        if self.standing.stale:
            why = self.standing.unfit or "its last heartbeat is too old"
            return [f"issuer {self.name}: {why}, so its tokens are refused{told}"]
        return [f"issuer {self.name}: it is not heard now{told}"] if told else []


def place_of(ground: Ground, where: tuple[str, ...], rule: AuthorityRule | IssuerRule) -> Place:
    """Where an authority elsewhere is; `where` is its section in the configuration. Raises `ConfigurationError`."""
    loaded, remote = ground.loaded, rule.remote
    if remote is None:
        raise ValueError("this configuration has an authority of its own")
    if remote.startswith("unix:"):
        return Place("http://doorward", str(loaded.resolve(parse_address(remote).path)))
    try:
        return Place(remote, None, ground.tls.call(".".join(where), remote_files(loaded, rule)))
    except UnusableFileError as error:
        raise ConfigurationError([loaded.flaw(where, str(error))]) from None
