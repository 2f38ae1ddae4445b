"""Knows a workload by a task token of another Doorward, as the agent whose task it is; knows nothing of that task's rights.

identities:
  partner:
    doorward:
      issuer: https://authority.partner.example
      tenant: partner
      audience: doorward
    mints: spiffe://partner.example/ns/*
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated, Any, Final, final

from pydantic import Field

from gateway.identity import jose
from gateway.identity.asking import Asking
from gateway.identity.claims import Expected, check_claims
from gateway.identity.discovery import Issuer, Keys, PublishedKeys
from gateway.identity.identify import read_signed, verify_signed
from gateway.identity.provider import (
    ACCESS_TOKEN_TYPE,
    JWT_TYPE,
    Identity,
    IdentityRefusedError,
    Presented,
    Provider,
    ProviderConfig,
    Tools,
)
from gateway.kind import Duration
from gateway.spiffe import spiffe_id

_KIND: Final = "at+jwt"
_ALGORITHMS: Final = ("ES256", "EdDSA", "RS256")
_KEYS: Final = "/jwks.json"


class Config(ProviderConfig):
    """Task tokens of another Doorward. Its agent is known here as itself: not as its subject, and with none of its intents."""

    issuer: Issuer
    """The `authority.issuer` of the other Doorward, to the letter; its keys are at `/jwks.json` below it."""
    tenant: Annotated[str, Field(min_length=1, max_length=64)]
    """The tenant of the other Doorward whose tasks count. Those of its other tenants do not."""
    audience: Annotated[str, Field(min_length=1, max_length=500)]
    """The `gateway.audience` of the other Doorward, which its tokens carry in `aud`."""
    prefix: Annotated[str, Field(pattern="^[a-z][a-z0-9]{1,14}_$")] = "dwt_"
    """What its tokens begin with: its `authority.tokens.prefix`."""
    ca: Annotated[str, Field(min_length=1)] | None = None
    """A file of PEM certificates that its TLS is verified with, instead of the system's."""
    max_lifetime: Duration = 3600.0
    """The longest life, from issue to expiry, that its tokens may have."""


@final
class Doorward:
    """Verifies the task tokens of one other authority (RFC 9068 §4), and takes nothing from them but whose task it is."""

    token_types: Final = frozenset((ACCESS_TOKEN_TYPE, JWT_TYPE))

    def __init__(self, config: Config, name: str, tools: Tools, keys: Keys) -> None:
        """`keys` are those of the other authority and of nobody else."""
        self.issuer: Final[str | None] = config.issuer
        self._tenant = config.tenant
        self._prefix = config.prefix
        self._expected = Expected(config.audience, config.max_lifetime)
        self._name = name
        self._clock = tools.clock
        self._keys = keys

    async def verify(self, presented: Presented) -> Identity:
        """The agent whose task the token is; the identity ends with the token."""
        jws = self._read(presented)
        await self._check_signature(jws)
        expires = check_claims(jws.claims, self._expected, self._clock.now())
        self._check_task(jws.claims)
        agent = _actor(jws.claims)
        # What the task may do there, and for whom, is nobody's business here: it would be a second way to those rights.
        return Identity(agent, self._name, MappingProxyType({"sub": agent, "iss": jws.claims["iss"]}), expires)

    def roots(self) -> None:
        """A certificate is no task token."""

    def trouble(self) -> str | None:
        """Why the keys could not be read the last time."""
        return self._keys.trouble()

    def close(self) -> None:
        """The keys are needed no more."""
        self._keys.close()

    def _read(self, presented: Presented) -> jose.Jws:
        token = presented.token or ""
        if not token.startswith(self._prefix):
            raise IdentityRefusedError(f"a task token of that Doorward begins with {self._prefix}")
        jws = read_signed(token.removeprefix(self._prefix))
        if jws.kind != _KIND:
            raise IdentityRefusedError(f"the token is of another kind: the typ of a task token is {_KIND}")
        return jws

    async def _check_signature(self, jws: jose.Jws) -> None:
        if jws.claims.get("iss") != self.issuer:
            raise IdentityRefusedError("the token is from another issuer")
        if jws.algorithm not in _ALGORITHMS or not jws.kid:
            raise IdentityRefusedError(f"a task token is signed with one of {', '.join(_ALGORITHMS)} and names its key (kid)")
        await verify_signed(jws, self._keys)

    def _check_task(self, claims: Mapping[str, Any]) -> None:
        if claims.get("tenant") != self._tenant:
            raise IdentityRefusedError("the token is of a tenant that is not known here")
        # Its proof could only be shown to the authority that has bound it; without it, whoever copied it would be let in.
        if "cnf" in claims:
            raise IdentityRefusedError("the token is bound to a key (cnf), so it is of no use as an identity elsewhere")


def _actor(claims: Mapping[str, Any]) -> str:
    """The outermost actor is who acts (RFC 8693 §4.1), and the client of the token is the same; `sub` may be anybody."""
    actor = claims.get("act")
    agent = actor.get("sub") if isinstance(actor, dict) else None
    if not isinstance(agent, str) or agent != claims.get("client_id"):
        raise IdentityRefusedError("the token does not say whose task it is: act.sub and client_id have to be the same agent")
    try:
        return spiffe_id(agent)
    except ValueError as error:
        raise IdentityRefusedError(f"the agent of the token is no SPIFFE ID: {error}") from None


def build(config: Config, name: str, tools: Tools) -> Provider:
    """Nothing is asked yet. Raises `ValueError` when `ca` cannot be used."""
    asking = Asking("the issuer", tools.fetch, tools.clock, tools.resolve, ca=config.ca)
    keys = PublishedKeys(config.issuer.removesuffix("/") + _KEYS, config.issuer, _ALGORITHMS, asking, tools.clock)
    return Doorward(config, name, tools, keys)
