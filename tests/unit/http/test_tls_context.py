"""What every TLS context of ours has in common, and what only one side has; no connection is made."""

import ssl
from collections.abc import Callable
from pathlib import Path

import pytest
from fakes.certificates import Certificates

from gateway.clock import Clock
from gateway.http.tls_context import calling, serving
from gateway.model import NO_FILES, TlsFiles

NOW = Clock().now()


@pytest.mark.parametrize("make", [serving, calling])
def test_old_versions_compression_and_renegotiation_are_off(
    tmp_path: Path, make: Callable[[TlsFiles, float], ssl.SSLContext]
) -> None:
    """On both sides, whatever the library's defaults are or become; who has to show a certificate speaks TLS 1.3."""
    Certificates(tmp_path).write("own", "x.test")
    context = make(TlsFiles(*(str(tmp_path / name) for name in ("own.pem", "own.key", "ca.pem"))), NOW)
    assert context.minimum_version == (ssl.TLSVersion.TLSv1_2 if make is calling else ssl.TLSVersion.TLSv1_3)
    assert context.options & ssl.OP_NO_COMPRESSION
    assert context.options & ssl.OP_NO_RENEGOTIATION
    assert context.verify_mode == ssl.CERT_REQUIRED


def test_a_client_that_need_not_show_a_certificate_speaks_tls_1_3_too(tmp_path: Path) -> None:
    """Another one may show it, and no session may stand for it."""
    Certificates(tmp_path).write("own", "x.test")
    context = serving(TlsFiles(*(str(tmp_path / name) for name in ("own.pem", "own.key", "ca.pem"))), NOW, optional=True)
    assert (context.verify_mode, context.minimum_version) == (ssl.CERT_OPTIONAL, ssl.TLSVersion.TLSv1_3)


def test_an_upstream_is_verified_by_its_name_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Against the system's certificates if there is nothing else; and no environment variable makes us write down keys."""
    monkeypatch.setenv("SSLKEYLOGFILE", str(tmp_path / "keys"))
    context = calling(NO_FILES, NOW)
    assert (context.check_hostname, context.verify_mode) == (True, ssl.CERT_REQUIRED)
    assert not context.hostname_checks_common_name
    assert context.keylog_filename is None
    assert context.cert_store_stats() == ssl.create_default_context().cert_store_stats()


def test_a_listener_gives_out_no_tickets(tmp_path: Path) -> None:
    """Neither of TLS 1.2 nor of 1.3."""
    Certificates(tmp_path).write("own", "x.test")
    context = serving(TlsFiles(str(tmp_path / "own.pem"), str(tmp_path / "own.key")), NOW)
    assert (context.num_tickets, bool(context.options & ssl.OP_NO_TICKET)) == (0, True)
    assert (context.verify_mode, context.minimum_version) == (ssl.CERT_NONE, ssl.TLSVersion.TLSv1_2)
