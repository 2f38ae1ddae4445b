"""Keys are found wherever SDKs put them and taken off; what is passed on says nothing else than what came."""

import base64

import pytest

from gateway.client.keyed_head import HEAD_BYTES, BadHeadError, read_head


def head(*lines: str, target: str = "/v1/x", method: str = "GET") -> bytes:
    return "\r\n".join((f"{method} {target} HTTP/1.1", "Host: 127.0.0.1:1", *lines, "", "")).encode("latin-1")


def basic(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


@pytest.mark.parametrize(
    ("raw", "keys"),
    [
        (head("Authorization: Bearer k"), ["k"]),
        (head("AUTHORIZATION: bearer  k"), ["k"]),
        (head("authorization: k"), ["k"]),
        (head(f"Authorization: Basic {basic('user:k:2')}"), ["k:2"]),
        (head("Authorization: Basic %%%"), [""]),
        (head(f"Authorization: Basic {basic('nocolon')}"), [""]),
        (head("X-Api-Key: k"), ["k"]),
        (head("x_api_key: k"), ["k"]),
        (head("Api-Key: k"), ["k"]),
        (head("X-Goog-Api-Key: k"), ["k"]),
        (head("X-Api-Key:"), []),
        (head(target="/v1/x?key=k"), ["k"]),
        (head(target="/v1/x?%6bey=k%2b&a=1"), ["k+"]),
        (head("X-Api-Key: k", "Authorization: Bearer j"), ["k", "j"]),
        (head("X-Api-Key: k", target="/x?key=j"), ["j", "k"]),
        (head(), []),
    ],
)
def test_every_place_of_a_key_is_read_and_emptied(raw: bytes, keys: list[str]) -> None:
    """What was found is nowhere in what goes on."""
    found = read_head(raw)
    assert list(found.keys) == keys
    sent = found.with_headers({"Host": "there", "Authorization": "Bearer token"})
    assert sent.startswith(b"GET ")
    assert sent.count(b"\r\nAuthorization: ") == 1
    assert b"key" not in sent.lower()
    assert b"127.0.0.1" not in sent


def test_the_rest_goes_on_as_it_came() -> None:
    """Other headers and parameters keep their bytes and their order."""
    found = read_head(head("X-A:  1", "Content-Length: 3", "X-A: 2", target="/v1/x?b=%2F&key=k&a", method="POST"))
    assert found.with_headers({"Host": "there"}) == (
        b"POST /v1/x?b=%2F&a HTTP/1.1\r\nHost: there\r\nX-A:  1\r\nContent-Length: 3\r\nX-A: 2\r\nConnection: close\r\n\r\n"
    )


def test_a_connection_is_for_one_request_or_for_another_protocol() -> None:
    """What the command says of its connection is not passed on, but for an upgrade."""
    assert b"Connection: close" in read_head(head("Connection: keep-alive", "Keep-Alive: 5")).with_headers({})
    upgraded = read_head(head("Connection: keep-alive, Upgrade", "Upgrade: websocket")).with_headers({})
    assert upgraded.count(b"Connection: ") == 1
    assert b"Connection: Upgrade" in upgraded
    assert b"Keep-Alive" not in upgraded


def test_a_declared_intent_is_noticed() -> None:
    """An SDK that can send the header keeps its word."""
    assert read_head(head("agent_intent: a.read")).declares
    assert not read_head(head("X-Agent-Intent: a.read")).declares


@pytest.mark.parametrize(
    "raw",
    [
        b"GET  / HTTP/1.1\r\n\r\n",
        b"GET http://there/ HTTP/1.1\r\n\r\n",
        b"GET / HTTP/2.0\r\n\r\n",
        b"\x16\x03\x01\r\n\r\n",
        head("X-A : 1"),
        head(" folded"),
        head("X-A: 1\x00"),
        head("nothing"),
    ],
)
def test_what_is_no_head_is_refused(raw: bytes) -> None:
    """Nothing is guessed."""
    with pytest.raises(BadHeadError):
        read_head(raw)


def test_a_wrong_byte_behind_many_blanks_costs_no_more_than_they_do() -> None:
    """Fifty of the largest heads are read at once; if each blank were looked at for each other one, in minutes."""
    raw = head("X-A:" + " " * (HEAD_BYTES - 100) + "\x00")
    for _ in range(50):
        with pytest.raises(BadHeadError):
            read_head(raw)
