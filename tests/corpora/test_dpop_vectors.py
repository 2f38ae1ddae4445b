"""The published proofs of RFC 9449, each under the conditions of its row, at the token endpoint and in the gateway's step."""

from dataclasses import replace
from typing import Any

import pytest
from fakes.authority import StillClock
from fakes.corpora import document, named
from fakes.served_authority import World, world

from gateway.errors import Refusal
from gateway.http.fields import request_vocabulary
from gateway.http.head import RequestHead, parse_request
from gateway.identity.authenticate import authenticate
from gateway.identity.dpop import ProofReader
from gateway.identity.issuers import Issuers
from gateway.identity.nonces import Nonces
from gateway.identity.possession import Possession
from gateway.identity.replays import Replays, alone
from gateway.identity.standing import Standing
from gateway.model import Binding, Origin, Principal, Upstream

__all__ = ("world",)

VECTORS = document("dpop/rfc9449-vectors.json").get("vectors", [])
AT_TOKEN_ENDPOINT = [row for row in VECTORS if not {"access_token", "authorization"} & set(row)]
AT_RESOURCE = [row for row in VECTORS if "access_token" in row]
CAUSES = {
    "htm": "proof: method",
    "htu": "proof: address",
    "ath": "proof: token",
    "ath required with an access token": "proof: token",
    "key not the one bound to the token": "proof: binding",
    "more than one DPoP header field": "proof: headers",
    "signature": "proof: signature",
}
UPSTREAM = Upstream(
    tenant="acme", name="api", origin=Origin("https", "api.example", 443), prefix="/protectedresource", base_path="",
    protocol="http", credential="key",
)  # fmt: skip


class Caller:
    """A connection without a certificate."""

    notices = ()
    peer_certificate = None


@pytest.mark.parametrize("row", named(AT_TOKEN_ENDPOINT, lambda row: row["id"]))
async def test_a_published_proof_at_the_token_endpoint(world: World, row: dict[str, Any]) -> None:
    """It binds the token to the published thumbprint, once; the same proof again, or an hour later, binds nothing."""
    world.clock.seconds = float(row["now"])
    answer = await world.exchange(headers={"DPoP": row["proof"]})
    assert (answer.status, answer.json()["token_type"]) == (200, "DPoP")
    own = await world.authority.tasks.live_token(answer.json()["access_token"])
    assert own is not None
    assert own.claims["cnf"] == {"jkt": document("dpop/rfc9449-vectors.json")["jkt"]}
    again = await world.exchange(headers={"DPoP": row["proof"]})
    assert (again.status, again.json()["error"]) == (400, "invalid_dpop_proof")
    world.clock.seconds += 3600
    late = await world.exchange(headers={"DPoP": row["proof"]})
    assert (late.status, late.json()["error"]) == (400, "use_dpop_nonce")
    assert late.headers["DPoP-Nonce"]


@pytest.mark.parametrize("row", named(AT_RESOURCE, lambda row: row["id"]))
def test_a_published_proof_in_the_gateway(row: dict[str, Any]) -> None:
    """A row that is valid lacks nothing but this gateway's nonce; every other is refused for what its row says."""
    refusal = _refused(row)
    assert refusal.problem.status == 401
    expected = row["expect"].removeprefix("invalid: ")
    cause = CAUSES.get(expected, "proof: nonce")
    assert refusal.cause == cause
    assert refusal.nonce_wanted == (cause == "proof: nonce")


def test_a_published_proof_is_new_once() -> None:
    """The row `neg-replay`: by key and id it came before."""
    row = next(row for row in VECTORS if row["id"] == "neg-replay")
    proof = ProofReader().read(row["proof"].encode(), row["method"], row["uri"], row["access_token"].encode(), row["token_jkt"])
    known = Replays(alone())
    assert known.is_new(1, proof.jkt, proof.id)
    assert not known.is_new(1, proof.jkt, proof.id)
    known.close()


def test_two_schemes_in_one_request_are_two_tokens() -> None:
    """The row `neg-both-schemes`: whichever was meant, the request is refused before any of them is looked at."""
    row = next(row for row in VECTORS if row["id"] == "neg-both-schemes")
    lines = ["GET /protectedresource HTTP/1.1", "Host: x", *(f"Authorization: {value}" for value in row["authorization"])]
    head = parse_request("\r\n".join(lines).encode(), request_vocabulary(["authorization", "dpop"]), most_lines=20)
    standing = Standing(StillClock(), issuer="i", audience="a", tenants=frozenset(("t",)), prefix="dwt_", max_staleness=1.0)
    with pytest.raises(Refusal) as caught:
        authenticate(head, UPSTREAM, Issuers([standing]), "192.0.2.1")
    assert (caught.value.code, caught.value.problem.status) == ("request_malformed", 400)


def _refused(row: dict[str, Any]) -> Refusal:
    address, _, path = row["uri"].replace("//", "\n").partition("/")
    prefix = "/" + path.partition("?")[0]
    upstream = replace(UPSTREAM, prefix=prefix, resource=address.replace("\n", "//") + prefix)
    clock = StillClock()
    clock.seconds = float(row["now"])
    share = alone()
    possession = Possession(Nonces(share.key, clock), Replays(share), required=False)
    principal = Principal(
        agent="spiffe://a/b", subject="s", tenant="acme", task="t", token="j", intents=frozenset(), expires=0.0, epoch="e",
        marks=frozenset(), binding=Binding(row["token_jkt"]),
    )  # fmt: skip
    head = _head(row, path)
    with pytest.raises(Refusal) as caught:
        possession.prove(principal, head, upstream, Caller())
    return caught.value


def _head(row: dict[str, Any], path: str) -> RequestHead:
    proofs = row["proof"] if isinstance(row["proof"], list) else [row["proof"]]
    lines = [f"{row['method']} /{path} HTTP/1.1", "Host: x", *(f"DPoP: {proof}" for proof in proofs)]
    head = parse_request("\r\n".join(lines).encode(), request_vocabulary(["dpop"]), most_lines=20)
    head.token = b"DPoP " + row["access_token"].encode()
    return head
