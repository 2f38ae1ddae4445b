"""Checklist line 5: an X.509-SVID with two URI names, a CA, and one of another trust domain's root are refused.

The package `spiffe` judges the SVIDs beside us.
"""

from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from fakes.spiffe import PATH, Svid, TrustDomain, usage
from spiffe import X509Svid

from gateway.http.tls_peer import PeerCertificate
from gateway.identity.identify import Identities, Minter
from gateway.identity.provider import MTLS_PEER_TYPE, PEER, IdentityRefusedError, Presented
from gateway.identity.providers.spiffe_x509 import Config, build
from gateway.model import AgentPattern


class Mesh:
    """Two trust domains that both are configured, each with its own bundle."""

    def __init__(self, folder: Path, tools: Any) -> None:
        now = tools.clock.now()
        self.acme, self.other = TrustDomain("acme.example", now), TrustDomain("other.example", now)
        minters = {}
        for domain in (self.acme, self.other):
            domain.write(folder / f"{domain.name}.json")
            rule = {"trust_domain": domain.name, "bundle": {"file": f"{domain.name}.json"}}
            provider = build(Config.model_validate(rule), domain.name, tools)
            minters[domain.name] = Minter(provider, (AgentPattern.parse(f"spiffe://{domain.name}/*"),))
        self.identities = Identities(minters)

    async def agent(self, svid: Svid) -> str:
        shown = Presented(PEER, MTLS_PEER_TYPE, certificate=PeerCertificate(svid.der, svid.above))
        return (await self.identities.identify(shown)).agent

    async def refusal(self, svid: Svid) -> str:
        with pytest.raises(IdentityRefusedError) as caught:
            await self.agent(svid)
        return caught.value.sentence


@pytest.fixture
def trusted(tmp_path: Path, tools: Any) -> Mesh:
    """Identities of both trust domains."""
    return Mesh(tmp_path, tools)


async def test_each_trust_domain_vouches_for_its_own(trusted: Mesh) -> None:
    """What follows differs from these in one thing only."""
    assert await trusted.agent(trusted.acme.x509_svid()) == f"spiffe://acme.example{PATH}"
    assert await trusted.agent(trusted.other.x509_svid(between=True)) == f"spiffe://other.example{PATH}"


async def test_two_uri_names_are_refused(trusted: Mesh) -> None:
    """Also if one of them is no SPIFFE ID, or both are the same; none is as bad."""
    good = f"spiffe://acme.example{PATH}"
    for names in ((good, "spiffe://acme.example/b"), (good, "https://acme.example"), (good, good)):
        assert "has 2 URI names" in await trusted.refusal(trusted.acme.x509_svid(*names))


async def test_a_certificate_that_signs_others_is_refused(trusted: Mesh) -> None:
    """CA identifies no workload, whatever its key usage says; nor does a root or an intermediate itself."""
    ca = trusted.acme.x509_svid(ca=True)
    assert "signs others (CA)" in await trusted.refusal(ca)
    both = trusted.acme.x509_svid(ca=True, use=usage(digital_signature=True, key_cert_sign=True))
    assert "signs others (CA)" in await trusted.refusal(both)
    root = Svid((trusted.acme.root,), trusted.acme.root_key)
    assert "no SPIFFE ID of a workload" in await trusted.refusal(root) or "signs others" in await trusted.refusal(root)


async def test_the_root_of_another_trust_domain_vouches_for_nobody_here(trusted: Mesh) -> None:
    """Though both are trusted: a bundle is for its own trust domain alone."""
    for between in (False, True):
        forged = trusted.other.x509_svid(f"spiffe://acme.example{PATH}", between=between)
        assert "does not verify against the trust bundle" in await trusted.refusal(forged)


async def test_a_trust_domain_that_nobody_configured_is_refused(trusted: Mesh, tools: Any) -> None:
    """Whoever has signed it."""
    third = TrustDomain("third.example", tools.clock.now())
    assert "no identity provider is configured for the trust domain" in await trusted.refusal(third.x509_svid())
    named = trusted.acme.x509_svid("spiffe://third.example/a")
    assert "no identity provider is configured for the trust domain" in await trusted.refusal(named)


@pytest.mark.parametrize(
    "name", ["spiffe://acme.example", "spiffe://acme.example/", "https://acme.example/a", "spiffe://acme.example/a/../b"]
)
async def test_the_name_is_a_workloads(trusted: Mesh, name: str) -> None:
    """A path, and a proper one."""
    assert "no SPIFFE ID of a workload" in await trusted.refusal(trusted.acme.x509_svid(name))


def test_what_we_accept_another_implementation_accepts_too() -> None:
    """The package `spiffe` takes the same certificates, and refuses a CA as well."""
    acme = TrustDomain("acme.example")
    svid = acme.x509_svid(between=True)
    theirs = X509Svid.parse_raw(b"".join((svid.der, *svid.above)), svid.key_der)
    assert str(theirs.spiffe_id) == f"spiffe://acme.example{PATH}"
    assert theirs.leaf.public_bytes(Encoding.DER) == svid.der
    wrong = acme.x509_svid(ca=True)
    with pytest.raises(Exception, match="CA"):
        X509Svid.parse_raw(wrong.der, wrong.key_der)
    assert isinstance(svid.chain[0], x509.Certificate)
