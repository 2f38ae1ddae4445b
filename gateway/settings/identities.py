"""What a configuration says of identities, tried on the files and listeners that it needs; asks nobody and starts nothing."""

from collections.abc import Iterator, Mapping
from typing import Final

from gateway.authority.addresses import parse_address
from gateway.clock import Clock
from gateway.errors import Flaw
from gateway.fetch import Fetch
from gateway.identity.identify import Identities, Minter
from gateway.identity.provider import ACCESS_TOKEN_TYPE, MTLS_PEER_TYPE, UNIX_PEER_TYPE, Provider, Tools
from gateway.identity.providers import PROVIDERS
from gateway.settings.load import Loaded

_NEEDS_TLS: Final = "client certificates are shown over the TLS of the authority: give `authority.tls` a certificate and a key"
_NEEDS_TCP: Final = "client certificates are shown over TLS, and `authority.listen` names only Unix sockets; add an address"
_NEEDS_UNIX: Final = "the kernel tells users on Unix sockets alone; add one to `authority.listen`: unix:var/authority.sock"


def identity_flaws(loaded: Loaded) -> Iterator[Flaw]:
    """Providers that cannot verify anything, and pairs that could both claim one proof or one agent."""
    if loaded.document.authority.remote is not None:  # identities are verified by the authority alone
        return
    tools = Tools(Clock(), Fetch(), loaded.resolve)
    minters: dict[str, Minter] = {}
    tenants = tenants_of(loaded)
    for name, rule in loaded.document.identities.items():
        where = ("identities", name, rule.choice.name)
        try:
            provider: Provider = PROVIDERS[rule.choice.name].build(rule.choice.config, name, tools)
        except ValueError as error:
            yield loaded.flaw(where, str(error))
            continue
        minters[name] = Minter(provider, rule.patterns, tenants[name])
        if ACCESS_TOKEN_TYPE in provider.token_types and provider.issuer == loaded.document.authority.issuer:
            yield loaded.flaw(where, "this Doorward is no other: the issuer is its own")
        if (missing := _missing(loaded, provider)) is not None:
            yield loaded.flaw(where, missing)
    try:
        Identities(minters)
    except ValueError as error:
        yield loaded.flaw(("identities",), str(error))


def tenants_of(loaded: Loaded) -> Mapping[str, str]:
    """The tenant of each identity."""
    return {name: tenant for tenant, part in loaded.parts.items() for name in part.document.identities}


def _missing(loaded: Loaded, provider: Provider) -> str | None:
    """What the listener of the authority lacks for it."""
    authority = loaded.document.authority
    local = [bool(parse_address(text).path) for text in authority.listen]
    if MTLS_PEER_TYPE in provider.token_types:
        if authority.tls is None:
            return _NEEDS_TLS
        return _NEEDS_TCP if all(local) else None
    return _NEEDS_UNIX if UNIX_PEER_TYPE in provider.token_types and not any(local) else None
