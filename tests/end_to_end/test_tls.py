"""`doorward serve` with TLS on both sides, seen by curl and by a client of the standard library; nothing in it is faked."""

import hashlib
import http.server
import shutil
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from fakes.certificates import Certificates
from fakes.installation import SECRET, Installation

TLS = "\n  tls: {certificate: own.pem, key: own.key, client_ca: ca.pem}"


def digest(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()


class Upstream(http.server.BaseHTTPRequestHandler):
    """Answers with the digest of the key that it got; the key itself would be masked."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        told = digest(self.headers["X-Api-Key"]).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(told)))
        self.end_headers()
        self.wfile.write(told)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def upstream(tmp_path: Path) -> Iterator[Certificates]:
    """An API over TLS that wants a certificate, on the port that the installation knows; the authority of all of them."""
    certificates = Certificates(tmp_path)
    certificates.write("own", "127.0.0.1")
    certificates.write("agent", "agent.test")
    return certificates


def secured(certificates: Certificates) -> tuple[Installation, http.server.ThreadingHTTPServer]:
    """A folder with a configuration for TLS on both sides, and the upstream."""
    made = Installation(certificates.folder)
    made.initialise()
    server = http.server.ThreadingHTTPServer(("127.0.0.1", made.upstream_port), Upstream)
    context = certificates.upstream(certificates.issue("127.0.0.1"), asks=True)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    file = certificates.folder / "doorward.yaml"
    text = file.read_text()
    url = f"http://127.0.0.1:{made.port}"
    assert url in text
    text = text.replace(url, f"https://127.0.0.1:{made.port}{TLS}")
    there = f"url: http://127.0.0.1:{made.upstream_port}"
    assert there in text
    shown = "tls: {ca: ca.pem, client_certificate: agent.pem, client_key: agent.key}"
    file.write_text(text.replace(there, f"url: https://127.0.0.1:{made.upstream_port}\n    {shown}"))
    return made, server


def curl(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    program = shutil.which("curl")
    assert program is not None
    return subprocess.run([program, "-sS", "--max-time", "20", *words], cwd=folder, capture_output=True, text=True, check=False)


def shown(folder: Path, port: int) -> str:
    """The serial number of the certificate that is shown to a new connection."""
    context = ssl.create_default_context(cafile=str(folder / "ca.pem"))
    context.load_cert_chain(folder / "agent.pem", folder / "agent.key")
    with socket.create_connection(("127.0.0.1", port), 10) as tcp, context.wrap_socket(tcp, server_hostname="127.0.0.1") as tls:
        return str(tls.getpeercert()["serialNumber"])


def test_tls_on_both_sides(upstream: Certificates) -> None:
    """A request from curl to the API and back; who has no certificate or no TLS stays outside; new files are picked up."""
    installation, server = secured(upstream)
    folder = installation.folder
    try:
        installation.serve()
        place = f"https://127.0.0.1:{installation.port}/billing/v1/invoices"
        lines = ["-H", f"Authorization: Bearer {installation.token()}", "-H", "Agent-Intent: billing.read"]
        own = ["--cacert", "ca.pem", "--cert", "agent.pem", "--key", "agent.key"]
        assert curl(folder, place, *lines, *own).stdout == digest(SECRET)
        assert "HTTP/1.1 401" in curl(folder, "-i", "--http2", place, *own).stdout
        assert curl(folder, place, *lines, "--cacert", "ca.pem").returncode != 0
        assert curl(folder, place, *lines).returncode == 60
        assert curl(folder, place.replace("https", "http"), *lines).returncode != 0
        assert curl(folder, place, *lines, *own, "--tls-max", "1.1").returncode != 0
        before = shown(folder, installation.port)
        upstream.write("own", "127.0.0.1")
        for _ in range(200):
            if shown(folder, installation.port) != before:
                break
            time.sleep(0.1)
        assert shown(folder, installation.port) != before
        assert curl(folder, place, *lines, *own).stdout == digest(SECRET)
        assert installation.end() == 0
    finally:
        installation.stop()
        server.shutdown()
        server.server_close()
    allowed = [record for record in installation.records() if record["type"] == "request" and record["decision"] == "allow"]
    assert len(allowed) == 2
    log = (folder / "serve.log").read_text()
    assert "tls_files_read" in log
    assert SECRET not in log


def test_an_ended_certificate_is_a_mistake_with_its_place(upstream: Certificates) -> None:
    """`doorward check` and `doorward serve` say so, and nothing is started."""
    installation, server = secured(upstream)
    server.server_close()
    upstream.write("own", "127.0.0.1", ends_in=-timedelta(hours=1))
    for command in ("check", "serve"):
        done = installation.doorward(command, check=False)
        assert done.returncode == 1
        assert "doorward.yaml:" in done.stderr
        assert "this certificate ended on" in done.stderr
