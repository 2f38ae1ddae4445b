"""What an identity provider takes, gives and promises; knows no kind of identity and nothing of who is allowed what."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, NamedTuple, Protocol, final

from gateway.clock import Clock
from gateway.fetch import Fetch
from gateway.kind import Config
from gateway.model import AgentPattern

JWT_TYPE: Final = "urn:ietf:params:oauth:token-type:jwt"
ID_TOKEN_TYPE: Final = "urn:ietf:params:oauth:token-type:id_token"  # noqa: S105 a name of a type (RFC 8693 §3), no secret
UNIX_PEER_TYPE: Final = "urn:doorward:unix-peer"
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


@final
@dataclass(frozen=True, slots=True)
class Identity:
    """A verified workload: its SPIFFE ID, and the name of the provider that vouches for it.

    `expires` is in Unix seconds, or None when the proof itself has no end.
    """

    agent: str
    provider: str
    claims: Mapping[str, Any] = field(repr=False)
    expires: float | None


class IdentityRefusedError(Exception):
    """A proof of identity is not accepted. The sentence may be shown to the caller: it never holds the proof."""

    def __init__(self, sentence: str) -> None:
        """`sentence` says what is wrong with the proof and, where it can, what to do."""
        super().__init__(sentence)
        self.sentence: Final = sentence


class ProviderConfig(Config):
    """The base of every provider's configuration, with what can be known of its agents before any of them calls."""

    def implied(self) -> tuple[AgentPattern, ...]:
        """The agents that the configuration itself lists; empty where only `mints` can say it."""
        return ()

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
        """The `iss` of the tokens that it verifies; None when their type alone decides that it is asked."""
        ...

    async def verify(self, presented: Presented) -> Identity:
        """Verify every part of the proof. Raises `IdentityRefusedError`."""
        ...


@final
@dataclass(frozen=True, slots=True)
class Tools:
    """What a provider is built with. `resolve` makes a path of the configuration absolute."""

    clock: Clock
    fetch: Fetch
    resolve: Callable[[str], Path]
