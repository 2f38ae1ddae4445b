"""What `doorward check` says of TLS: files that cannot be used and addresses that say something else, with their places."""

import os
import pwd
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, PrivateFormat, load_pem_private_key
from fakes.certificates import Certificates

from gateway.clock import Clock
from gateway.errors import ConfigurationError
from gateway.http.tls_context import LARGEST_CHAIN
from gateway.model import NO_FILES, TlsFiles
from gateway.settings.compile import compile_configuration
from gateway.settings.compiled import Compiled
from gateway.settings.load import load_text

USER = pwd.getpwuid(os.getuid()).pw_name
NOW = Clock().now()
TODAY, LATER = Clock().stamp(NOW)[:10], Clock().stamp(NOW + 90 * 86_400)[:10]
BASE = f"""version: 1
tenant: acme
gateway: {{listen: [127.0.0.1:8080], tls: {{certificate: own.pem, key: own.key, client_ca: ca.pem}}}}
authority: {{issuer: 'https://doorward.test', tls: {{certificate: own.pem, key: own.key}}}}
identities: {{host: {{unix: {{users: {{{USER}: spiffe://acme.example/host/me}}}}, same_user: true}}}}
upstreams:
  billing:
    url: https://api.billing.example
    credential: key
    tls: {{ca: ca.pem, client_certificate: own.pem, client_key: own.key}}
credentials:
  key:
    secret: {{file: secret}}
    inject: {{header: X-Api-Key}}
    exception: {{owner: payments, reason: legacy, expires: {LATER}, review_every: 30d, reviewed: {TODAY}}}
intents:
  invoices.read: {{upstream: billing, operations: [GET /v1/invoices]}}
grants:
  - {{name: reads, agents: [spiffe://acme.example/host/me], intents: [invoices.read]}}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Holds an authority, a good pair, and one of each kind that is not good."""
    certificates = Certificates(tmp_path)
    certificates.write("own", "doorward.test")
    certificates.write("ended", "doorward.test", ends_in=-timedelta(hours=1))
    certificates.write("soon", "doorward.test", ends_in=timedelta(days=3, hours=1))
    (tmp_path / "empty.pem").touch()
    (tmp_path / "huge.pem").write_bytes(b"#" * LARGEST_CHAIN + b"\n" + (tmp_path / "own.pem").read_bytes())
    key = load_pem_private_key((tmp_path / "own.key").read_bytes(), None)
    locked = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"hunter2"))
    (tmp_path / "locked.key").write_bytes(locked)
    (tmp_path / "both.pem").write_bytes((tmp_path / "own.key").read_bytes() + (tmp_path / "own.pem").read_bytes())
    return tmp_path


def compiled(folder: Path, text: str = BASE, now: float = NOW) -> Compiled:
    return compile_configuration(load_text(text, folder / "doorward.yaml", {}), now)


def flaws(folder: Path, text: str, now: float = NOW) -> list[str]:
    with pytest.raises(ConfigurationError) as caught:
        compiled(folder, text, now)
    return [f"{flaw.line}:{flaw.column}: {flaw.message}" for flaw in caught.value.flaws]


def test_good_files_are_named_by_their_whole_paths(folder: Path) -> None:
    """And nothing is warned of."""
    made = compiled(folder)
    assert made.upstreams["billing"].tls == TlsFiles(*(str(folder / name) for name in ("own.pem", "own.key", "ca.pem")))
    assert made.warnings == ()
    plain = BASE.replace("    tls: {ca: ca.pem, client_certificate: own.pem, client_key: own.key}\n", "")
    assert compiled(folder, plain).upstreams["billing"].tls == NO_FILES


def test_one_file_may_hold_certificate_and_key(folder: Path) -> None:
    """As some programs that renew them write it."""
    assert compiled(folder, BASE.replace("own.pem", "both.pem").replace("own.key", "both.pem")).warnings == ()


PAIR = "certificate: own.pem, key: own.key, client_ca: ca.pem"
UNREADABLE = "this is no readable file of PEM certificates"
NO_KEY = "this is no readable file of a PEM private key without a password"


