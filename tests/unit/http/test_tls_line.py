"""One connection over TLS: what it holds when it is idle, and that all that was written arrives before its end."""

import asyncio
import socket
import ssl
import subprocess
import sys
import time
from pathlib import Path

from fakes.certificates import Certificates

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
    tls = asking.wrap_socket(near, server_hostname="x.test", do_handshake_on_connect=False, suppress_ragged_eofs=False)
    await asyncio.gather(line.shake_hands(), asyncio.to_thread(tls.do_handshake))
    return line, protocol, tls


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
