"""Makes TLS contexts of certificate files, or says which file is unfit and why; knows no connections and no configuration.

Both sides speak TLS 1.2 or 1.3 (RFC 9325), offer HTTP/1.1 alone by ALPN (RFC 7301), and neither compress nor renegotiate.
"""

import ssl
from collections.abc import Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

from gateway.http.tls_serving import ServingContext
from gateway.model import TlsFiles

if TYPE_CHECKING:
    from cryptography import x509

LARGEST_CHAIN: Final = 64 * 1024
"""The largest file of a certificate and its intermediates, in bytes."""
_SUITES: Final = "ECDHE+AESGCM:ECDHE+CHACHA20"
"""For TLS 1.2: forward secrecy and authenticated encryption (RFC 9325 §4.2). All suites of TLS 1.3 have both."""
_WEAK: Final = frozenset(("CA_KEY_TOO_SMALL", "CA_MD_TOO_WEAK", "EE_KEY_TOO_SMALL"))

Part = Literal["certificate", "key", "ca"]


class UnusableFileError(Exception):
    """A file that TLS cannot be spoken with. `part` says which; the text is a sentence that shows nothing of its content."""

    def __init__(self, part: Part, sentence: str) -> None:
        super().__init__(sentence)
        self.part: Final = part


def serving(files: TlsFiles, now: float, *, optional: bool = False, roots: Sequence[bytes] | None = None) -> ssl.SSLContext:
    """For those who call us. With a `ca` they must show a certificate of it, or may if it is `optional`.

    With `roots` (DER) they may show one of those too. Raises `UnusableFileError`.

    No tickets are given out, which would have to be guarded like keys and would let a client in without showing its
    certificate again. In TLS 1.2 a server also remembers sessions by itself and cannot be told not to, so those who have to
    show a certificate speak TLS 1.3.
    """
    context = ServingContext()
    _restrict(context)
    context.options |= ssl.OP_NO_TICKET
    context.num_tickets = 0
    context.set_ciphers(_SUITES)
    _load_pair(context, files, now)
    if files.ca is not None or roots is not None:
        context.verify_mode = ssl.CERT_OPTIONAL if optional or files.ca is None else ssl.CERT_REQUIRED
        context.minimum_version = ssl.TLSVersion.TLSv1_3
    if files.ca is not None:
        _load_authorities(context, files.ca)
    if roots is not None:
        context.own_authorities = tuple(context.get_ca_certs(binary_form=True))
        _add(context, roots)
    return context


def calling(files: TlsFiles, now: float) -> ssl.SSLContext:
    """For those whom we call: their chain and name are always verified, the name only where RFC 9525 puts it.

    `ca` is trusted instead of the system's certificates. Raises `UnusableFileError`.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    _restrict(context)
    context.hostname_checks_common_name = False
    if files.ca is None:
        context.load_default_certs(ssl.Purpose.SERVER_AUTH)
    else:
        _load_authorities(context, files.ca)
    if files.certificate is not None:
        _load_pair(context, files, now)
    return context


def ends(certificate: str) -> float:
    """When the first certificate in a file ends, in Unix seconds. Raises `UnusableFileError`."""
    return _first(certificate).not_valid_after_utc.timestamp()


def _restrict(context: ssl.SSLContext) -> None:
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION
    context.set_alpn_protocols(["http/1.1"])


def _load_pair(context: ssl.SSLContext, files: TlsFiles, now: float) -> None:
    certificate, key = files.certificate or "", files.key or ""
    first = _first(certificate)
    if first.not_valid_after_utc.timestamp() <= now:
        raise UnusableFileError("certificate", f"this certificate ended on {_day(first.not_valid_after_utc)}")
    if first.not_valid_before_utc.timestamp() > now:
        raise UnusableFileError("certificate", f"this certificate is not valid before {_day(first.not_valid_before_utc)}")
    try:
        context.load_cert_chain(certificate, key, password=_no_password)
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            raise UnusableFileError("key", "this key does not belong to the certificate") from None
        if error.reason in _WEAK:
            raise UnusableFileError("certificate", "this certificate or its key is too weak to be trusted") from None
        raise UnusableFileError("key", _NO_KEY) from None
    except (OSError, ValueError):
        raise UnusableFileError("key", _NO_KEY) from None


_NO_KEY: Final = "this is no readable file of a PEM private key without a password"
_NO_CERTIFICATES: Final = "this is no readable file of PEM certificates"


def _no_password() -> bytes:
    """Without this OpenSSL would ask for the password of an encrypted key on the terminal, and wait."""
    return b""


def _first(certificate: str) -> "x509.Certificate":
    """The certificate of the file itself; what follows are its intermediates (RFC 8446 §4.4.2)."""
    from cryptography import x509  # noqa: PLC0415 who has no certificates does not pay for what reads them

    try:
        with Path(certificate).open("rb") as file:
            text = file.read(LARGEST_CHAIN + 1)
        if len(text) <= LARGEST_CHAIN:
            return x509.load_pem_x509_certificates(text)[0]
    except (OSError, ValueError):
        pass
    raise UnusableFileError("certificate", _NO_CERTIFICATES)


def _load_authorities(context: ssl.SSLContext, ca: str) -> None:
    try:
        context.load_verify_locations(cafile=ca)
    except (OSError, ValueError):
        raise UnusableFileError("ca", _NO_CERTIFICATES) from None


def _add(context: ssl.SSLContext, roots: Sequence[bytes]) -> None:
    """Trust these too. They need not have signed themselves: whoever gave them out is trusted for each of them."""
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    if roots:
        context.load_verify_locations(cadata=b"".join(roots))


def _day(moment: datetime) -> str:
    return moment.astimezone(timezone.utc).date().isoformat()
