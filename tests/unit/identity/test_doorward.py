"""Workloads known by a task token of another Doorward: who the agent is, and all that it is not."""

from pathlib import Path
from typing import Any

import pytest
from fakes.signed_identities import Signed, partner
from pydantic import ValidationError

from gateway.identity.provider import JWT_TYPE, Presented, Tools
from gateway.identity.providers.doorward import Config, build


@pytest.fixture
def signed(tmp_path: Path, tools: Tools) -> Signed:
    """The other Doorward, whose keys are known."""
    return partner(tmp_path, tools)


AGENT = "spiffe://partner.example/ns/agents/sa/reconciler"


async def test_the_agent_of_the_task_is_who_calls(signed: Signed) -> None:
    """Not the subject, though the task is for somebody; and nothing else of the token comes along."""
    token = signed.token(intents=["everything"], authorization_details=[{"type": "agent_task"}], customers=["42"])
    identity = await signed.verify(token)
    assert identity.agent == AGENT
    assert identity.claims == {"sub": AGENT, "iss": "https://authority.partner.example"}
    assert identity.expires == signed.claims()["exp"]


async def test_the_outermost_actor_acts(signed: Signed) -> None:
    """RFC 8693 §4.1: who is deeper has acted before, and is history."""
    nested = {"sub": AGENT, "act": {"sub": "spiffe://partner.example/ns/agents/sa/orchestrator"}}
    assert (await signed.verify(signed.token(act=nested))).agent == AGENT


@pytest.mark.parametrize(
    "wrong",
    [
        {"act": None},
        {"act": AGENT},
        {"act": {}},
        {"act": {"sub": 7}},
        {"act": {"sub": "spiffe://partner.example/users/alice"}},
        {"act": {"sub": ["a", "b"]}},
        {"client_id": None},
        {"client_id": "spiffe://partner.example/ns/agents/sa/orchestrator"},
        {"act": {"sub": "somebody"}, "client_id": "somebody"},
        {"act": {"sub": "spiffe://partner.example"}, "client_id": "spiffe://partner.example"},
    ],
)
async def test_a_token_that_does_not_say_whose_it_is_is_refused(signed: Signed, wrong: dict[str, Any]) -> None:
    """Its agent is named twice, and has to be the same."""
    assert "agent" in await signed.refused(signed.token(**wrong))


@pytest.mark.parametrize("tenant", [None, "other", 7, ""])
async def test_another_tenant_is_not_known(signed: Signed, tenant: Any) -> None:
    """It comes from the configuration, and the token has to fit it."""
    assert "tenant that is not known here" in await signed.refused(signed.token(tenant=tenant))


@pytest.mark.parametrize("cnf", [{"jkt": "x"}, {"x5t#S256": "x"}, {}])
async def test_a_token_that_is_bound_to_a_key_is_refused(signed: Signed, cnf: Any) -> None:
    """Whoever copied it could show it here without the key."""
    assert "bound to a key" in await signed.refused(signed.token(cnf=cnf))


async def test_what_is_no_task_token_is_refused(signed: Signed) -> None:
    """Its prefix and its typ say what it is."""
    token = signed.token()
    assert "begins with dwt_" in await signed.refused(token.removeprefix("dwt_"))
    assert "begins with dwt_" in await signed.refused("dwx_" + token.removeprefix("dwt_"))
    assert "compact form" in await signed.refused("dwt_")
    assert "typ of a task token is at+jwt" in await signed.refused(signed.token(header={"typ": "JWT"}))
    assert "from another issuer" in await signed.refused(signed.token(iss="https://authority.partner.example/"))


async def test_a_client_assertion_may_hold_one(signed: Signed) -> None:
    """Wherever a signed token may stand, under the type of any JWT."""
    assert (await signed.provider.verify(Presented(signed.token(), JWT_TYPE))).agent == AGENT


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"issuer": "http://authority.partner.example"}, "over https"),
        ({"tenant": ""}, "at least 1"),
        ({"audience": ""}, "at least 1"),
        ({"prefix": "x"}, "pattern"),
        ({"intents": []}, "Extra inputs"),
    ],
)
def test_every_mistake_is_said_in_words(change: dict[str, Any], told: str) -> None:
    """When the configuration is read."""
    basis = {"issuer": "https://authority.partner.example", "tenant": "partner", "audience": "doorward"}
    with pytest.raises(ValidationError) as caught:
        Config.model_validate({**basis, **change})
    assert told in str(caught.value)


def test_a_ca_that_cannot_be_read_is_a_mistake(tools: Tools) -> None:
    """When the configuration is read."""
    rule = {"issuer": "https://authority.partner.example", "tenant": "partner", "audience": "doorward", "ca": "gone.pem"}
    with pytest.raises(ValueError, match=r"gone\.pem cannot be used as ca"):
        build(Config.model_validate(rule), "partner", tools)
