"""The rules of a WebSocket handshake on either side, and where a head stops being one."""

import pytest

from gateway.errors import Refusal
from gateway.http.fields import request_vocabulary, response_vocabulary
from gateway.http.framing import NO_BODY
from gateway.http.head import parse_request
from gateway.http.response_head import parse_response
from gateway.http.websocket import check_answer, read_handshake

KEY = b"dGhlIHNhbXBsZSBub25jZQ=="
ACCEPT = b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="  # RFC 6455 §1.3
HANDSHAKE = {
    b"Upgrade": b"websocket",
    b"Connection": b"Upgrade",
    b"Sec-WebSocket-Version": b"13",
    b"Sec-WebSocket-Key": KEY,
}


def request(first: bytes = b"GET /x HTTP/1.1", *more: bytes, **changed: bytes | None):
    fields = {name: changed.get(name.decode().replace("-", "_").lower(), value) for name, value in HANDSHAKE.items()}
    lines = [b"%b: %b" % (name, value) for name, value in fields.items() if value is not None]
    return parse_request(b"\r\n".join((first, b"Host: h", *lines, *more)), request_vocabulary(()), most_lines=20)


def test_the_answer_of_the_standard() -> None:
    """The example of RFC 6455 §1.3."""
    head = request()
    assert head.upgrade is not None
    assert (head.method, head.upgrade.accept, head.upgrade.offered) == ("WEBSOCKET", ACCEPT, ())
    assert head.framing is not NO_BODY


@pytest.mark.parametrize(
    "changed",
    [
        {"upgrade": b"WebSocket"},
        {"connection": b"keep-alive, UPGRADE"},
    ],
)
def test_names_have_no_case(changed: dict) -> None:
    """As browsers write them."""
    assert request(**changed).upgrade is not None


@pytest.mark.parametrize(
    ("first", "more", "changed"),
    [
        (b"GET /x HTTP/1.0", (), {}),
        (b"POST /x HTTP/1.1", (), {}),
        (b"HEAD /x HTTP/1.1", (), {}),
        (b"GET /x HTTP/1.1", (b"Content-Length: 1",), {}),
        (b"GET /x HTTP/1.1", (b"Transfer-Encoding: chunked",), {}),
        (b"GET /x HTTP/1.1", (b"Expect: 100-continue",), {}),
        (b"GET /x HTTP/1.1", (b"Upgrade: websocket",), {}),
        (b"GET /x HTTP/1.1", (b"Upgrade: h2c",), {}),
        (b"GET /x HTTP/1.1", (), {"upgrade": b"h2c"}),
        (b"GET /x HTTP/1.1", (), {"upgrade": b"foo"}),
        (b"GET /x HTTP/1.1", (), {"upgrade": b""}),
        (b"GET /x HTTP/1.1", (), {"upgrade": b"websocket, h2c"}),
        (b"GET /x HTTP/1.1", (), {"upgrade": b"websocket/13"}),
        (b"GET /x HTTP/1.1", (), {"connection": None}),
        (b"GET /x HTTP/1.1", (), {"connection": b"keep-alive"}),
        (b"GET /x HTTP/1.1", (), {"connection": b"Upgrade, Sec-WebSocket-Key"}),
        (b"GET /x HTTP/1.1", (), {"sec_websocket_version": None}),
        (b"GET /x HTTP/1.1", (), {"sec_websocket_version": b"8"}),
        (b"GET /x HTTP/1.1", (), {"sec_websocket_version": b"13, 8"}),
        (b"GET /x HTTP/1.1", (b"Sec-WebSocket-Version: 13",), {}),
        (b"GET /x HTTP/1.1", (), {"sec_websocket_key": None}),
        (b"GET /x HTTP/1.1", (), {"sec_websocket_key": b""}),
        (b"GET /x HTTP/1.1", (), {"sec_websocket_key": b"c2hvcnQ="}),
        (b"GET /x HTTP/1.1", (), {"sec_websocket_key": KEY[:-2]}),
        (b"GET /x HTTP/1.1", (), {"sec_websocket_key": KEY[:-3] + b"R=="}),
        (b"GET /x HTTP/1.1", (), {"sec_websocket_key": b"*" * 24}),
        (b"GET /x HTTP/1.1", (b"Sec-WebSocket-Key: " + KEY,), {}),
        (b"GET /x HTTP/1.1", (b"Sec_WebSocket_Key: " + KEY,), {"sec_websocket_key": None}),
        (b"GET /x HTTP/1.1", (b"Sec-WebSocket-Protocol: a, a",), {}),
        (b"GET /x HTTP/1.1", (b"Sec-WebSocket-Protocol: a", b"Sec-WebSocket-Protocol: a"), {}),
        (b"GET /x HTTP/1.1", (b"Sec-WebSocket-Protocol:",), {}),
        (b"GET /x HTTP/1.1", (b"Sec-WebSocket-Protocol: a b",), {}),
    ],
)
def test_every_other_upgrade_is_refused(first: bytes, more: tuple[bytes, ...], changed: dict) -> None:
    """Nothing that asks for an upgrade is read as a request without one."""
    with pytest.raises(Refusal) as refused:
        request(first, *more, **changed)
    assert refused.value.code == "request_malformed"


