"""A door without TLS: all who wait come in at once, and it opens again after there was no descriptor left."""

import asyncio
import errno
import socket
from collections.abc import Callable
from pathlib import Path

import pytest
from fakes.certificates import Certificates
from fakes.clock import TurnedClock

from gateway.http import door as door_module
from gateway.http.door import AT_ONCE
from gateway.http.plain_door import PlainDoor
from gateway.http.tls_context import serving
from gateway.http.tls_door import TlsDoor
from gateway.http.tls_watch import LiveContext
from gateway.model import TlsFiles


class Guest(asyncio.Protocol):
    """Says a word and goes."""

    def __init__(self, arrived: list["Guest"]) -> None:
        arrived.append(self)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        transport.write(b"in")
        transport.close()


class Arrival(asyncio.Protocol):
    """Does something in the turn in which it becomes a connection, once the handshake has nothing more to do."""

    def __init__(self, then: Callable[[], None]) -> None:
        self._then = then

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        asyncio.get_running_loop().call_soon(self._then)
        transport.close()


def listening() -> socket.socket:
    """A socket on a port of the kernel's choice."""
    return socket.create_server(("127.0.0.1", 0), backlog=1024)


async def test_everybody_who_waits_comes_in_in_one_turn() -> None:
    """However many came while the program was busy, nobody waits behind those who came in before."""
    arrived: list[Guest] = []
    door, opened = PlainDoor(lambda: Guest(arrived), TurnedClock()), listening()
    door.open_on(opened)
    waiting = [socket.create_connection(opened.getsockname()) for _ in range(AT_ONCE)]
    turns = 0
    while len(arrived) < AT_ONCE:
        await asyncio.sleep(0)
        turns += 1
        assert turns < 20
    for each in waiting:
        each.setblocking(False)
        assert await asyncio.get_running_loop().sock_recv(each, 2) == b"in"
        each.close()
    address = opened.getsockname()
    await door.close()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(address)


class Exhausted(socket.socket):
    """A listening socket whose process has no descriptor left, once."""

    failures = 1

    def accept(self) -> tuple[socket.socket, object]:
        if self.failures:
            self.failures -= 1
            raise OSError(errno.EMFILE, "Too many open files")
        return super().accept()


async def test_accepting_goes_on_after_descriptors_ran_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """It rests for a moment instead of spinning, and then lets in who still waits."""
    monkeypatch.setattr(door_module, "PAUSE", 0.05)
    arrived: list[Guest] = []
    door, opened = PlainDoor(lambda: Guest(arrived), TurnedClock()), Exhausted()
    opened.bind(("127.0.0.1", 0))
    opened.listen()
    door.open_on(opened)
    client = socket.create_connection(opened.getsockname())
    client.setblocking(False)
    assert await asyncio.wait_for(asyncio.get_running_loop().sock_recv(client, 2), 5) == b"in"
    assert opened.failures == 0
    client.close()
    await door.close()


async def test_whoever_was_accepted_is_let_in_though_the_door_closes() -> None:
    """In the very turn in which it was accepted: it may have sent its request."""
    arrived: list[Guest] = []
    door, opened = PlainDoor(lambda: Guest(arrived), TurnedClock()), listening()
    client = socket.create_connection(opened.getsockname())
    client.setblocking(False)
    door.open_on(opened)
    while not door.arriving:
        await asyncio.sleep(0)
    await door.close()
    assert await asyncio.wait_for(asyncio.get_running_loop().sock_recv(client, 2), 5) == b"in"
    client.close()


async def test_a_complete_handshake_counts_as_one_no_more(tmp_path: Path) -> None:
    """Else a connection would be counted twice for a turn, or each count would have to look at every handshake."""
    certificates = Certificates(tmp_path)
    certificates.write("own", "127.0.0.1")
    clock = TurnedClock()
    live = LiveContext("test", TlsFiles(str(tmp_path / "own.pem"), str(tmp_path / "own.key")), serving, clock.now())
    seen: list[int] = []
    met: list[int] = []

    def admits(arriving: int) -> bool:
        met.append(arriving)
        return True

    door = TlsDoor(live, lambda: Arrival(lambda: seen.append(door.arriving)), admits, clock, patience=10)
    opened = listening()
    door.open_on(opened)
    port = opened.getsockname()[1]
    idle = socket.create_connection(("127.0.0.1", port))
    reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=certificates.client())
    await reader.read()
    writer.close()
    assert (met, seen) == ([0, 1], [1])
    idle.close()
    await door.close()
    assert door.arriving == 0
