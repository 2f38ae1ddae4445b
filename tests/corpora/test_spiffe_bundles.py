"""The trust bundles and X.509-SVIDs that go-spiffe tests itself with, through the real path."""

from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from gateway.identity.kept import ContentProblem
from gateway.identity.spiffe_bundle import ALGORITHMS, read_bundle
from gateway.identity.x509_svid import CertificateProblem, read_leaf

GOOD = {
    "bundle/jwtbundle/testdata/jwks_valid_1.json": (1, 0),
    "bundle/jwtbundle/testdata/jwks_valid_2.json": (2, 0),
    "bundle/spiffebundle/testdata/spiffebundle_valid_1.json": (1, 1),
    "bundle/spiffebundle/testdata/spiffebundle_valid_2.json": (6, 1),
    # Keys for WIT-SVIDs are of another use, and vouch for nothing here.
    "bundle/spiffebundle/testdata/spiffebundle_valid_with_wit.json": (2, 1),
    # Of several certificates in one entry the first counts (SPIFFE Trust Domain and Bundle §4.2.3); go-spiffe is stricter.
    "bundle/spiffebundle/testdata/spiffebundle_multiple_x509.json": (1, 1),
}
BAD = {
    "bundle/jwtbundle/testdata/jwks_missing_kid.json": "has no kid",
    "bundle/spiffebundle/testdata/spiffebundle_missing_kid.json": "has no kid",
    "bundle/spiffebundle/testdata/spiffebundle_no_keys.json": "no list of keys",
    "svid/x509svid/testdata/not-pem": "neither one JSON object",
    "svid/x509svid/testdata/corrupt-cert.pem": "PEM certificates cannot be read",
}
LEAVES = {
    "good-leaf-only.pem": None,
    "good-leaf-and-intermediate.pem": None,
    "good-cert-and-key.pem": None,
    "good-key-and-cert.pem": None,
    "wrong-leaf-ca-true.pem": "signs others",
    "wrong-leaf-cert-sign.pem": "key usage",
    "wrong-leaf-crl-sign.pem": "key usage",
    "wrong-leaf-no-digital-signature.pem": "key usage",
    "wrong-leaf-empty-id.pem": "exactly one",
}


@pytest.mark.parametrize("name", GOOD)
def test_a_good_bundle_is_read(corpora: Path, name: str) -> None:
    """With as many keys and certificates as it holds."""
    bundle = read_bundle((corpora / "spiffe" / name).read_bytes(), "domain.test", ALGORITHMS)
    assert (len(bundle.keys), len(bundle.roots)) == GOOD[name]


@pytest.mark.parametrize("name", BAD)
def test_a_bad_bundle_is_refused_as_a_whole(corpora: Path, name: str) -> None:
    """Nobody can say what else of it is meant."""
    with pytest.raises(ContentProblem, match=BAD[name]):
        read_bundle((corpora / "spiffe" / name).read_bytes(), "domain.test", ALGORITHMS)


@pytest.mark.parametrize("name", LEAVES)
def test_a_leaf_is_judged_as_it_says(corpora: Path, name: str) -> None:
    """What go-spiffe takes for a workload's certificate is one here, and nothing else is."""
    text = (corpora / "spiffe/svid/x509svid/testdata" / name).read_bytes()
    der = x509.load_pem_x509_certificates(text)[0].public_bytes(Encoding.DER)
    complaint = LEAVES[name]
    if complaint is None:
        assert read_leaf(der).trust_domain == "example.org"
        return
    with pytest.raises(CertificateProblem, match=complaint):
        read_leaf(der)
