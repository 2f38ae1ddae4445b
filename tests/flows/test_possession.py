"""Bound tokens through a whole Doorward: who holds the key is let in, and nobody else, however the token is shown."""

import asyncio
import json
from collections.abc import Callable
from contextlib import AsyncExitStack

import jwt
import pytest
from fakes.clock import TurnedClock
from fakes.dpop import Prover
from fakes.house import Answer, Build, House, RawClient, get
from fakes.sidecars import OVER_UNIX, BesideHouse

from gateway.clock import Clock
from gateway.identity.nonces import PERIOD

AUTHORITY = "http://authority.test/token"
URL = "http://127.0.0.1:1/api/items"
REQUIRED = "{}\n  proof: required"


async def bound(door: House, prover: Prover) -> str:
    """A token that is bound to the prover's key."""
    members = await door.issue("items.read", "items.write", proof=prover.proof("POST", AUTHORITY, now=door.clock.now()))
    assert members["token_type"] == "DPoP"
    return members["access_token"]


async def ask(
    door: House, token: str, *proofs: str, scheme: str = "DPoP", path: str = "/api/items", method: str = "GET"
) -> Answer:
    """One request with a token and its proofs, on a connection of its own."""
    client = await door.connect()
    intent = "items.read" if method == "GET" else "items.write"
    lines = [f"Authorization: {scheme} {token}", *(f"DPoP: {proof}" for proof in proofs)]
    await client.send(get(path, None, intent, *lines, method=method))
    return await client.answer()


async def learn(door: House, prover: Prover, token: str) -> None:
    """Take the nonce that the gateway gives to whoever has none."""
    answer = await ask(door, token, prover.proof("GET", URL, token))
    assert (answer.status, answer.problem["code"]) == (401, "proof_invalid")
    assert 'error="use_dpop_nonce"' in answer.values("www-authenticate")[1]
    prover.nonce = answer.fields["dpop-nonce"]


@pytest.mark.parametrize("algorithm", ["ES256", "EdDSA", "RS256"])
async def test_who_holds_the_key_is_let_in(house: Build, algorithm: str) -> None:
    """First a nonce, then each request with a proof of its own; the upstream sees neither token nor proof."""
    door = await house()
    prover = Prover(algorithm)
    token = await bound(door, prover)
    await learn(door, prover, token)
    for _ in range(3):
        assert (await ask(door, token, prover.proof("GET", URL, token))).status == 200
    assert (await ask(door, token, prover.proof("POST", URL, token), method="POST")).status == 200
    assert len(door.upstream.seen) == 4
    for seen in door.upstream.seen:
        assert {"authorization", "dpop"}.isdisjoint(seen.fields)
        assert token.encode() not in seen.head


ATTACKS: dict[str, Callable[[Prover, str], tuple[str, list[str]]]] = {
    "two proofs": lambda own, token: ("DPoP", [own.proof("GET", URL, token), own.proof("GET", URL, token)]),
    "no JWT": lambda _own, _token: ("DPoP", ["hello"]),
    "no jti": lambda own, token: ("DPoP", [own.proof("GET", URL, token, jti=None)]),
    "another typ": lambda own, token: ("DPoP", [own.proof("GET", URL, token, header={"typ": "JWT"})]),
    "a private key": lambda own, token: ("DPoP", [own.proof("GET", URL, token, header={"jwk": {**own.jwk, "d": "AAAA"}})]),
    "a signature cut": lambda own, token: ("DPoP", [own.proof("GET", URL, token)[:-6]]),
    "another method": lambda own, token: ("DPoP", [own.proof("PUT", URL, token)]),
    "another path": lambda own, token: ("DPoP", [own.proof("GET", URL + "/1", token)]),
    "the host that was called": lambda own, token: ("DPoP", [own.proof("GET", "http://doorward.test/api/items", token)]),
    "a nonce of nobody": lambda own, token: ("DPoP", [own.proof("GET", URL, token, nonce="AAAA")]),
    "no nonce": lambda own, token: ("DPoP", [own.proof("GET", URL, token, nonce=None)]),
    "another token": lambda own, token: ("DPoP", [own.proof("GET", URL, token + "x")]),
    "no token": lambda own, _token: ("DPoP", [own.proof("GET", URL)]),
    "another key": lambda own, token: ("DPoP", [_other(own).proof("GET", URL, token)]),
}


