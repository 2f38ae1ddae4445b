"""Checklist line 1: forged headers and other forms of a token are refused by every provider that takes tokens.

HS256 signed with the public key, alg none and nOnE, wrong typ, JWS-JSON, crit, duplicate header key, kid traversal, jku.
"""

import hashlib
import hmac
import json
from typing import Any

import pytest
from fakes.signed_identities import SIGNED, Signed, b64

HEADERS = {
    "alg none": {"alg": "none"},
    "alg nOnE": {"alg": "nOnE"},
    "alg HS256": {"alg": "HS256"},
    "alg of another key": {"alg": "RS256"},
    "alg in lower case": {"alg": "es256"},
    "typ of a proof": {"typ": "dpop+jwt"},
    "typ of an event": {"typ": "secevent+jwt"},
    "typ of a WIT": {"typ": "wit+jwt"},
    "typ of an assertion grant": {"typ": "oauth-id-jag+jwt"},
    "crit unknown": {"crit": ["x"], "x": 1},
    "crit empty": {"crit": []},
    "unencoded payload": {"b64": False, "crit": ["b64"]},
    "kid as a path": {"kid": "../../../../dev/null"},
    "kid as a query": {"kid": "' OR 1=1 --"},
    "kid as an address": {"kid": "https://evil.example/key"},
    "kid empty": {"kid": ""},
    "kid missing": {"kid": None},
    "kid no text": {"kid": 1},
    "jku": {"jku": "https://evil.example/jwks"},
    "x5u": {"x5u": "https://evil.example/cert"},
    "x5c": {"x5c": ["AAAA"]},
}


@pytest.fixture(params=SIGNED)
def signed(request: pytest.FixtureRequest, tmp_path: Any, tools: Any) -> Signed:
    """Each provider that takes signed tokens, with a key that it trusts."""
    made: Signed = request.param(tmp_path, tools)
    return made


async def test_the_good_token_is_accepted(signed: Signed) -> None:
    """What follows differs from it in one thing only."""
    assert (await signed.verify(signed.token())).agent == signed.agent


@pytest.mark.parametrize("header", HEADERS.values(), ids=HEADERS)
async def test_a_header_cannot_choose_how_it_is_verified(signed: Signed, header: dict[str, Any]) -> None:
    """With a signature of the right key over exactly what is sent."""
    await signed.refused(signed.token(header=header))


async def test_the_public_key_is_no_secret_of_an_hmac(signed: Signed) -> None:
    """In each form in which a forger could feed it to a careless library."""
    for secret in signed.public_forms():
        head, payload = b64(json.dumps({**signed.header(), "alg": "HS256"}).encode()), b64(json.dumps(signed.claims()).encode())
        mac = hmac.digest(secret, f"{head}.{payload}".encode(), hashlib.sha256)
        await signed.refused(signed.prefix + f"{head}.{payload}.{b64(mac)}")


async def test_a_key_in_the_header_is_not_used(signed: Signed) -> None:
    """Neither a stranger's, nor even the right one."""
    await signed.refused(signed.token(header={"jwk": signed.jwk()}))


async def test_duplicate_members_are_refused(signed: Signed) -> None:
    """In the header and in the claims, though the signature is good."""
    head, claims = json.dumps(signed.header()), json.dumps(signed.claims())
    await signed.refused(signed.sign(head[:-1] + f', "kid": {json.dumps(signed.kid)}}}', claims))
    await signed.refused(signed.sign(head, claims[:-1] + f', "sub": {json.dumps(signed.claims()["sub"])}}}'))


async def test_other_forms_than_the_compact_one_are_refused(signed: Signed) -> None:
    """JWS in JSON, in both of its forms, a JWE, and a token without its signature."""
    token = signed.token().removeprefix(signed.prefix)
    head, payload, signature = token.split(".")
    flat = {"protected": head, "payload": payload, "signature": signature}
    general = {"payload": payload, "signatures": [{"protected": head, "signature": signature}]}
    wrong = [json.dumps(flat), json.dumps(general), f"{head}.{payload}.", f"{head}.{payload}", f"{token}.AA.AA", f" {token}"]
    wrong += [f"{head}.{payload}.{signature}=", f"{head}.{payload}.{signature}\n"]
    for each in wrong:
        await signed.refused(signed.prefix + each)
