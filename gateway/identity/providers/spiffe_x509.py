"""Knows a workload by the X.509-SVID of one SPIFFE trust domain that it shows in the TLS handshake; knows no token.

identities:
  mtls:
    spiffe_x509:
      trust_domain: acme.example
      bundle: {workload_api: unix:/run/spire/agent.sock}
    mints: spiffe://acme.example/ns/*
"""

from collections.abc import Sequence
from typing import Final, final

from gateway.identity.kept import Kept, UnavailableError
from gateway.identity.provider import (
    MTLS_PEER_TYPE,
    PEER,
    Identity,
    IdentityRefusedError,
    IdentityUnavailableError,
    Presented,
    Provider,
    Tools,
)
from gateway.identity.spiffe_bundle import NOTHING, Bundle
from gateway.identity.trust_bundle import TrustDomainConfig, open_bundle
from gateway.identity.x509_svid import CertificateProblem, read_leaf, verify_svid


class Config(TrustDomainConfig):
    """X.509-SVIDs of one trust domain, shown to the authority over its own TLS. A federated one gets an identity of its own."""


@final
class SpiffeX509:
    """Verifies the client certificate of a connection to the authority against the bundle of one trust domain."""

    token_types: Final = frozenset((MTLS_PEER_TYPE,))

    def __init__(self, config: Config, name: str, tools: Tools, bundle: Kept[Bundle]) -> None:
        """`bundle` is that of the trust domain and of no other."""
        self.issuer: Final[str | None] = f"spiffe://{config.trust_domain}"
        self._trust_domain = config.trust_domain
        self._name = name
        self._clock = tools.clock
        self._bundle = bundle

    def roots(self) -> Sequence[bytes]:
        """The certificates that may stand above those of clients, as DER, as far as they are known."""
        return (self._bundle.latest() or NOTHING).roots

    async def verify(self, presented: Presented) -> Identity:
        """The agent that the certificate names; the identity ends with the first certificate of its chain.

        It is verified anew each time, so a root that has left the bundle counts no more on connections that are open.
        """
        if presented.certificate is None:
            raise IdentityRefusedError("this identity is only accepted with a client certificate on the authority's TLS")
        if presented.token not in (None, PEER):
            raise IdentityRefusedError(f"with {MTLS_PEER_TYPE} the token is the word {PEER}")
        try:
            leaf = read_leaf(presented.certificate.leaf)
            if leaf.trust_domain != self._trust_domain:
                raise IdentityRefusedError("the certificate is of another trust domain")
            roots = (await self._bundle.current()).roots
            expires = verify_svid(presented.certificate, roots, self._clock.now())
        except CertificateProblem as problem:
            raise IdentityRefusedError(str(problem)) from None
        except UnavailableError as error:
            raise IdentityUnavailableError(error.sentence) from None
        return Identity(leaf.id, self._name, {"sub": leaf.id, "exp": int(expires)}, expires)

    def trouble(self) -> str | None:
        """Why the bundle could not be read the last time."""
        return self._bundle.trouble()

    def close(self) -> None:
        """Follow the bundle no more."""
        self._bundle.close()


def build(config: Config, name: str, tools: Tools) -> Provider:
    """Open the bundle. Raises `ValueError` when it can be seen that it verifies nothing."""
    bundle = open_bundle(config.bundle, "X509", config.trust_domain, tools)
    if config.bundle.file is not None and not (bundle.latest() or NOTHING).roots:
        raise ValueError(
            f"{tools.resolve(config.bundle.file)} holds no certificate for X.509-SVIDs of {config.trust_domain} "
            "(use: x509-svid, or PEM)"
        )
    return SpiffeX509(config, name, tools, bundle)