def _other(own: Prover) -> Prover:
    thief = Prover()
    thief.nonce = own.nonce
    return thief


async def test_the_twelve_checks(house: Build) -> None:
    """RFC 9449 §4.3: whatever is wrong with a proof, the request is refused as one by the scheme DPoP, and recorded so."""
    door = await house()
    prover = Prover()
    token = await bound(door, prover)
    await learn(door, prover, token)
    for kind, attack in ATTACKS.items():
        scheme, proofs = attack(prover, token)
        answer = await ask(door, token, *proofs, scheme=scheme)
        assert (answer.status, answer.problem["code"]) == (401, "proof_invalid"), kind
        bearer, dpop = answer.values("www-authenticate")
        assert "error" not in bearer, kind
        assert f'error="{"use_dpop_nonce" if "nonce" in kind else "invalid_dpop_proof"}"' in dpop, kind
    assert door.upstream.seen == []
    await door.stop()
    _, responses = door.exchanges()
    causes = {record["error"] for record in responses if record["code"] == "proof_invalid"}
    assert {"proof: headers", "proof: form", "proof: claims", "proof: method", "proof: address", "proof: nonce", "proof: token",
            "proof: binding"} <= causes  # fmt: skip


async def test_a_proof_is_taken_once(house: Build) -> None:
    """The same proof again is refused, on another connection too; what was proved is not remembered with the token."""
    door = await house()
    prover = Prover()
    token = await bound(door, prover)
    await learn(door, prover, token)
    proof = prover.proof("GET", URL, token)
    assert (await ask(door, token, proof)).status == 200
    again = await ask(door, token, proof)
    assert (again.status, again.problem["code"]) == (401, "proof_invalid")
    assert len(door.upstream.seen) == 1
    await door.stop()
    assert "proof: replayed" in {record["error"] for record in door.exchanges()[1]}


async def test_other_spellings_of_the_address_are_the_same(house: Build) -> None:
    """The query does not count, scheme and host have no case, and escapes of plain letters mean the letters."""
    door = await house()
    prover = Prover()
    token = await bound(door, prover)
    await learn(door, prover, token)
    for spelled in (URL + "?limit=1", "HTTP://127.0.0.1:1/api/%69tems"):
        assert (await ask(door, token, prover.proof("GET", spelled, token), path="/api/items?limit=2")).status == 200


async def test_a_bound_token_as_bearer_is_refused(house: Build) -> None:
    """RFC 9449 §7.2: not in Authorization, not where an SDK would put a key, not with a good proof beside it."""
    door = await house(upstream="token_in: [x-api-key]")
    prover = Prover()
    token = await bound(door, prover)
    await learn(door, prover, token)
    for lines in (
        [f"Authorization: Bearer {token}"],
        [f"Authorization: Bearer {token}", f"DPoP: {prover.proof('GET', URL, token)}"],
        [f"X-Api-Key: {token}"],
    ):
        client = await door.connect()
        await client.send(get("/api/items", None, "items.read", *lines))
        answer = await client.answer()
        assert (answer.status, answer.problem["code"]) == (401, "proof_missing"), lines[0][:16]
        bearer, dpop = answer.values("www-authenticate")
        assert 'error="invalid_token"' in bearer
        assert "error" not in dpop
    answer = await ask(door, token)
    assert (answer.status, answer.problem["code"]) == (401, "proof_missing")
    assert 'error="invalid_dpop_proof"' in answer.values("www-authenticate")[1]
    assert door.upstream.seen == []


async def test_a_bearer_token_by_the_other_scheme_is_refused(house: Build) -> None:
    """A token that is bound to nothing proves nothing, whatever stands beside it."""
    door = await house()
    prover = Prover()
    token = await door.token()
    assert (await ask(door, token, scheme="Bearer")).status == 200
    answer = await ask(door, token, prover.proof("GET", URL, token))
    assert (answer.status, answer.problem["code"]) == (401, "token_invalid")
    assert (await ask(door, token, scheme="Bearer")).status == 200


