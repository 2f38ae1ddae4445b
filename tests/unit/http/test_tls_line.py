"""One connection over TLS: what it holds when it is idle, and that all that was written arrives before its end."""

import asyncio
import contextlib
import os
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from fakes.certificates import Certificates
from fakes.records import APPLICATION, HANDSHAKE, KEY_UPDATE, Hand

from gateway.http.tls_context import serving
from gateway.http.tls_line import RECORDS, TlsLine
from gateway.model import TlsFiles

LARGE = 8 << 20
"""More than the kernel holds for a client that does not read."""
IDLE = """
import asyncio, socket, ssl, time
from pathlib import Path
from gateway.http.tls_context import serving
from gateway.http.tls_line import TlsLine
from gateway.model import TlsFiles

def resident():
    return next(int(line.split()[1]) for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmRSS"))

def ask(tls):
    tls.do_handshake()
    tls.sendall(bytes(300_000))
    left = 1_000_000
    while left:
        left -= len(tls.recv(left))

class Answering(asyncio.Protocol):
    def __init__(self):
        self.came = 0
    def connection_made(self, transport):
        self.transport = transport
    def data_received(self, data):
        self.came += len(data)
        if self.came == 300_000:
            self.transport.write(bytes(1_000_000))

async def connect(context):
    near, far = socket.create_connection(listening.getsockname()), listening.accept()[0]
    line = TlsLine(far, context, Answering(), goodbye=1.0)
    tls = asking.wrap_socket(near, server_hostname="x.test", do_handshake_on_connect=False)
    await asyncio.gather(line.shake_hands(), asyncio.to_thread(ask, tls))
    return line, tls

async def main():
    context = serving(TlsFiles("own.pem", "own.key"), time.time())
    kept = [await connect(context) for _ in range(8)]
    before = resident()
    kept += [await connect(context) for _ in range(64)]
    print((resident() - before) / 64)

listening = socket.create_server(("127.0.0.1", 0))
asking = ssl.create_default_context(cafile="ca.pem")
asyncio.run(main())
"""


class Recording(asyncio.Protocol):
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.came = bytearray()
        self.told: list[str] = []
        self.lost = asyncio.Event()

    def connection_made(self, _transport: asyncio.BaseTransport) -> None:
        self.told.append("made")

    def data_received(self, data: bytes) -> None:
        assert len(data) <= RECORDS * 16384
        self.came += data

    def pause_writing(self) -> None:
        self.told.append("pause")

    def resume_writing(self) -> None:
        self.told.append("resume")

    def eof_received(self) -> None:
        self.told.append("eof")

    def connection_lost(self, _error: Exception | None) -> None:
        self.told.append("lost")
        self.lost.set()


async def connected(folder: Path) -> tuple[TlsLine, Recording, ssl.SSLSocket]:
    """A line, who hears of it, and its client."""
    Certificates(folder).write("own", "x.test")
    context = serving(TlsFiles(str(folder / "own.pem"), str(folder / "own.key")), time.time())
    with socket.create_server(("127.0.0.1", 0)) as listening:
        near, far = socket.create_connection(listening.getsockname()), listening.accept()[0]
    protocol = Recording()
    line = TlsLine(far, context, protocol, goodbye=0.5)
    asking = ssl.create_default_context(cafile=str(folder / "ca.pem"))
    asking.keylog_filename = str(folder / "keys")
    tls = asking.wrap_socket(near, server_hostname="x.test", do_handshake_on_connect=False, suppress_ragged_eofs=False)
    await asyncio.gather(line.shake_hands(), asyncio.to_thread(tls.do_handshake))
    return line, protocol, tls


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.01)


async def fill(sending: socket.socket) -> None:
    """Send past TLS until the kernel takes no more, even a moment later."""
    sending.setblocking(False)
    full = 0
    while full < 5:
        full += 1
        with contextlib.suppress(BlockingIOError):
            while sending.send(bytes(65536)):
                full = 0
        await asyncio.sleep(0.01)


def read_all(tls: ssl.SSLSocket) -> bytes:
    """Up to a close_notify; without one it is an error."""
    seen = bytearray()
    while part := tls.recv(1 << 20):
        seen += part
    return bytes(seen)


def test_an_idle_connection_holds_nothing_of_what_has_passed(tmp_path: Path) -> None:
    """Both sides of each are in the process, with what the heap leaves over; buffers of the bodies would be 500 KiB."""
    Certificates(tmp_path).write("own", "x.test")
    words = [sys.executable, "-c", IDLE]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert float(done.stdout) < 128


