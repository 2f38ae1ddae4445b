"""The one request of a command, against servers on real sockets that answer well, badly or not at all."""

import asyncio
import re
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import trustme

from gateway.cli import call as module
from gateway.cli.call import ANSWER_BYTES, Place, call
from gateway.errors import DoorwardError

CANARY = "dwt_canary1234567890"
Answering = Callable[[bytes], Place]


def answer(content: bytes, status: str = "200 OK", more: str = "") -> bytes:
    """A whole answer."""
    return f"HTTP/1.1 {status}\r\nContent-Length: {len(content)}\r\n{more}\r\n".encode() + content


def whole(connection: socket.socket) -> bytes:
    """A whole request: its head, and as much of a body as the head says."""
    request = b""
    while b"\r\n\r\n" not in request:
        request += connection.recv(65536)
    head, _, body = request.partition(b"\r\n\r\n")
    announced = re.search(rb"Content-Length: (\d+)", head)
    while announced is not None and len(body) < int(announced[1]):
        body += connection.recv(65536)
    return head + b"\r\n\r\n" + body


@pytest.fixture
def asked() -> list[bytes]:
    """What servers were asked."""
    return []


@pytest.fixture
def answering(tmp_path: Path, asked: list[bytes]) -> Iterator[Answering]:
    """Makes a server on a Unix socket that reads one request and answers with these bytes."""
    threads = []

    def serve(listening: socket.socket, said: bytes) -> None:
        with listening, listening.accept()[0] as connection:
            asked.append(whole(connection))
            connection.sendall(said)

    def start(said: bytes) -> Place:
        path = str(tmp_path / f"{len(threads)}.sock")
        listening = socket.socket(socket.AF_UNIX)
        listening.bind(path)
        listening.listen()
        threads.append(threading.Thread(target=serve, args=(listening, said)))
        threads[-1].start()
        return Place("http://doorward", path)

    yield start
    for thread in threads:
        thread.join(10)
        assert not thread.is_alive()


def test_a_form_goes_out_and_members_come_back(answering: Answering, asked: list[bytes]):
    """The method, the path, the token and the form are what was asked for."""
    place = answering(answer(b'{"access_token": "x"}'))
    assert call(place, "POST", "/token", form={"scope": "a b"}, bearer=CANARY) == {"access_token": "x"}
    (request,) = asked
    assert request.startswith(b"POST /token HTTP/1.1\r\n")
    assert f"Authorization: Bearer {CANARY}\r\n".encode() in request
    assert request.endswith(b"\r\n\r\nscope=a+b")


def test_a_document_goes_out_as_json(answering: Answering, asked: list[bytes]):
    """With the type that says so."""
    assert call(answering(answer(b"{}")), "POST", "/revocations", body={"kind": "agent"}) == {}
    assert b"Content-Type: application/json\r\n" in asked[0]
    assert asked[0].endswith(b'{"kind": "agent"}')


@pytest.mark.parametrize(
    ("said", "told"),
    [
        (answer(b'{"error_description": "No."}', "403 Forbidden"), r"^No\.$"),
        (answer(b'{"x": 1}', "500 Oh"), r"^the answer has status 500$"),
        (answer(b"{}", "302 Found", "Location: http://127.0.0.1:1/\r\n"), r"^the answer has status 302$"),
        (answer(b"<p>"), r"^the answer with status 200 is not JSON$"),
        (answer(b"[" * 100_000), r"^the answer with status 200 is not JSON$"),
        (answer(b"[]"), r"^the answer is not one of Doorward$"),
        (answer(b" " * (ANSWER_BYTES + 1)), rf"^unix:\S+ sent more than {ANSWER_BYTES} bytes$"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n{}", r"did not answer in valid HTTP; is doorward serve running"),
        (b"SSH-2.0-OpenSSH\r\n\r\n", r"did not answer in valid HTTP; is doorward serve running"),
        (b"", r"^unix:\S+ (did not answer in valid HTTP|cannot be reached)"),
    ],
    ids=["an error", "a failure", "a redirect", "no JSON", "deep JSON", "no object", "too much", "cut", "no HTTP", "nothing"],
)
def test_what_is_no_good_answer_is_told_in_one_sentence(answering: Answering, said: bytes, told: str):
    """A redirect is not followed, no more than the limit is read, and nothing of what was sent is shown."""
    with pytest.raises(DoorwardError, match=told) as refused:
        call(answering(said), "POST", "/token", form={"subject_token": CANARY}, bearer=CANARY)
    assert CANARY not in str(refused.value)


def test_who_is_silent_is_not_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """The wait has an end."""
    monkeypatch.setattr(module, "PATIENCE", 0.05)
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(tmp_path / "a.sock"))
        listening.listen()
        with pytest.raises(DoorwardError, match=r"did not answer within 0\.05 seconds"):
            call(Place("http://doorward", str(tmp_path / "a.sock")), "GET", "/tasks")


@pytest.mark.parametrize(
    ("place", "told"),
    [
        (
            Place("http://doorward", "/nowhere/a.sock"),
            r"^unix:/nowhere/a\.sock cannot be reached: no such file or directory; is",
        ),
        (Place("http://127.0.0.1:1", None), r"^http://127\.0\.0\.1:1 cannot be reached: connection refused; is"),
        (Place("http://nowhere.invalid", None), r"^http://nowhere\.invalid cannot be reached: its name does not resolve; is"),
        (Place("http://user:secret@a", None), r"holds a user name or password"),
        (Place("http://a:port", None), r"is not an http:// or https:// URL"),
    ],
    ids=["no socket", "nobody listens", "no name", "a password", "no port"],
)
def test_who_cannot_be_reached_is_named(place: Place, told: str):
    """The sentence says where nobody was, and what to look at."""
    with pytest.raises(DoorwardError, match=told) as refused:
        call(place, "GET", "/tasks")
    assert "secret" not in str(refused.value)


async def test_a_certificate_that_nobody_vouches_for_is_refused():
    """There is no option that switches the check off."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("localhost").configure_cert(context)
    server = await asyncio.start_server(lambda _reader, writer: writer.close(), "127.0.0.1", 0, ssl=context)
    place = Place(f"https://localhost:{server.sockets[0].getsockname()[1]}", None)
    with pytest.raises(DoorwardError, match=r"^https://localhost:\d+ has a TLS certificate that is not trusted$"):
        await asyncio.to_thread(call, place, "POST", "/token", bearer=CANARY)
    server.close()


async def test_who_speaks_no_tls_gets_nothing():
    """The address says https, so nothing is sent in clear."""
    heard = bytearray()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.extend(await reader.read(65536))
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    place = Place(f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}", None)
    with pytest.raises(DoorwardError, match=r"cannot be reached: the TLS handshake failed; is doorward serve running"):
        await asyncio.to_thread(call, place, "POST", "/token", bearer=CANARY)
    server.close()
    assert heard
    assert CANARY.encode() not in heard
