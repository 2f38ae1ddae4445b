"""Lines 6 and 7 of the conformance checklist, each as tests against a whole Doorward: proofs of a key, and bindings.

That another certificate is refused stands beside the other tests with TLS.
"""

import jwt
import pytest
from fakes.dpop import Prover
from fakes.house import Build, House
from test_possession import ATTACKS, URL, ask, bound, learn


async def proved(house: Build, **settings: str) -> tuple[House, Prover, str]:
    """A Doorward, a key, and a token that is bound to it, with the nonce that the gateway wants."""
    door, prover = await house(**settings), Prover()
    token = await bound(door, prover)
    await learn(door, prover, token)
    return door, prover, token


@pytest.mark.parametrize("attack", ATTACKS)
async def test_checklist_6_each_check_of_a_proof_refuses(house: Build, attack: str) -> None:
    """RFC 9449 §4.3, among them two headers and a wrong `ath`: 401 by the scheme DPoP, and nothing is forwarded."""
    door, prover, token = await proved(house)
    scheme, proofs = ATTACKS[attack](prover, token)
    answer = await ask(door, token, *proofs, scheme=scheme)
    assert (answer.status, answer.problem["code"]) == (401, "proof_invalid")
    assert door.upstream.seen == []
    assert (await ask(door, token, prover.proof("GET", URL, token))).status == 200


async def test_checklist_6_a_replayed_jti_is_refused(house: Build) -> None:
    """RFC 9449 §11.1: also in another proof, for another method, with the same `jti`."""
    door, prover, token = await proved(house)
    first = prover.proof("GET", URL, token, jti="the-only-one-there-will-be")
    assert (await ask(door, token, first)).status == 200
    for again in (first, prover.proof("GET", URL, token, jti="the-only-one-there-will-be")):
        assert (await ask(door, token, again)).problem["code"] == "proof_invalid"


async def test_checklist_6_a_bound_token_is_no_bearer_token(house: Build) -> None:
    """RFC 9449 §7.2: not even beside a good proof."""
    door, prover, token = await proved(house)
    for proofs in ([], [prover.proof("GET", URL, token)]):
        answer = await ask(door, token, *proofs, scheme="Bearer")
        assert (answer.status, answer.problem["code"]) == (401, "proof_missing")


@pytest.mark.parametrize(
    "spelled",
    [
        "http://gateway.test/api/items?any=query#any",
        "HTTP://GATEWAY.test/api/items",
        "http://gateway.test:80/api/items",
        "http://gateway.test/api/%69tems",
    ],
)
async def test_checklist_6_an_address_has_many_spellings(house: Build, spelled: str) -> None:
    """RFC 9449 §4.3: without query and fragment, normalised as RFC 3986 §6.2.2 and §6.2.3 say, with the default port."""
    door, prover = await house(gateway_url="http://gateway.test"), Prover()
    token = await bound(door, prover)
    first = await ask(door, token, prover.proof("GET", spelled, token))
    prover.nonce = first.fields["dpop-nonce"]
    assert (await ask(door, token, prover.proof("GET", spelled, token), path="/api/items?limit=1")).status == 200
    other = prover.proof("GET", "http://gateway.test:8080/api/items", token)
    assert (await ask(door, token, other)).problem["code"] == "proof_invalid"


@pytest.mark.parametrize("cnf", [{"kid": "a"}, {"jwk": {}}, {"x5t": "A" * 43}, {"jkt": "x" * 43, "more": "y"}])
async def test_checklist_7_an_unknown_confirmation_is_refused(house: Build, cnf: dict[str, object]) -> None:
    """RFC 7800 §3.1: what cannot be checked is never taken for no binding, however the token is shown."""
    door = await house()
    claims = jwt.decode((await door.token()).removeprefix("dwt_"), options={"verify_signature": False})
    key = door.doorward.authority.keys.current
    token = "dwt_" + key.sign("at+jwt", {**claims, "cnf": cnf})
    for scheme in ("Bearer", "DPoP"):
        answer = await ask(door, token, scheme=scheme)
        assert (answer.status, answer.problem["code"]) == (401, "token_invalid")