async def test_what_was_written_arrives_before_the_end(tmp_path: Path) -> None:
    """However slowly it is read; a writer is told when to stop and when to go on, and the end is said."""
    line, protocol, tls = await connected(tmp_path)
    line.writelines([bytes(LARGE), b"", b"last"])
    assert (protocol.told, line.get_write_buffer_size() > 65536) == (["made", "pause"], True)
    first = await asyncio.to_thread(tls.recv, 1)
    line.close()
    line.write(b"too late")
    assert line.get_extra_info("peercert") is None
    assert first + await asyncio.to_thread(read_all, tls) == bytes(LARGE) + b"last"
    assert line.get_write_buffer_size() == 0
    tls.close()
    await asyncio.wait_for(protocol.lost.wait(), 10)
    assert protocol.told == ["made", "pause", "lost"]


async def test_a_writer_goes_on_when_all_has_left(tmp_path: Path) -> None:
    """And a client that leaves in good order is answered so."""
    line, protocol, tls = await connected(tmp_path)
    line.write(bytes(LARGE))
    left = LARGE
    while left:
        left -= len(await asyncio.to_thread(tls.recv, left))
    while "resume" not in protocol.told:
        await asyncio.sleep(0.01)
    await asyncio.to_thread(tls.unwrap)
    await asyncio.wait_for(protocol.lost.wait(), 10)
    assert protocol.told == ["made", "pause", "resume", "eof", "lost"]
    tls.close()


async def test_a_line_tells_of_its_ends(tmp_path: Path) -> None:
    """As the event loop's transports do, until its protocol has heard that it is lost."""
    line, protocol, tls = await connected(tmp_path)
    assert (line.get_extra_info("peername"), line.get_extra_info("sockname")) == (tls.getsockname(), tls.getpeername())
    assert line.get_extra_info("cipher") == tls.cipher()
    assert line.get_extra_info("sslcontext") is line.get_extra_info("ssl_object").context
    assert (line.get_extra_info("another"), line.can_write_eof()) == (None, False)
    leaving = asyncio.to_thread(tls.unwrap)
    line.close()
    assert line.get_extra_info("ssl_object").getpeercert(binary_form=True) is None
    await leaving
    await asyncio.wait_for(protocol.lost.wait(), 10)
    tls.close()


async def test_nothing_is_read_while_reading_is_paused(tmp_path: Path) -> None:
    """What comes meanwhile comes afterwards, in its order."""
    line, protocol, tls = await connected(tmp_path)
    line.pause_reading()
    line.pause_reading()
    sent = bytes(range(256)) * 256
    await asyncio.to_thread(tls.sendall, sent)
    await asyncio.sleep(0.1)
    assert (protocol.came, line.is_reading()) == (b"", False)
    line.resume_reading()
    while len(protocol.came) < len(sent):
        await asyncio.sleep(0.01)
    assert bytes(protocol.came) == sent
    line.abort()
    await asyncio.wait_for(protocol.lost.wait(), 10)
    assert (protocol.told, line.is_closing()) == (["made", "lost"], True)
    tls.close()


async def test_half_a_message_of_a_handshake_ends_the_line(tmp_path: Path) -> None:
    """OpenSSL writes nothing before the other half of a KeyUpdate has come, and the kernel always has room for nothing."""
    line, protocol, tls = await connected(tmp_path)
    hand = Hand(tmp_path / "keys")
    sent = hand.record(APPLICATION, bytes(16384)) + hand.record(HANDSHAKE, KEY_UPDATE[:4])
    socket.socket.sendall(tls, sent)
    async with asyncio.timeout(10):
        while not line.is_closing():
            line.write(b"answer")
            await asyncio.sleep(0.01)
        await protocol.lost.wait()
    assert (len(protocol.came), protocol.told[-1]) == (16384, "lost")
    tls.close()


async def test_what_comes_after_a_key_update_waits_until_its_answer_has_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """OpenSSL reads nothing before that, and while the client does not read nobody asks it again and again."""
    line, protocol, tls = await connected(tmp_path)
    hand = Hand(tmp_path / "keys")
    recv, reads = ssl.SSLSocket.recv, []
    monkeypatch.setattr(ssl.SSLSocket, "recv", lambda *asked: reads.append(asked) or recv(*asked))
    with socket.socket(fileno=os.dup(line.get_extra_info("socket").fileno())) as far:
        await fill(far)
    socket.socket.sendall(tls, hand.record(HANDSHAKE, KEY_UPDATE))
    await until(lambda: bool(reads))
    line.write(b"answer")
    hand.update()
    socket.socket.sendall(tls, hand.record(APPLICATION, b"ahead"))
    await asyncio.sleep(0.2)
    assert (line.get_write_buffer_size(), bytes(protocol.came), len(reads) < 10) == (6, b"", True)
    tls.setblocking(False)
    while not protocol.came or line.get_write_buffer_size():
        with contextlib.suppress(BlockingIOError):
            socket.socket.recv(tls, 1 << 20)
        await asyncio.sleep(0.001)
    assert bytes(protocol.came) == b"ahead"
    line.abort()
    await asyncio.wait_for(protocol.lost.wait(), 10)
    tls.close()
