"""One DPoP proof and one request: each of the checks of RFC 9449 §4.3 that bytes alone can show."""

import json

import jwt
import pytest
from fakes.dpop import Prover, digest

from gateway.http.challenges import PROOF_ALGORITHMS
from gateway.identity import dpop
from gateway.identity.dpop import ALGORITHMS, HEADERS_REMEMBERED, LONGEST_ID, PROOF_BYTES, ProofProblem, ProofReader, normal

URL = "https://gateway.example/billing/v1/invoices"
TOKEN = "dwt_a.b.c"


def problem(proof: str, method: str = "GET", url: str = URL, token: str | None = None, jkt: str | None = None) -> str:
    """The code with which a proof is refused."""
    with pytest.raises(ProofProblem) as caught:
        ProofReader().read(proof.encode(), method, url, None if token is None else token.encode(), jkt)
    return caught.value.code


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_proof_by_each_algorithm_holds(algorithm):
    """Every algorithm that is announced works, and the thumbprint is that of RFC 7638."""
    prover = Prover(algorithm)
    proof = ProofReader().read(
        prover.proof("GET", URL, TOKEN, jti="one", iat=17, nonce="n").encode(), "GET", URL, TOKEN.encode(), prover.jkt
    )
    assert (proof.jkt, proof.id, proof.issued, proof.nonce) == (prover.jkt, "one", 17.0, "n")
    assert "one" not in repr(proof)


def test_what_is_announced_is_accepted():
    """The challenge names just the algorithms that a proof may have."""
    assert PROOF_ALGORITHMS.split(" ") == list(ALGORITHMS)


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"jti": None}, "claims"),
        ({"jti": ""}, "claims"),
        ({"jti": 7}, "claims"),
        ({"jti": "x" * (LONGEST_ID + 1)}, "claims"),
        ({"iat": None}, "claims"),
        ({"iat": True}, "claims"),
        ({"iat": "1800000000"}, "claims"),
        ({"nonce": 5}, "claims"),
        ({"htm": None}, "method"),
        ({"htm": "get"}, "method"),
        ({"htm": "POST"}, "method"),
        ({"htu": None}, "address"),
        ({"htu": 1}, "address"),
        ({"htu": "https://gateway.example/billing/v1/invoice"}, "address"),
        ({"htu": "http://gateway.example/billing/v1/invoices"}, "address"),
        ({"htu": "https://gateway.example:8443/billing/v1/invoices"}, "address"),
        ({"htu": "https://u@gateway.example/billing/v1/invoices"}, "address"),
        ({"htu": "https://gateway.example.evil/billing/v1/invoices"}, "address"),
        ({"htu": "https://[gateway/billing"}, "address"),
        ({"ath": None}, "token"),
        ({"ath": digest(b"another")}, "token"),
    ],
)
def test_a_claim_that_is_missing_or_wrong(changes, code):
    """Checks 3, 8, 9 and 12: every claim is there, of its type, and about this request and this token."""
    prover = Prover()
    assert problem(prover.proof("GET", URL, TOKEN, **changes), token=TOKEN, jkt=prover.jkt) == code


@pytest.mark.parametrize(
    ("header", "code"),
    [
        ({"typ": "JWT"}, "kind"),
        ({"typ": "at+jwt"}, "kind"),
        ({"jwk": None}, "key"),
        ({"jwk": "text"}, "key"),
        ({"jwk": {"kty": "oct", "k": "AAAA"}}, "key"),
        ({"crit": ["x"], "x": 1}, "critical"),
    ],
)
def test_a_header_that_is_none_of_a_proof(header, code):
    """Checks 4 and 5: its type, its key and nothing that is not understood."""
    assert problem(Prover().proof("GET", URL, header=header)) == code


def test_a_private_key_is_refused():
    """Check 7: a key that is known to all proves nothing."""
    prover = Prover()
    assert problem(prover.proof("GET", URL, header={"jwk": {**prover.jwk, "d": "AAAA"}})) == "key"


def test_a_symmetric_algorithm_is_refused():
    """Check 5: what both sides can make is no proof."""
    proof = jwt.encode({"jti": "a"}, "k" * 32, "HS256", headers={"typ": "dpop+jwt", "jwk": Prover().jwk})
    assert problem(proof) == "algorithm"


def test_a_signature_by_another_key_is_refused():
    """Check 6: the signature is by the key that the proof shows."""
    prover, other = Prover(), Prover()
    head, payload, _ = prover.proof("GET", URL).split(".")
    _, _, signature = other.proof("GET", URL).split(".")
    assert problem(f"{head}.{payload}.{signature}") == "signature"


def test_another_key_than_the_bound_one_is_refused():
    """Check 12, second half: the token is bound to another key, however good the proof is."""
    assert problem(Prover().proof("GET", URL, TOKEN), token=TOKEN, jkt=Prover().jkt) == "binding"


@pytest.mark.parametrize(
    ("text", "code"),
    [("", "form"), ("a.b", "form"), ("a.b.c.d", "form"), ("e30.e30.e30", "header"), ("x" * (PROOF_BYTES + 1), "size")],
)
def test_what_is_no_jwt(text, code):
    """Check 2: one well-formed JWT, of a bounded size."""
    assert problem(text) == code


def test_two_members_of_one_name_are_refused():
    """What two readers could read differently proves nothing."""
    prover = Prover()
    head, _, _ = prover.proof("GET", URL).split(".")
    twice = '{"jti":"a","jti":"b","htm":"GET","htu":"x","iat":1}'
    payload = dpop.urlsafe_b64encode(twice.encode()).rstrip(b"=").decode()
    assert problem(f"{head}.{payload}.AAAA") == "json"


@pytest.mark.parametrize(
    "spelled",
    [
        "HTTPS://Gateway.EXAMPLE:443/billing/v1/invoices",
        "https://gateway.example/billing/v1/invoices?limit=1",
        "https://gateway.example/billing/v1/invoices#part",
        "https://gateway.example/billing/x/../v1/./invoices",
        "https://gateway.example/billing/%76%31/invoices",
    ],
)
def test_one_address_in_other_spellings(spelled):
    """Check 9: query and fragment do not count, and the rest is compared as RFC 3986 §6.2 has it."""
    prover = Prover()
    assert ProofReader().read(prover.proof("GET", spelled).encode(), "GET", URL).jkt == prover.jkt


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("http://h", "http://h/"),
        ("http://h:80/a%2fb", "http://h/a%2Fb"),
        ("http://[::1]:8080/", "http://[::1]:8080/"),
        ("http://h/a/..", "http://h/"),
        ("http://h/../../a", "http://h/a"),
        ("ftp://h/", None),
        ("/path", None),
        ("http://h:x/", None),
        ("http://ü/", None),
    ],
)
def test_the_one_spelling_of_an_address(address, expected):
    """An address without a scheme of HTTP, or without a host, is none."""
    assert normal(address) == expected


def test_keys_of_proofs_are_remembered_only_so_often():
    """A client's key is read once, a false proof is never remembered, and there is an end to what is kept."""
    reader, prover = ProofReader(), Prover()
    forged = prover.proof("GET", URL)[:-4] + "AAAA"
    with pytest.raises(ProofProblem):
        reader.read(forged.encode(), "GET", URL)
    assert len(reader._keys) == 0
    for number in range(HEADERS_REMEMBERED + 2):
        reader.read(prover.proof("GET", URL, header={"x": number}).encode(), "GET", URL)
    assert len(reader._keys) == HEADERS_REMEMBERED
    assert json.dumps(prover.jwk["x"]) not in repr(reader)
