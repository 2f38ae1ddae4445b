"""What a task has open has ended before its end is acknowledged, as two connections see it that nothing else delays."""

import socket
from contextlib import suppress
from pathlib import Path

from fakes.house import get
from fakes.installation import Installation


def open_stream(port: int, token: str) -> socket.socket:
    """The connection of a stream of which the first event has come."""
    stream = socket.create_connection(("127.0.0.1", port), timeout=20)
    stream.sendall(get("/billing/stream", token, "billing.read"))
    seen = b""
    while b"event 0" not in seen:
        piece = stream.recv(65536)
        assert piece, seen
        seen += piece
    return stream


def revoke(admin: Path, task: str) -> None:
    """Returns as soon as the whole head of the acknowledgement has been read."""
    with socket.socket(socket.AF_UNIX) as line:
        line.settimeout(20)
        line.connect(str(admin))
        line.sendall(f"POST /tasks/{task}/revoke HTTP/1.1\r\nHost: doorward\r\nContent-Length: 0\r\n\r\n".encode())
        answer = b""
        while b"\r\n\r\n" not in answer:
            piece = line.recv(65536)
            assert piece, answer
            answer += piece
    assert answer.startswith(b"HTTP/1.1 200 "), answer


def has_ended(stream: socket.socket) -> bool:
    """Whether the end of the connection is here already, behind what it has carried."""
    stream.setblocking(False)
    with suppress(ConnectionResetError):
        try:
            while stream.recv(65536):
                pass
        except BlockingIOError:
            return False
    return True


def test_a_stream_has_ended_when_the_end_of_its_task_is_acknowledged(installation: Installation) -> None:
    """Each of eight times; a stream of another task goes on."""
    installation.serve()
    other = installation.token()
    for _ in range(8):
        issued = installation.issue("billing.read")
        with open_stream(installation.port, issued["access_token"]) as stream, open_stream(installation.port, other) as spared:
            revoke(installation.folder / "var/admin.sock", issued["task"])
            assert has_ended(stream)
            assert not has_ended(spared)
