"""Workloads known by an X.509-SVID: whose roots count, how they change, and what a certificate may be for."""

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from fakes.spiffe import PATH, Svid, TrustDomain, usage

from gateway.http.tls_peer import PeerCertificate
from gateway.identity.provider import MTLS_PEER_TYPE, PEER, IdentityRefusedError, Presented, Provider, Tools
from gateway.identity.providers.spiffe_x509 import Config, build
from gateway.identity.x509_svid import CertificateProblem, verify_svid

Make = Callable[..., Provider]


@pytest.fixture
def acme(clock: Any) -> TrustDomain:
    """A trust domain whose clock is that of the test."""
    return TrustDomain("acme.example", clock.now())


@pytest.fixture
def make(acme: TrustDomain, tools: Tools, tmp_path: Path) -> Make:
    """Build a provider for it, with its bundle in a file, and some of its configuration replaced."""
    acme.write(tmp_path / "bundle.json")
    basis = {"trust_domain": acme.name, "bundle": {"file": "bundle.json"}}
    return lambda **other: build(Config.model_validate({**basis, **other}), "mtls", tools)


def shown(svid: Svid, token: str | None = PEER) -> Presented:
    return Presented(token, MTLS_PEER_TYPE, certificate=PeerCertificate(svid.der, svid.above))


async def refusal(provider: Provider, presented: Presented) -> str:
    with pytest.raises(IdentityRefusedError) as caught:
        await provider.verify(presented)
    return caught.value.sentence


async def test_a_good_svid_names_its_workload(make: Make, acme: TrustDomain, clock: Any) -> None:
    """By its one URI; the identity ends with the certificate."""
    identity = await make().verify(shown(acme.x509_svid()))
    assert (identity.agent, identity.provider) == (f"spiffe://acme.example{PATH}", "mtls")
    assert identity.expires == clock.now() + 3600


async def test_an_intermediate_may_stand_between(make: Make, acme: TrustDomain, clock: Any) -> None:
    """And the identity ends with the first certificate of the chain that does."""
    assert await make().verify(shown(acme.x509_svid(between=True)))
    identity = await make().verify(shown(acme.x509_svid(between=True, lasts=timedelta(days=300))))
    assert identity.expires == clock.now() + 30 * 86_400


async def test_what_only_signed_itself_into_the_chain_is_refused(make: Make, acme: TrustDomain) -> None:
    """An intermediate that may sign nothing."""
    assert "does not verify against the trust bundle" in await refusal(
        make(), shown(acme.x509_svid(between=True, between_ca=False))
    )


async def test_a_bundle_that_changes_counts_at_once(make: Make, acme: TrustDomain, tmp_path: Path) -> None:
    """On connections that are open too: the certificate is verified anew each time."""
    provider, old = make(), acme.x509_svid()
    assert await provider.verify(shown(old))
    acme.rotate()
    acme.write(tmp_path / "bundle.json")
    assert "does not verify" in await refusal(provider, shown(old))
    assert await provider.verify(shown(acme.x509_svid()))
    assert provider.roots() == (acme.root_der,)
    (tmp_path / "bundle.json").write_text('{"keys": []}')
    assert "holds no certificate to verify with" in await refusal(provider, shown(acme.x509_svid()))
    assert provider.roots() == ()


async def test_a_certificate_ends(make: Make, acme: TrustDomain, clock: Any) -> None:
    """By the clock, though the connection has been open since before."""
    provider, svid = make(), acme.x509_svid()
    assert await provider.verify(shown(svid))
    clock.seconds += 3601
    assert "is not valid now" in await refusal(provider, shown(svid))


async def test_roots_may_come_as_pem(make: Make, acme: TrustDomain, tmp_path: Path) -> None:
    """As an agent writes them to disk."""
    (tmp_path / "bundle.pem").write_bytes(acme.root.public_bytes(Encoding.PEM))
    assert await make(bundle={"file": "bundle.pem"}).verify(shown(acme.x509_svid()))


async def test_nothing_but_a_certificate_is_taken(make: Make, acme: TrustDomain) -> None:
    """Without TLS there is none, and a token beside it would be passed over in silence."""
    assert "only accepted with a client certificate" in await refusal(make(), Presented(PEER, MTLS_PEER_TYPE))
    assert "the token is the word peer" in await refusal(make(), shown(acme.x509_svid(), "something else"))
    garbage = Presented(PEER, MTLS_PEER_TYPE, certificate=PeerCertificate(b"garbage", ()))
    assert await refusal(make(), garbage) == "the certificate cannot be read"


async def test_garbage_beside_the_certificate_is_refused(make: Make, acme: TrustDomain) -> None:
    """Whatever else a client sends decides nothing and breaks nothing."""
    svid = acme.x509_svid()
    presented = Presented(PEER, MTLS_PEER_TYPE, certificate=PeerCertificate(svid.der, (b"garbage",)))
    assert "does not verify" in await refusal(make(), presented)


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"use": usage(digital_signature=True, key_cert_sign=True)}, "key usage"),
        ({"use": usage(digital_signature=True, crl_sign=True)}, "key usage"),
        ({"use": usage(key_agreement=True)}, "key usage"),
        ({"extended": [x509.oid.ExtendedKeyUsageOID.SERVER_AUTH]}, "does not hold clientAuth"),
    ],
)
async def test_a_certificate_for_something_else_is_refused(
    make: Make, acme: TrustDomain, wrong: dict[str, Any], told: str
) -> None:
    """X.509-SVID §4.3 and §4.4."""
    assert told in await refusal(make(), shown(acme.x509_svid(**wrong)))


async def test_extended_usage_may_be_left_out(make: Make, acme: TrustDomain) -> None:
    """X.509-SVID §4.4: it should be there, and need not."""
    assert await make().verify(shown(acme.x509_svid(extended=[])))


def test_a_root_that_may_sign_nothing_vouches_for_nobody(acme: TrustDomain, clock: Any) -> None:
    """Not even for itself: a workload's certificate in a bundle is no root."""
    svid = acme.x509_svid()
    with pytest.raises(CertificateProblem, match="holds no certificate to verify with"):
        verify_svid(PeerCertificate(svid.der, ()), [svid.der], clock.now())


def test_a_bundle_without_roots_is_a_mistake(make: Make, acme: TrustDomain, tmp_path: Path) -> None:
    """When the configuration is read."""
    (tmp_path / "bundle.json").write_text(f'{{"keys": [{{"kid": "a", "kty": "EC"}}], "x": "{acme.name}"}}')
    with pytest.raises(ValueError, match=r"holds no certificate for X\.509-SVIDs of acme\.example"):
        make()
