"""Workloads known by the user that they run as."""

import getpass
import os
from typing import Any

import pytest
from pydantic import ValidationError

from gateway.identity.provider import UNIX_PEER_TYPE, IdentityRefusedError, Peer, Presented, Tools
from gateway.identity.providers.unix import Config, build

AGENT = "spiffe://acme.example/host/alice"


def config(users: Any) -> Config:
    """The users of this machine that are agents."""
    return Config.model_validate({"users": users})


async def test_the_user_at_the_other_end_is_the_agent(tools: Tools) -> None:
    """The name is resolved when it is built, and the kernel's word decides after that."""
    provider = build(config({getpass.getuser(): AGENT}), "host", tools)
    identity = await provider.verify(Presented("peer", UNIX_PEER_TYPE, Peer(1, os.getuid(), os.getgid())))
    assert (identity.agent, identity.provider, identity.expires) == (AGENT, "host", None)
    assert identity.claims == {"uid": os.getuid(), "user": getpass.getuser()}


async def test_a_user_may_be_listed_by_its_id(tools: Tools) -> None:
    """Containers have users without a name."""
    provider = build(config({"54321": AGENT}), "host", tools)
    assert (await provider.verify(Presented(None, UNIX_PEER_TYPE, Peer(1, 54321, 0)))).agent == AGENT


@pytest.mark.parametrize(
    ("presented", "expected"),
    [
        (Presented("peer", UNIX_PEER_TYPE), "only accepted on the authority's Unix socket"),
        (Presented("eyJ.eyJ.eyJ", UNIX_PEER_TYPE, Peer(1, 54321, 0)), "the token is the word peer"),
        (Presented("peer", UNIX_PEER_TYPE, Peer(1, 54322, 54321)), "user id 54322 is no agent here; .* identity host"),
        (Presented("peer", UNIX_PEER_TYPE, Peer(1, 0, 0)), "user id 0 is no agent here"),
    ],
)
async def test_nobody_else_is_an_agent(tools: Tools, presented: Presented, expected: str) -> None:
    """Not over TCP, not with a token, not another user, not by group, and not root either."""
    provider = build(config({"54321": AGENT}), "host", tools)
    with pytest.raises(IdentityRefusedError, match=expected):
        await provider.verify(presented)


def test_an_unknown_user_is_found_when_it_is_built(tools: Tools) -> None:
    """The sentence says which, and what to do."""
    with pytest.raises(ValueError, match="no user nobody-of-that-name; create it, or list its user id"):
        build(config({"nobody-of-that-name": AGENT}), "host", tools)


def test_one_user_is_listed_once(tools: Tools) -> None:
    """Name and id of the same user would be two agents for one caller."""
    with pytest.raises(ValueError, match="are the same user"):
        build(config({"root": AGENT, "0": AGENT + "2"}), "host", tools)


@pytest.mark.parametrize("users", [{}, None, {"alice": "alice"}, {"alice": "spiffe://ACME/x"}, {"alice": "spiffe://acme"}, []])
def test_users_are_mapped_to_spiffe_ids(users: Any) -> None:
    """At least one, and each to an agent's whole id."""
    with pytest.raises(ValidationError):
        config(users)