def test_the_operation_s_name_is_no_method() -> None:
    """Who sends it as a method would be taken for one who opens a WebSocket."""
    with pytest.raises(Refusal) as refused:
        parse_request(b"WEBSOCKET /x HTTP/1.1\r\nHost: h", request_vocabulary(()), most_lines=20)
    assert (refused.value.code, "GET" in refused.value.detail) == ("method_refused", True)


def test_a_connection_that_names_an_upgrade_which_nobody_asks_for_means_nothing() -> None:
    """Some clients always send it."""
    head = request(upgrade=None)
    assert (head.upgrade, head.method, head.framing) == (None, "GET", NO_BODY)


def test_what_goes_on_of_a_handshake() -> None:
    """Extensions stay here: with them nobody on the way could read the messages."""
    head = request(
        b"GET /x HTTP/1.1", b"Sec-WebSocket-Extensions: permessage-deflate", b"Sec-WebSocket-Protocol: a, b", b"TE: trailers"
    )
    assert head.forward == [b"Sec-WebSocket-Version: 13", b"Sec-WebSocket-Key: " + KEY, b"Sec-WebSocket-Protocol: a, b"]
    assert head.upgrade is not None
    assert head.upgrade.offered == (b"a", b"b")
    assert not head.wants_trailers


ANSWER = (b"Upgrade: WebSocket", b"Connection: upgrade", b"Sec-WebSocket-Accept: " + ACCEPT)


def answered(*lines: bytes) -> None:
    asked = read_handshake(
        b"websocket", [b"Sec-WebSocket-Version: 13", b"Sec-WebSocket-Key: " + KEY, b"Sec-WebSocket-Protocol: a,b"]
    )
    head = parse_response(b"\r\n".join((b"HTTP/1.1 101 Yes", *lines)), response_vocabulary(), method="WEBSOCKET", most_lines=20)
    check_answer(asked, head.upgrade, head.forward)


@pytest.mark.parametrize("more", [(), (b"Sec-WebSocket-Protocol: b",)])
def test_an_answer_to_this_handshake(more: tuple[bytes, ...]) -> None:
    """With a subprotocol that was offered, or without one, nothing is said against it."""
    assert answered(*ANSWER, *more) is None


@pytest.mark.parametrize(
    "lines",
    [
        (),
        ANSWER[1:],
        (ANSWER[0], ANSWER[2]),
        ANSWER[:2],
        (b"Upgrade: h2c", *ANSWER[1:]),
        (*ANSWER, b"Upgrade: websocket"),
        (*ANSWER, ANSWER[2]),
        (*ANSWER[:2], b"Sec-WebSocket-Accept: " + KEY),
        (*ANSWER[:2], b"Sec-WebSocket-Accept: " + ACCEPT.lower()),
        (*ANSWER, b"Connection: Sec-WebSocket-Accept"),
        (*ANSWER, b"Sec-WebSocket-Extensions: permessage-deflate"),
        (*ANSWER, b"Sec-WebSocket-Protocol: c"),
        (*ANSWER, b"Sec-WebSocket-Protocol: A"),
        (*ANSWER, b"Sec-WebSocket-Protocol: a, b"),
        (*ANSWER, b"Sec-WebSocket-Protocol: a", b"Sec-WebSocket-Protocol: b"),
        (*ANSWER, b"Content-Length: 5"),
        (*ANSWER, b"Transfer-Encoding: chunked"),
    ],
)
def test_any_other_answer_is_the_upstream_s_failure(lines: tuple[bytes, ...]) -> None:
    """Another handshake's, something else than a WebSocket, more than was offered, or a body."""
    with pytest.raises(Refusal) as refused:
        answered(*lines)
    assert refused.value.code == "upstream_failed"
