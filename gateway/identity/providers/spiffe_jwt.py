"""Knows a workload by a JWT-SVID of one SPIFFE trust domain; knows no other domain's keys and no issuer.

identities:
  mesh:
    spiffe_jwt:
      trust_domain: acme.example
      bundle: {workload_api: unix:/run/spire/agent.sock}
      audience: doorward
    mints: spiffe://acme.example/ns/*
"""

from types import MappingProxyType
from typing import Annotated, Final, final

from pydantic import AfterValidator, Field
from pydantic_core import PydanticCustomError

from gateway.identity import jose
from gateway.identity.claims import Expected, check_claims
from gateway.identity.identify import check_signature, read_identity_token
from gateway.identity.kept import Kept, UnavailableError
from gateway.identity.provider import (
    JWT_TYPE,
    Identity,
    IdentityRefusedError,
    IdentityUnavailableError,
    Presented,
    Provider,
    Tools,
)
from gateway.identity.spiffe_bundle import ALGORITHMS, NOTHING, Bundle
from gateway.identity.trust_bundle import TrustDomainConfig, open_bundle
from gateway.identity.x509_svid import trust_domain_of
from gateway.kind import Duration
from gateway.spiffe import spiffe_id

_MEMBERS: Final = frozenset(("alg", "kid", "typ"))
"""The only members of a JWT-SVID's header (JWT-SVID §2)."""
_KINDS: Final = frozenset((None, "JWT", "JOSE"))


def _algorithm(name: str) -> str:
    if name not in ALGORITHMS:
        known = ", ".join(ALGORITHMS)
        raise PydanticCustomError("algorithm", "a JWT-SVID is never signed with this; known: {known}", {"known": known})
    return name


class Config(TrustDomainConfig):
    """JWT-SVIDs of one trust domain. For a federated one add an identity of its own, with its own bundle and `mints`."""

    audience: Annotated[str, Field(min_length=1, max_length=500)]
    """What `aud` must contain. A name of Doorward's own, so that an SVID meant for another service is of no use here."""
    algorithms: Annotated[tuple[Annotated[str, AfterValidator(_algorithm)], ...], Field(min_length=1)] = ALGORITHMS
    """The signature algorithms that are accepted. A key without an `alg` serves the first of them that fits it."""
    max_lifetime: Duration = 86400.0
    """The longest life, from issue to expiry, that an SVID may have."""


@final
class SpiffeJwt:
    """Verifies the JWT-SVIDs of one trust domain: form, header, trust domain, key, signature, claims."""

    token_types: Final = frozenset((JWT_TYPE,))

    def __init__(self, config: Config, name: str, tools: Tools, bundle: Kept[Bundle]) -> None:
        """`bundle` is that of the trust domain and of no other."""
        self.issuer: Final[str | None] = f"spiffe://{config.trust_domain}"
        self._trust_domain = config.trust_domain
        self._expected = Expected(config.audience, config.max_lifetime)
        self._algorithms = config.algorithms
        self._name = name
        self._clock = tools.clock
        self._bundle = bundle

    async def verify(self, presented: Presented) -> Identity:
        """The agent that `sub` names; the identity ends with the SVID."""
        jws = read_identity_token(presented)
        self._check_header(jws)
        agent = self._agent(jws)
        await self._check_signature(jws)
        expires = check_claims(jws.claims, self._expected, self._clock.now())
        return Identity(agent, self._name, MappingProxyType(dict(jws.claims)), expires)

    def roots(self) -> None:
        """A certificate is no JWT-SVID."""

    def trouble(self) -> str | None:
        """Why the bundle could not be read the last time."""
        return self._bundle.trouble()

    def close(self) -> None:
        """Follow the bundle no more."""
        self._bundle.close()

    def _check_header(self, jws: jose.Jws) -> None:
        if not _MEMBERS.issuperset(jws.header):
            raise IdentityRefusedError("the header of a JWT-SVID holds alg, kid and typ and nothing else")
        if jws.header.get("typ") not in _KINDS:
            raise IdentityRefusedError("the identity token is of another kind: the typ of a JWT-SVID may only be JWT or JOSE")
        if jws.algorithm not in self._algorithms:
            accepted = ", ".join(self._algorithms)
            raise IdentityRefusedError(f"the identity token uses an algorithm that is not accepted; accepted: {accepted}")
        if not jws.kid:
            raise IdentityRefusedError("the header of the identity token has no kid, so its key cannot be found")

    def _agent(self, jws: jose.Jws) -> str:
        """Whose keys must verify it follows from `sub`, whatever `iss` says (JWT-SVID §4)."""
        subject = jws.claims.get("sub")
        try:
            agent = spiffe_id(subject if isinstance(subject, str) else "")
        except ValueError as error:
            raise IdentityRefusedError(f"the sub of the identity token is no SPIFFE ID of a workload: {error}") from None
        if trust_domain_of(agent) != self._trust_domain:
            raise IdentityRefusedError("the identity token is of another trust domain")
        return agent

    async def _check_signature(self, jws: jose.Jws) -> None:
        try:
            bundle = await self._bundle.current()
            if jws.kid not in bundle.keys:
                bundle = await self._bundle.renewed()
        except UnavailableError as error:
            raise IdentityUnavailableError(error.sentence) from None
        check_signature(jws, bundle.keys.get(str(jws.kid)), "is not in its trust domain's bundle")


def build(config: Config, name: str, tools: Tools) -> Provider:
    """Open the bundle. Raises `ValueError` when it can be seen that it verifies nothing."""
    bundle = open_bundle(config.bundle, "JWT", config.trust_domain, tools, config.algorithms)
    if config.bundle.file is not None and not (bundle.latest() or NOTHING).keys:
        raise ValueError(
            f"{tools.resolve(config.bundle.file)} holds no key for JWT-SVIDs of {config.trust_domain} (use: jwt-svid)"
        )
    return SpiffeJwt(config, name, tools, bundle)
