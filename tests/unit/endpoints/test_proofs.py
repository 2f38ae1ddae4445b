"""DPoP at the authority: what a token is bound to, which proofs are none, and who may use a bound token there."""

import pytest
from fakes.dpop import Prover
from fakes.served_authority import AUTHORITY, World

from gateway.endpoints.callers import ASSERTION_TYPE
from gateway.endpoints.proofs import KEPT, WINDOW

TOKEN = f"{AUTHORITY}/token"


def proof(world: World, prover: Prover, url: str = TOKEN, token: str | None = None, **changes: object) -> str:
    """A proof made now."""
    return prover.proof("POST", url, token, now=world.clock.seconds, **changes)


async def test_a_proof_binds_the_token(world: World):
    """The token carries the key's thumbprint, says how it is presented, and introspection says so too (RFC 9449 §5, §6.2)."""
    prover = Prover()
    answer = await world.exchange(headers={"DPoP": proof(world, prover)})
    assert (answer.status, answer.json()["token_type"]) == (200, "DPoP")
    token = answer.json()["access_token"]
    form = {"token": token, "client_assertion": world.identity_token(), "client_assertion_type": ASSERTION_TYPE}
    seen = await world.post("/introspect", form)
    assert (seen.json()["token_type"], seen.json()["cnf"]) == ("DPoP", {"jkt": prover.jkt})


async def test_without_a_proof_it_is_a_bearer_token(world: World):
    """Nobody is made to bind."""
    members = (await world.exchange()).json()
    assert members["token_type"] == "Bearer"
    own = await world.authority.tasks.live_token(members["access_token"])
    assert own is not None
    assert "cnf" not in own.claims


@pytest.mark.parametrize(
    "changes",
    [
        {"htm": "GET"},
        {"htu": "https://doorward/token"},
        {"htu": f"{AUTHORITY}/introspect"},
        {"jti": None},
        {"header": {"typ": "jwt"}},
        {"header": {"jwk": None}},
    ],
)
async def test_a_proof_that_does_not_hold(world: World, changes):
    """Its address is the authority's own, never what Host says; nothing is issued (RFC 9449 §5)."""
    answer = await world.exchange(headers={"DPoP": proof(world, Prover(), **changes)})
    assert (answer.status, answer.json()["error"]) == (400, "invalid_dpop_proof")
    assert world.log.of("token") == []


async def test_a_proof_is_taken_once_over_all_authorities(world: World):
    """The store remembers it for as long as it could be accepted, so another authority on it refuses it too."""
    shown = proof(world, Prover())
    assert (await world.exchange(headers={"DPoP": shown})).status == 200
    world.clock.seconds += WINDOW
    again = await world.exchange(headers={"DPoP": shown})
    assert (again.status, again.json()["error"]) == (400, "invalid_dpop_proof")
    world.clock.seconds += KEPT - WINDOW
    late = await world.exchange(headers={"DPoP": shown})
    assert (late.status, late.json()["error"]) == (400, "use_dpop_nonce")


@pytest.mark.parametrize("off", [-WINDOW - 1, WINDOW + 1])
async def test_a_client_whose_clock_is_wrong_gets_a_nonce(world: World, off: float):
    """With it the proof's own time does not count any more (RFC 9449 §8)."""
    prover = Prover()
    wrong = await world.exchange(headers={"DPoP": prover.proof("POST", TOKEN, now=world.clock.seconds + off)})
    assert (wrong.status, wrong.json()["error"]) == (400, "use_dpop_nonce")
    prover.nonce = wrong.headers["DPoP-Nonce"]
    right = await world.exchange(headers={"DPoP": prover.proof("POST", TOKEN, now=world.clock.seconds + off)})
    assert right.status == 200
    prover.nonce = "of nobody"
    assert (await world.exchange(headers={"DPoP": proof(world, prover)})).json()["error"] == "use_dpop_nonce"


async def test_a_bound_token_speaks_for_its_task_only_with_a_proof(world: World):
    """As Bearer it is refused, by another key too, and once with each proof it is accepted (RFC 9449 §7)."""
    prover = Prover()
    members = (await world.exchange(headers={"DPoP": proof(world, prover)})).json()
    path = f"/tasks/{members['task']}/heartbeat"
    token, url = members["access_token"], AUTHORITY + path

    async def beat(scheme: str, **headers: str) -> tuple[int, str]:
        answer = await world.ask("POST", path, headers={"Authorization": f"{scheme} {token}", **headers})
        return answer.status, answer.json().get("error", "")

    assert await beat("Bearer") == (401, "invalid_token")
    assert await beat("Bearer", DPoP=proof(world, prover, url, token)) == (401, "invalid_token")
    assert await beat("DPoP") == (400, "invalid_dpop_proof")
    assert await beat("DPoP", DPoP=proof(world, prover, url)) == (400, "invalid_dpop_proof")
    assert await beat("DPoP", DPoP=proof(world, Prover(), url, token)) == (400, "invalid_dpop_proof")
    shown = proof(world, prover, url, token)
    assert await beat("DPoP", DPoP=shown) == (200, "")
    assert await beat("DPoP", DPoP=shown) == (400, "invalid_dpop_proof")
    token = (await world.exchange()).json()["access_token"]
    assert await beat("DPoP", DPoP=proof(world, prover, url, token)) == (401, "invalid_token")


async def test_a_grant_may_demand_a_binding(world: World):
    """What policy gives only in bound tokens is not issued in others."""
    world.grants.proof = True
    answer = await world.exchange()
    assert (answer.status, answer.json()["error"]) == (400, "invalid_dpop_proof")
    assert (await world.exchange(headers={"DPoP": proof(world, Prover())})).status == 200