@pytest.mark.parametrize(
    ("right", "wrong", "told"),
    [
        ("own.pem", "gone.pem", f"3:56: {UNREADABLE}"),
        ("own.pem", "empty.pem", f"3:56: {UNREADABLE}"),
        ("own.pem", "own.key", f"3:56: {UNREADABLE}"),
        ("own.pem", "huge.pem", f"3:56: {UNREADABLE}"),
        ("own.key", "gone.key", f"3:70: {NO_KEY}"),
        ("own.key", "own.pem", f"3:70: {NO_KEY}"),
        ("own.key", "locked.key", f"3:70: {NO_KEY}"),
        ("own.key", "ended.key", "3:70: this key does not belong to the certificate"),
        ("client_ca: ca.pem", "client_ca: empty.pem", f"3:90: {UNREADABLE}"),
        ("certificate: own.pem, key: own.key", "certificate: ended.pem, key: ended.key", "3:56: this certificate ended on "),
    ],
)
def test_a_file_that_cannot_be_used_is_a_flaw(folder: Path, right: str, wrong: str, told: str) -> None:
    """With the place of the very file, and without asking for a password."""
    (found,) = flaws(folder, BASE.replace(right, wrong, 1))
    assert found.startswith(told)
    assert "hunter2" not in found


def test_a_certificate_of_the_future_is_a_flaw(folder: Path) -> None:
    """Nobody would accept it yet."""
    found = flaws(folder, BASE, NOW - 3 * 86_400)
    assert "3:56: this certificate is not valid before " in "\n".join(found)


@pytest.mark.parametrize(
    ("right", "wrong", "told"),
    [
        ("ca: ca.pem, client_cert", "ca: gone.pem, client_cert", f"10:15: {UNREADABLE}"),
        ("client_certificate: own.pem", "client_certificate: empty.pem", f"10:43: {UNREADABLE}"),
        ("client_key: own.key", "client_key: ended.key", "10:64: this key does not belong to the certificate"),
        ("url: https://api", "url: http://api", "10:5: nothing of this is used, for the upstream's url begins with http://"),
        ("issuer: 'https://doorward.test'", "listen: ['unix:a.sock']", "4:38: nothing of this is used: `listen` names only"),
        ("issuer: 'https://", "issuer: 'http://", "4:21: with authority.tls this address begins with https://"),
        ("{listen: [127.0.0.1:8080]", "{url: 'http://gate.test'", "3:16: with gateway.tls this address begins with https://"),
    ],
)
def test_what_contradicts_itself_is_a_flaw(folder: Path, right: str, wrong: str, told: str) -> None:
    """TLS that would not be spoken although it is written is worse than none."""
    assert right in BASE
    (found, *_) = flaws(folder, BASE.replace(right, wrong, 1))
    assert found.startswith(told)


def test_with_tls_the_address_of_the_gateway_is_https(folder: Path) -> None:
    """When it is left out, so that agents are never told an address that does not answer."""
    for text, scheme in ((BASE, "https"), (BASE.replace(f", tls: {{{PAIR}}}", ""), "http")):
        assert load_text(text, folder / "doorward.yaml", {}).document.gateway.url == f"{scheme}://127.0.0.1:8080"


def test_an_https_address_without_tls_needs_something_in_front(folder: Path) -> None:
    """That is a warning with its place, for a load balancer may be there."""
    text = BASE.replace(f", tls: {{{PAIR}}}", ", url: 'https://gate.test'")
    (warning,) = compiled(folder, text).warnings
    assert warning.startswith("line 3, column 42: gateway.url begins with https://, but there is no gateway.tls;")


def test_a_certificate_that_ends_soon_is_a_warning(folder: Path) -> None:
    """For each place that names it."""
    (warning,) = compiled(folder, BASE.replace("own.pem", "soon.pem", 1).replace("own.key", "soon.key", 1)).warnings
    assert warning == "gateway.tls: its certificate ends within 4 days"


def test_a_key_of_tls_is_no_other_file(folder: Path) -> None:
    """Two sides may share it; the audit log may not write into it."""
    text = BASE + "audit: {checkpoint: {key: {file: own.key}}}\n"
    assert any("would be one file" in flaw for flaw in flaws(folder, text))