@pytest.mark.parametrize("cnf", [{}, {"kid": "a"}, {"jkt": "x"}, {"jkt": 7}, {"jkt": "x" * 43, "jwk": {}}, "jkt", [], None])
async def test_a_binding_that_is_not_understood_is_refused(house: Build, cnf: object) -> None:
    """RFC 7800 §3.1: a confirmation that cannot be checked is never taken for none."""
    door = await house()
    token = _resigned(door, await door.token(), cnf)
    for scheme in ("Bearer", "DPoP"):
        answer = await ask(door, token, scheme=scheme)
        assert (answer.status, answer.problem["code"]) == (401, "token_invalid")


def _resigned(door: House, token: str, cnf: object) -> str:
    """The same token with another `cnf`, signed by the authority's own key."""
    claims = jwt.decode(token.removeprefix("dwt_"), options={"verify_signature": False})
    key = door.doorward.authority.keys.current
    return "dwt_" + jwt.encode({**claims, "cnf": cnf}, key.private, "ES256", headers={"typ": "at+jwt", "kid": key.kid})


async def test_a_new_nonce_comes_with_an_answer(house: Build) -> None:
    """A client that goes on asking is told the next nonce in time, and so is not refused for an old one."""
    clock = TurnedClock()
    clock.ahead = PERIOD - clock.boot() % PERIOD  # a period begins here, so that none ends in between
    door = await house(clock=clock)
    prover = Prover()
    token = await bound(door, prover)
    await learn(door, prover, token)
    assert "dpop-nonce" not in (await ask(door, token, prover.proof("GET", URL, token))).fields
    clock.ahead += PERIOD
    await door.fresh()
    answer = await ask(door, token, prover.proof("GET", URL, token))
    assert answer.status == 200
    assert answer.fields["dpop-nonce"] != prover.nonce
    clock.ahead += PERIOD
    await door.fresh()
    assert (await ask(door, token, prover.proof("GET", URL, token))).status == 401
    prover.nonce = answer.fields["dpop-nonce"]
    assert (await ask(door, token, prover.proof("GET", URL, token))).status == 200


async def test_a_proof_for_one_gateway_is_none_for_another(house: Build) -> None:
    """A sidecar beside it has the same address, the same keys and the same token, and still takes only its own nonce."""
    door = await house()
    async with AsyncExitStack() as stack:
        side = BesideHouse(door, Clock(), stack, OVER_UNIX, "side")
        await side.start()
        host, _, port = side.sidecar.addresses[0].rpartition(":")
        prover = Prover()
        token = await bound(door, prover)
        await learn(door, prover, token)
        proof = prover.proof("GET", URL, token)
        assert (await ask(door, token, proof)).status == 200

        async def beside(shown: str) -> Answer:
            client = RawClient(*await asyncio.open_connection(host, int(port)))
            await client.send(get("/api/items", None, "items.read", f"Authorization: DPoP {token}", f"DPoP: {shown}"))
            answer = await client.answer()
            await client.close()
            return answer

        refused = await beside(proof)
        assert (refused.status, refused.problem["code"]) == (401, "proof_invalid")
        prover.nonce = refused.fields["dpop-nonce"]
        assert (await beside(prover.proof("GET", URL, token))).status == 200


async def test_a_gateway_may_demand_bound_tokens(house: Build) -> None:
    """With `proof: required` a bearer token is refused, and the metadata say so."""
    door = await house(gateway_limits=REQUIRED)
    answer = await ask(door, await door.token(), scheme="Bearer")
    assert (answer.status, answer.problem["code"]) == (401, "proof_missing")
    prover = Prover()
    token = await bound(door, prover)
    await learn(door, prover, token)
    assert (await ask(door, token, prover.proof("GET", URL, token))).status == 200


