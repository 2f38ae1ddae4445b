"""Checklist line 4: a JWT-SVID with EdDSA or an extra header member is refused, and its sub is a SPIFFE ID.

Upper-case trust domain, percent, dot segments, trailing slash, 2049 bytes. The package `spiffe` judges the SVIDs beside us.
"""

import json
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from fakes.signed_identities import Signed, mesh
from spiffe import JwtBundle, JwtSvid, TrustDomain

IDS = {
    "upper-case trust domain": "spiffe://Mesh.example/a",
    "upper-case scheme": "SPIFFE://mesh.example/a",
    "percent": "spiffe://mesh.example/%61",
    "dot segment": "spiffe://mesh.example/./a",
    "dot dot segment": "spiffe://mesh.example/b/../a",
    "trailing slash": "spiffe://mesh.example/a/",
    "empty segment": "spiffe://mesh.example//a",
    "no path": "spiffe://mesh.example",
    "empty path": "spiffe://mesh.example/",
    "no trust domain": "spiffe:///a",
    "another trust domain": "spiffe://other.example/a",
    "a longer trust domain": "spiffe://mesh.example.evil.example/a",
    "a part of it": "spiffe://esh.example/a",
    "port": "spiffe://mesh.example:80/a",
    "user": "spiffe://user@mesh.example/a",
    "query": "spiffe://mesh.example/a?b=c",
    "fragment": "spiffe://mesh.example/a#b",
    "another scheme": "https://mesh.example/a",
    "2049 bytes": "spiffe://mesh.example/" + "a" * (2049 - len("spiffe://mesh.example/")),
    "space": "spiffe://mesh.example/a b",
    "unicode": "spiffe://mesh.example/ä",
    "NUL": "spiffe://mesh.example/a\0",
}
MEMBERS = {
    "cty": {"cty": "JWT"},
    "jku": {"jku": "https://mesh.example/keys"},
    "x5t": {"x5t": "AAAA"},
    "unknown": {"x": 1},
    "zip": {"zip": "DEF"},
}


@pytest.fixture
def signed(tmp_path: Path, tools: Any) -> Signed:
    """A provider for JWT-SVIDs, with a key that it trusts."""
    return mesh(tmp_path, tools)


@pytest.mark.parametrize("member", MEMBERS.values(), ids=MEMBERS)
async def test_an_extra_header_member_is_refused(signed: Signed, member: dict[str, Any]) -> None:
    """JWT-SVID §2: alg, kid and typ, and nothing else."""
    await signed.refused(signed.token(header=member))


@pytest.mark.parametrize("typ", ["jwt", "Jwt", "application/jwt", "jose", "at+jwt", "JWT ", ""])
async def test_typ_is_spelled_as_the_standard_does(signed: Signed, typ: str) -> None:
    """JWT-SVID §2.3: JWT or JOSE."""
    await signed.refused(signed.token(header={"typ": typ}))


async def test_eddsa_is_refused_though_the_key_is_in_the_bundle(signed: Signed, tmp_path: Path) -> None:
    """JWT-SVID §2.1 lists RS, ES and PS, and no other."""
    key = ed25519.Ed25519PrivateKey.generate()
    token = jwt.encode(signed.claims(), key, "EdDSA", headers={"kid": "edwards"})
    document = json.loads((tmp_path / "bundle.json").read_text())
    public = jwt.algorithms.OKPAlgorithm.to_jwk(key.public_key(), as_dict=True)
    document["keys"].append({**public, "kid": "edwards", "use": "jwt-svid"})
    (tmp_path / "bundle.json").write_text(json.dumps(document))
    assert "algorithm that is not accepted" in await signed.refused(token)


@pytest.mark.parametrize("subject", IDS.values(), ids=IDS)
async def test_sub_is_a_spiffe_id_of_the_trust_domain(signed: Signed, subject: str) -> None:
    """Signed with the right key, whatever is in it."""
    await signed.refused(signed.token(sub=subject))


async def test_the_longest_id_is_one(signed: Signed) -> None:
    """2048 bytes."""
    longest = "spiffe://mesh.example/" + "a" * (2048 - len("spiffe://mesh.example/"))
    assert (await signed.verify(signed.token(sub=longest))).agent == longest


async def test_what_we_accept_another_implementation_accepts_too(signed: Signed, tmp_path: Path) -> None:
    """The package `spiffe` reads the same bundle and finds the same workload. Its clock is the machine's."""
    now = int(signed.real_now())
    token = signed.token(iat=now, exp=now + 300, nbf=None)
    keys = [key for key in json.loads((tmp_path / "bundle.json").read_text())["keys"] if key["use"] == "jwt-svid"]
    bundle = JwtBundle.parse(TrustDomain("mesh.example"), json.dumps({"keys": keys}).encode())
    svid = JwtSvid.parse_and_validate(token, bundle, {"doorward"})
    assert (str(svid.spiffe_id), isinstance(bundle.get_jwt_authority(signed.kid), ec.EllipticCurvePublicKey)) == (
        signed.agent,
        True,
    )
