"""Knows a workload by the user that its process runs as, told by the kernel; knows no token and no network.

identities:
  host:
    unix: {users: {alice: spiffe://acme.example/host/alice}}
"""

from collections.abc import Mapping
from typing import Annotated, Final, final

from pydantic import AfterValidator, Field

from gateway.identity.local_users import user_id
from gateway.identity.provider import (
    PEER,
    UNIX_PEER_TYPE,
    Identity,
    IdentityRefusedError,
    Presented,
    Provider,
    ProviderConfig,
    Tools,
)
from gateway.model import AgentPattern
from gateway.spiffe import spiffe_id


class Config(ProviderConfig):
    """Users of this machine as workloads."""

    users: Annotated[dict[str, Annotated[str, AfterValidator(spiffe_id)]], Field(min_length=1, max_length=1000)]
    """The SPIFFE ID of each user, by user name, or by user id where the machine has no name for it."""

    def implied(self) -> tuple[AgentPattern, ...]:
        """Exactly the listed agents."""
        return tuple(AgentPattern.parse(agent) for agent in dict.fromkeys(self.users.values()))

    def local_users(self) -> Mapping[str, int]:
        """Look every user up on this machine."""
        return {user: user_id(user) for user in self.users}


@final
class UnixPeer:
    """Verifies the peer credentials of the authority's Unix socket."""

    token_types: Final = frozenset((UNIX_PEER_TYPE,))
    issuer: Final = None

    def __init__(self, name: str, agents: Mapping[int, tuple[str, str]]) -> None:
        """`agents` maps a user id to the user's name and SPIFFE ID."""
        self._name = name
        self._agents = agents

    async def verify(self, presented: Presented) -> Identity:
        """The agent of the user at the other end of the connection. It does not expire."""
        if presented.peer is None:
            raise IdentityRefusedError("this identity is only accepted on the authority's Unix socket")
        if presented.token not in (None, PEER):
            raise IdentityRefusedError(f"with {UNIX_PEER_TYPE} the token is the word {PEER}")
        known = self._agents.get(presented.peer.uid)
        if known is None:
            raise IdentityRefusedError(
                f"user id {presented.peer.uid} is no agent here; the operator lists users under identity {self._name}"
            )
        user, agent = known
        return Identity(agent, self._name, {"uid": presented.peer.uid, "user": user}, expires=None)

    def roots(self) -> None:
        """No certificate proves anything to the kernel."""

    def trouble(self) -> None:
        """The kernel is always there."""

    def close(self) -> None:
        """Nothing is followed."""


def build(config: Config, name: str, _tools: Tools) -> Provider:
    """Resolve the users. Raises `ValueError` for a user that this machine does not know, and for one listed twice."""
    agents: dict[int, tuple[str, str]] = {}
    for user, uid in config.local_users().items():
        if uid in agents:
            raise ValueError(f"users {agents[uid][0]} and {user} are the same user; list it once")
        agents[uid] = (user, config.users[user])
    return UnixPeer(name, agents)