async def test_a_grant_may_demand_bound_tokens(house: Build) -> None:
    """Its intents are issued only in bound tokens, and a bearer token from before the change is refused."""
    door = await house()
    before = await door.token()
    file = door.folder / "doorward.yaml"
    file.write_text(file.read_text().replace("    declare: required\n", "    declare: required\n    proof: required\n"))
    assert door.doorward.reload is not None
    await door.doorward.reload.again(by="user:tester", confirmed=True)
    answer = await ask(door, before, scheme="Bearer")
    assert (answer.status, answer.problem["code"]) == (401, "proof_missing")
    assert await door.issue("items.read", refusable=True) == {}
    prover = Prover()
    token = await bound(door, prover)
    await learn(door, prover, token)
    assert (await ask(door, token, prover.proof("GET", URL, token))).status == 200


async def test_an_authority_may_demand_bound_tokens(house: Build) -> None:
    """With `proof: required` there is no bearer token to be had."""
    door = await house(authority="listen: [unix:authority.sock]\n  issuer: http://authority.test\n  proof: required")
    assert await door.issue("items.read", refusable=True) == {}
    assert (await door.issue("items.read", proof=Prover().proof("POST", AUTHORITY)))["token_type"] == "DPoP"


async def test_401_403_and_404(house: Build) -> None:
    """Who are you, not with this, not you, not here: each says which it is, and where to learn more (RFC 6750 §3, RFC 9728)."""
    door = await house()
    place = 'resource_metadata="http://127.0.0.1:1/.well-known/oauth-protected-resource/api"'
    client = await door.connect()
    await client.send(get("/api/items", None))
    bare = await client.answer()
    assert bare.status == 401
    algorithms = 'algs="ES256 ES384 EdDSA PS256 RS256"'
    assert bare.values("www-authenticate") == [
        f'Bearer realm="doorward", {place}',
        f'DPoP realm="doorward", {algorithms}, {place}',
    ]
    wrong = await ask(door, "dwt_a.b.c", scheme="Bearer")
    bearer, dpop = wrong.values("www-authenticate")
    assert wrong.status == 401
    assert bearer == f'Bearer realm="doorward", error="invalid_token", error_description="token_invalid", {place}'
    assert "error" not in dpop
    token = await door.token("items.read")
    client = await door.connect()
    await client.send(get("/api/items", token, "items.write"))
    short = await client.answer()
    assert (short.status, short.problem["code"]) == (403, "intent_not_granted")
    assert 'error="insufficient_scope"' in short.values("www-authenticate")[0]
    denied = await ask(door, await door.token("items.write"), scheme="Bearer", method="DELETE")
    assert denied.status == 403
    assert denied.values("www-authenticate") == []
    assert (await ask(door, token, scheme="Bearer", path="/nothing")).status == 404


async def test_the_metadata_of_a_resource(house: Build) -> None:
    """RFC 9728 §3: between host and path, for everybody, about just that upstream; recorded, and no token is asked for."""
    door = await house(gateway_limits=REQUIRED)
    client = await door.connect()
    await client.send(get("/.well-known/oauth-protected-resource/api", None, None))
    answer = await client.answer()
    assert (answer.status, answer.fields["content-type"]) == (200, "application/json")
    assert json.loads(answer.body) == {
        "resource": "http://127.0.0.1:1/api",
        "authorization_servers": ["http://authority.test"],
        "scopes_supported": ["items.read", "items.write", "items.watch", "items.burn"],
        "bearer_methods_supported": ["header"],
        "resource_name": "api",
        "authorization_details_types_supported": ["agent_task"],
        "dpop_signing_alg_values_supported": ["ES256", "ES384", "EdDSA", "PS256", "RS256"],
        "dpop_bound_access_tokens_required": True,
    }
    await client.send(get("/.well-known/oauth-protected-resource/api", None, None, method="HEAD"))
    assert (await client.answer(head_only=True)).fields["content-length"] == str(len(answer.body))
    for path in ("/.well-known/oauth-protected-resource", "/.well-known/oauth-protected-resource/other"):
        await client.send(get(path, None, None))
        assert (await client.answer()).status == 404
    await client.send(get("/.well-known/oauth-protected-resource/api", None, None, method="DELETE"))
    assert (await client.answer()).status == 404
    await door.stop()
    requests, responses = door.exchanges()
    assert (requests[0]["decision"], responses[0]["status"], responses[0]["ending"]) == (None, 200, "complete")
