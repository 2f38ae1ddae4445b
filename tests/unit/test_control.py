"""The line between the parent process and a worker."""

import socket

import pytest

from gateway import control as control_module
from gateway.control import Control


async def pair() -> tuple[Control, Control]:
    one, other = socket.socketpair()
    return await Control.open(one), await Control.open(other)


async def test_messages_come_as_they_were_said():
    """In order and whole, until the other side has gone; who has gone hears nothing, and that is no error."""
    parent, worker = await pair()
    parent.send({"do": "drain", "text": "two\nlines"})
    parent.send({"listen": [["127.0.0.1:1", [3]]]})
    assert await worker.receive() == {"do": "drain", "text": "two\nlines"}
    assert await worker.receive() == {"listen": [["127.0.0.1:1", [3]]]}
    parent.close()
    assert await worker.receive() is None
    worker.close()
    worker.send({"unready": []})


@pytest.mark.parametrize("sent", [b"{\n", b"[]\n", b"\n", b"{}", b'{"a":"' + b"x" * 5000 + b'"}\n'])
async def test_what_is_no_message_ends_the_line(sent: bytes, monkeypatch: pytest.MonkeyPatch):
    """No JSON, no object, half a line, or too much of it: the other side is taken for dead."""
    monkeypatch.setattr(control_module, "LONGEST", 1000)
    ours, theirs = socket.socketpair()
    control = await Control.open(theirs)
    with ours:
        ours.sendall(sent)
        ours.shutdown(socket.SHUT_WR)
        assert await control.receive() is None
    control.close()
