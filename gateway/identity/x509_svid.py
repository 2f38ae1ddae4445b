"""Verifies X.509-SVIDs against the roots of one trust domain; knows no connection, and not where the roots came from.

The handshake has verified the certificate already, but against all trust domains at once. Here it counts for the one that it
names, or for none (X.509-SVID §5). The system's certificates are never asked.
"""

from collections.abc import Sequence
from datetime import datetime, timezone
from functools import cache
from typing import TYPE_CHECKING, Final, NamedTuple, TypeVar

from gateway.http.tls_peer import DEEPEST, PeerCertificate
from gateway.spiffe import spiffe_id

if TYPE_CHECKING:
    from cryptography import x509
    from cryptography.x509 import verification

# What reads certificates is loaded with the first one: it takes megabytes, which others need not have.
E = TypeVar("E", bound="x509.ExtensionType")

_ID_BEGINS: Final = "spiffe://"


class CertificateProblem(Exception):
    """A certificate is not accepted; the text is a sentence that may be shown to its owner."""


class Leaf(NamedTuple):
    """A certificate that has the form of a workload's X.509-SVID; nothing says yet who has signed it."""

    id: str
    certificate: "x509.Certificate"

    @property
    def trust_domain(self) -> str:
        """The trust domain that the SPIFFE ID is of."""
        return trust_domain_of(self.id)


def trust_domain_of(agent: str) -> str:
    """The trust domain of a SPIFFE ID."""
    return agent.removeprefix(_ID_BEGINS).partition("/")[0]


def read_leaf(der: bytes) -> Leaf:
    """Read a certificate as that of a workload (X.509-SVID §2 to §4). Raises `CertificateProblem`."""
    from cryptography import x509  # noqa: PLC0415 see the first lines

    try:
        certificate = x509.load_der_x509_certificate(der)
        names = _extension(certificate, x509.SubjectAlternativeName)
        uris = [] if names is None else names.get_values_for_type(x509.UniformResourceIdentifier)
        if len(uris) != 1:
            raise CertificateProblem(f"the certificate has {len(uris)} URI names; an X.509-SVID has exactly one")
        _check_use(certificate)
    except ValueError:
        raise CertificateProblem("the certificate cannot be read") from None
    try:
        return Leaf(spiffe_id(uris[0]), certificate)
    except ValueError as error:
        raise CertificateProblem(f"the URI name of the certificate is no SPIFFE ID of a workload: {error}") from None


def verify_svid(shown: PeerCertificate, roots: Sequence[bytes], now: float) -> float:
    """Verify the chain up to one of `roots` (DER) at `now`, in Unix seconds; returns when the first of it ends.

    Raises `CertificateProblem`.
    """
    return verify_chain(shown, roots, now, "the trust bundle")


def verify_chain(shown: PeerCertificate, roots: Sequence[bytes], now: float, anchor: str) -> float:
    """The same for a certificate of any kind; `anchor` says what `roots` are, for the sentence."""
    from cryptography import x509  # noqa: PLC0415 see the first lines
    from cryptography.x509 import verification  # noqa: PLC0415 the same

    try:
        above = [x509.load_der_x509_certificate(root) for root in roots]
        # A store would take any certificate in it for verified, also one that is no authority.
        above = [root for root in above if _signs(root)]
        if not above:
            raise CertificateProblem(f"{anchor} holds no certificate to verify with")
        store = verification.Store(above)
        leaf = x509.load_der_x509_certificate(shown.leaf)
        between = [x509.load_der_x509_certificate(each) for each in shown.intermediates]
        verifier = (
            verification.PolicyBuilder()
            .store(store)
            .time(datetime.fromtimestamp(now, timezone.utc))
            .max_chain_depth(DEEPEST)
            .extension_policies(ca_policy=_signing(), ee_policy=verification.ExtensionPolicy.permit_all())
            .build_client_verifier()
        )
        chain = verifier.verify(leaf, between).chain
    except (verification.VerificationError, ValueError):
        raise CertificateProblem(f"the certificate does not verify against {anchor}, or is not valid now") from None
    return min(each.not_valid_after_utc.timestamp() for each in chain)


def _check_use(certificate: "x509.Certificate") -> None:
    from cryptography import x509  # noqa: PLC0415 see the first lines
    from cryptography.x509.oid import ExtendedKeyUsageOID  # noqa: PLC0415 the same

    if _signs(certificate):
        raise CertificateProblem("the certificate is one that signs others (CA), and those identify no workload")
    use = _extension(certificate, x509.KeyUsage)
    if use is None or not use.digital_signature or use.key_cert_sign or use.crl_sign:
        raise CertificateProblem("the key usage of an X.509-SVID is digitalSignature, and neither keyCertSign nor cRLSign")
    extended = _extension(certificate, x509.ExtendedKeyUsage)
    if extended is not None and ExtendedKeyUsageOID.CLIENT_AUTH not in extended:
        raise CertificateProblem("the extended key usage of the certificate does not hold clientAuth")


def _signs(certificate: "x509.Certificate") -> bool:
    """Whether it is of an authority."""
    from cryptography import x509  # noqa: PLC0415 see the first lines

    constraints = _extension(certificate, x509.BasicConstraints)
    return constraints is not None and constraints.ca


def _extension(certificate: "x509.Certificate", kind: type[E]) -> E | None:
    from cryptography import x509  # noqa: PLC0415 see the first lines

    try:
        return certificate.extensions.get_extension_for_class(kind).value
    except x509.ExtensionNotFound:
        return None
    except x509.DuplicateExtension:
        raise ValueError("duplicate extension") from None


def _must_sign(_policy: "verification.Policy", _certificate: "x509.Certificate", constraints: "x509.BasicConstraints") -> None:
    if not constraints.ca:
        raise ValueError("not a CA")


def _may_sign(_policy: "verification.Policy", _certificate: "x509.Certificate", use: "x509.KeyUsage | None") -> None:
    if use is not None and not use.key_cert_sign:
        raise ValueError("not for signing certificates")


@cache
def _signing() -> "verification.ExtensionPolicy":
    """What signs has cA and, where a key usage stands, keyCertSign (X.509-SVID §4).

    The library checks signatures, dates, path lengths and name constraints in any case.
    """
    from cryptography import x509  # noqa: PLC0415 see the first lines
    from cryptography.x509.verification import Criticality, ExtensionPolicy  # noqa: PLC0415 the same

    return (
        ExtensionPolicy.permit_all()
        .require_present(x509.BasicConstraints, Criticality.AGNOSTIC, _must_sign)
        .may_be_present(x509.KeyUsage, Criticality.AGNOSTIC, _may_sign)
    )
