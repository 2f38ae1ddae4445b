"""Tokens that nobody of ours has signed: a source may send only so many, and takes nobody else's turn."""

from typing import Any

import pytest
from test_authenticate import AGENT, UPSTREAM, bearer, made

from gateway.errors import Refusal
from gateway.identity.authenticate import authenticate
from gateway.identity.failures import ALLOWANCE, REFILL
from gateway.identity.issuers import Issuers
from gateway.identity.standing import Standing

STRANGER, FRIEND = "192.0.2.1", "192.0.2.2"


def forged(issuer: Any, number: int, **changes: Any) -> str:
    """A token of which all but the signature could be ours."""
    good = made(issuer, jti=f"forged-{number}", **changes)
    head, claims, _ = good.split(".")
    return f"{head}.{claims}.{made(issuer).split('.')[2]}"


def refusal(token: str, standing: Standing, source: str = STRANGER) -> Refusal:
    with pytest.raises(Refusal) as caught:
        authenticate(bearer(token), UPSTREAM, Issuers([standing]), source)
    return caught.value


def flood(standing: Standing, issuer: Any, **changes: Any) -> None:
    for number in range(int(ALLOWANCE)):
        assert refusal(forged(issuer, number, **changes), standing).code == "token_invalid"


def test_a_source_that_forges_has_to_wait(standing: Standing, issuer: Any, clock: Any) -> None:
    """Its next token is not looked at, whoever signed it, and it is told for how long; then it has another try."""
    flood(standing, issuer)
    held = refusal(made(issuer), standing)
    assert (held.code, held.retry_after) == ("limit_exceeded", 1)
    assert authenticate(bearer(made(issuer)), UPSTREAM, Issuers([standing]), FRIEND).agent == AGENT
    clock.seconds += 1.5 / REFILL
    assert refusal(forged(issuer, 1000), standing).code == "token_invalid"
    assert refusal(made(issuer, jti="later"), standing).code == "limit_exceeded"


def test_whoever_has_shown_a_token_from_there_goes_on(standing: Standing, issuer: Any) -> None:
    """An agent behind the same address gets its further tokens verified, and one that was verified costs nothing."""
    first = made(issuer)
    authenticate(bearer(first), UPSTREAM, Issuers([standing]), STRANGER)
    flood(standing, issuer, act={"sub": "spiffe://acme.example/ns/agents/sa/another"})
    assert authenticate(bearer(made(issuer, jti="token-2")), UPSTREAM, Issuers([standing]), STRANGER).token == "token-2"
    flood(standing, issuer)  # now in its own name
    assert refusal(made(issuer, jti="token-3"), standing).code == "limit_exceeded"
    assert authenticate(bearer(first), UPSTREAM, Issuers([standing]), STRANGER).token == "token-1"


@pytest.mark.parametrize("actor", [None, 7, {}, {"sub": 7}], ids=repr)
def test_whatever_a_forged_token_says_of_its_agent_is_counted(standing: Standing, issuer: Any, actor: object) -> None:
    """A name that is none is nobody's."""
    flood(standing, issuer, act=actor)
    assert refusal(made(issuer), standing).code == "limit_exceeded"


def test_a_network_of_ipv6_is_one_source(standing: Standing, issuer: Any) -> None:
    """Whoever is there can have as many addresses as it likes."""
    for number in range(int(ALLOWANCE)):
        assert refusal(forged(issuer, number), standing, f"2001:db8:0:7::{number:x}").code == "token_invalid"
    assert refusal(made(issuer), standing, "2001:db8:0:7:ffff::1").code == "limit_exceeded"
    assert authenticate(bearer(made(issuer)), UPSTREAM, Issuers([standing]), "2001:db8:0:8::1").agent == AGENT
    assert authenticate(bearer(made(issuer, jti="token-2")), UPSTREAM, Issuers([standing]), "unix").token == "token-2"
