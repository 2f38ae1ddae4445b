"""What an identity provider takes, gives and promises; knows no kind of identity and nothing of who is allowed what."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, NamedTuple, Protocol, final

from gateway.clock import Clock
from gateway.fetch import Fetch
from gateway.http.tls_peer import PeerCertificate
from gateway.kind import Config
from gateway.model import AgentPattern

JWT_TYPE: Final = "urn:ietf:params:oauth:token-type:jwt"
ID_TOKEN_TYPE: Final = "urn:ietf:params:oauth:token-type:id_token"  # noqa: S105 a name of a type (RFC 8693 §3), no secret
ACCESS_TOKEN_TYPE: Final = "urn:ietf:params:oauth:token-type:access_token"  # noqa: S105 the same
UNIX_PEER_TYPE: Final = "urn:doorward:unix-peer"
MTLS_PEER_TYPE: Final = "urn:doorward:mtls-peer"
PEER: Final = "peer"
"""The word that stands for a token where the connection itself is the proof."""
SIGNED_TYPES: Final = frozenset((JWT_TYPE, ID_TOKEN_TYPE))


class Peer(NamedTuple):
    """The process at the other end of a Unix socket, as the kernel names it."""

    pid: int
    uid: int
    gid: int


@final
@dataclass(frozen=True, slots=True)
class Presented:
    """What a workload shows to prove who it is. `token_type` is one of RFC 8693 §3; nothing of it is believed yet."""

    token: str | None = field(repr=False)
    token_type: str
    peer: Peer | None = None
    certificate: PeerCertificate | None = None
    source: str | None = None
    """Where it came from, by which failures are counted; None where nobody but ourselves can fail."""


@final
@dataclass(frozen=True, slots=True)
class Identity:
    """A verified workload: its SPIFFE ID, and the name of the provider that vouches for it.

    `expires` is in Unix seconds, or None when the proof itself has no end. `tenant` is that of the provider, whatever the proof
    says of it; empty before the provider is known.
    """

    agent: str
    provider: str
    claims: Mapping[str, Any] = field(repr=False)
    expires: float | None
    tenant: str = ""

    @property
    def at_an_actor(self) -> bool:
        """Whether the proof is in the hands of another one, who acts for the agent (`act`, RFC 8693 §4.1).

        It says on whose behalf somebody acts, and not that the agent itself is calling.
        """
        return "act" in self.claims


class IdentityRefusedError(Exception):
    """A proof of identity is not accepted. The sentence may be shown to the caller: it never holds the proof."""

    def __init__(self, sentence: str) -> None:
        """`sentence` says what is wrong with the proof and, where it can, what to do."""
        super().__init__(sentence)
        self.sentence: Final = sentence


class IdentityUnavailableError(IdentityRefusedError):
    """A proof cannot be judged now, which is no fault of it: keys cannot be had, or a server does not answer."""


class IdentityHeldError(IdentityRefusedError):
    """A proof is not looked at: too many from the same source have failed. `wait` is in seconds."""

    def __init__(self, wait: float) -> None:
        """`wait` is how long until one more is looked at."""
        super().__init__("too many identities from the same address were refused; wait, or use the authority's Unix socket")
        self.wait: Final = wait


class ProviderConfig(Config):
    """The base of every provider's configuration, with what can be known of its agents before any of them calls."""

    def implied(self) -> tuple[AgentPattern, ...]:
        """The agents that the configuration itself lists; empty where only `mints` can say it."""
        return ()

    def within(self) -> AgentPattern | None:
        """All agents that it could ever vouch for; None where only `mints` can say it."""
        return None

    def local_users(self) -> Mapping[str, int]:
        """The users of this machine that it vouches for, with their user ids. Raises `ValueError` for one that is unknown."""
        return {}


class Provider(Protocol):
    """One way for a workload to prove who it is."""

    @property
    def token_types(self) -> frozenset[str]:
        """The types of proof that it verifies."""
        ...

    @property
    def issuer(self) -> str | None:
        """Whose word it takes: the `iss` of its tokens, or a trust domain such as spiffe://acme.example.

        None when the type of a proof alone decides that it is asked.
        """
        ...

    async def verify(self, presented: Presented) -> Identity:
        """Verify every part of the proof. Raises `IdentityRefusedError`."""
        ...

    def roots(self) -> Sequence[bytes] | None:
        """The certificates (DER) that may stand above those of clients; None if certificates prove nothing to it."""
        ...

    def trouble(self) -> str | None:
        """What an operator should know of what it verifies with, such as a bundle that cannot be had; None if all is well."""
        ...

    def close(self) -> None:
        """It is asked no more: end what it follows."""
        ...


@final
@dataclass(frozen=True, slots=True)
class Tools:
    """What a provider is built with. `resolve` makes a path of the configuration absolute."""

    clock: Clock
    fetch: Fetch
    resolve: Callable[[str], Path]
