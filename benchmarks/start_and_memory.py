"""How long until a proxy that was just started answers, and how much memory does it hold then and for idle connections? Knows no load."""

import http.client
import socket
import ssl
import time

import trustme

from benchmarks.scenario import Column, Figures, Scenario, Stage
from benchmarks.scene import Peer

IDLE = 2000
IDLE_TLS = 500
"""Fewer, so that the first is still open after the last handshake on a busy machine."""
PATH = "/v1/items/1?page=1"
PATIENCE = 30.0
EVERYBODY = ("doorward", "envoy", "haproxy", "nginx", "mitmproxy", "aiohttp")
FRESH = Stage(started=False)


def start_up(peer: Peer, _seconds: int) -> Figures:
    """From exec to the first 200, asked for every other millisecond."""
    begun = time.perf_counter()
    peer.launch()
    try:
        while _status(peer) != 200:
            assert time.perf_counter() - begun < PATIENCE, f"{peer.name} does not answer: {peer.scene.said(peer.name)}"
            time.sleep(0.002)
        taken = time.perf_counter() - begun
        return {"start_ms": round(taken * 1000, 1), "cpu_ms": round(peer.cpu_seconds() * 1000)}
    finally:
        peer.stop()


def _status(peer: Peer) -> int | None:
    connection = http.client.HTTPConnection("127.0.0.1", peer.port, timeout=10)
    try:
        connection.request("GET", peer.prefix + PATH, headers=peer.headers())
        return connection.getresponse().status
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()


def idle_memory(peer: Peer, _seconds: int) -> Figures:
    """Resident memory after one request, and what it grows by for each idle connection that has made one."""
    peer.start()
    opened: list[socket.socket] = []
    try:
        assert _status(peer) == 200
        time.sleep(0.5)
        at_start = peer.resident_kib()
        head = peer.head(PATH).encode()
        opened.extend(_ask_once(peer.port, head) for _ in range(IDLE))
        time.sleep(0.5)
        grown = peer.resident_kib() - at_start
        assert all(map(_is_open, opened)), "an idle connection was ended"
        return {"start_mib": round(at_start / 1024, 1), "idle_kib": round(grown / IDLE, 2)}
    finally:
        for each in opened:
            each.close()
        peer.stop()


def idle_memory_of_tls(peer: Peer, _seconds: int) -> Figures:
    """The same over TLS 1.3, with a certificate of P-256; what grows is the gateway's side of each connection."""
    authority = trustme.CA(key_type=trustme.KeyType.ECDSA)
    leaf = authority.issue_cert("127.0.0.1", key_type=trustme.KeyType.ECDSA)
    leaf.cert_chain_pems[0].write_to_path(str(peer.scene.folder / "tls.pem"))
    leaf.private_key_pem.write_to_path(str(peer.scene.folder / "tls.key"))
    plain = peer.scene.folder / peer.name / "doorward.yaml"
    secured = plain.with_name("secured.yaml")
    listen = f'listen: ["127.0.0.1:{peer.port}"]'
    tls = f'{listen}, url: "https://127.0.0.1:{peer.port}", tls: {{certificate: ../tls.pem, key: ../tls.key}}'
    secured.write_text(plain.read_text().replace(listen, tls))
    context = ssl.create_default_context()
    authority.configure_trust(context)
    words, peer.words = peer.words, [*peer.words[:-1], str(secured)]
    opened: list[socket.socket] = []
    try:
        peer.start()
        head = peer.head(PATH).encode()
        opened.append(_ask_once(peer.port, head, context))
        time.sleep(0.5)
        before = peer.resident_kib()
        opened.extend(_ask_once(peer.port, head, context) for _ in range(IDLE_TLS))
        time.sleep(0.5)
        grown = peer.resident_kib() - before
        assert all(map(_is_open, opened)), "an idle connection was ended"
        return {"idle_kib": round(grown / IDLE_TLS, 2), "start_mib": round(before / 1024, 1)}
    finally:
        for each in opened:
            each.close()
        peer.stop()
        peer.words = words


def _is_open(connection: socket.socket) -> bool:
    connection.settimeout(0)
    try:
        return len(connection.recv(1)) > 0
    except (BlockingIOError, ssl.SSLWantReadError):
        return True


def _ask_once(port: int, head: bytes, tls: ssl.SSLContext | None = None) -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", port), timeout=10)
    if tls is not None:
        connection = tls.wrap_socket(connection, server_hostname="127.0.0.1")
    connection.sendall(head)
    seen = b""
    while b"\r\n\r\n" not in seen or len(seen) - seen.index(b"\r\n\r\n") - 4 < 1024:
        part = connection.recv(65536)
        assert part, "an idle connection was ended"
        seen += part
    assert seen.startswith(b"HTTP/1.1 200"), seen[:100]
    return connection


SCENARIOS = (
    Scenario(
        "start-up",
        "From exec to the first 200",
        EVERYBODY,
        start_up,
        (Column("start_ms", "ms"), Column("cpu_ms", "CPU ms")),
        stage=FRESH,
    ),
    Scenario(
        "idle-memory",
        f"Resident memory after one request, and for each of {IDLE:,} idle connections that made one",
        EVERYBODY,
        idle_memory,
        (Column("idle_kib", "KiB a connection", 1), Column("start_mib", "MiB at start", 1)),
        stage=FRESH,
        repeats=3,
    ),
    Scenario(
        "idle-memory-tls",
        f"Resident memory for each of {IDLE_TLS:,} idle TLS connections that made one request",
        ("doorward",),
        idle_memory_of_tls,
        (Column("idle_kib", "KiB a connection", 1), Column("start_mib", "MiB with one", 1)),
        stage=FRESH,
        repeats=3,
    ),
)
