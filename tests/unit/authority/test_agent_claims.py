"""Claims of the agent in its token: those that policy reads, and no others, as the gateway then knows them."""

import jwt
import pytest
from fakes.authority import AGENT, Grants

from gateway.authority.authority import Authority
from gateway.identity.provider import Identity
from gateway.policy.issue import Allowance
from gateway.policy.start import Opening


@pytest.fixture
def grants() -> Grants:
    """Policy that reads two claims."""

    class Reading(Grants):
        def __call__(self, opening: Opening, intents: tuple[str, ...]) -> Allowance:
            given = super().__call__(opening, intents)
            return Allowance(given.ttl, given.policy, claims=frozenset(("shift", "team")))

    return Reading()


async def test_a_token_carries_the_claims_that_policy_reads(authority: Authority) -> None:
    """When the task is opened and when it is renewed; of one that the identity lacks it says so."""
    agent = Identity(AGENT, "test", {"shift": "on-call", "email": "a@b.example"}, None)
    issued = await authority.exchange.open_task(agent, ["invoices.read"])
    later = await authority.exchange.renew(Identity(AGENT, "test", {"team": ["x"]}, None), issued.task, [])
    said = [jwt.decode(each.token[4:], options={"verify_signature": False}) for each in (issued, later)]
    assert [each["agent_claims"] for each in said] == [{"shift": "on-call"}, {"team": ["x"]}]
    assert [each["agent_lacks"] for each in said] == [["team"], ["shift"]]
