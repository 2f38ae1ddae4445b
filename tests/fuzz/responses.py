"""Target: all bytes of an upstream's connection as the answer to one request, judged by h11 and llhttp alone.

What the caller gets is one response that both read alike, with the content that they read from the upstream's own bytes;
or a refusal; or a response of which everybody can tell that it was cut. A connection is kept only if nothing was left over.
"""

from collections.abc import Hashable
from dataclasses import dataclass

from fakes.dry_house import SECRET, Conversation, UpstreamEnd
from fuzz.connections import check_inherited, house
from fuzz.pieces import cut
from fuzz.witnesses import Headers, Message, response_by_llhttp, responses_by_h11

_LINES = b"Host: h\r\nAuthorization: Bearer dwt_t\r\nAgent-Intent: a.use\r\n"
GET = b"GET /api/x HTTP/1.1\r\n" + _LINES + b"\r\n"
HEAD = b"HEAD /api/x HTTP/1.1\r\n" + _LINES + b"\r\n"
TAKES_TRAILERS = b"GET /api/x HTTP/1.1\r\nTE: trailers\r\n" + _LINES + b"\r\n"
OLD = b"GET /api/x HTTP/1.0\r\n" + _LINES + b"\r\n"
OURS = ((b"transfer-encoding", b"chunked"), (b"connection", b"close"))
NOT_PASSED = frozenset(
    b"set-cookie www-authenticate proxy-authenticate alt-svc keep-alive proxy-authorization proxy-connection te trailer "
    b"upgrade proxy-status".split()
)
"""Design §12 and RFC 9110 §7.6.1: none of these reaches a caller unasked."""
NO_TRAILER = NOT_PASSED | frozenset(
    b"content-length transfer-encoding connection host content-encoding content-type content-range location cache-control "
    b"authorization date expires age vary cookie".split()
)
"""RFC 9110 §6.5.1: these say how to take a message, and come too late for it behind its content."""


@dataclass
class Heard:
    """What came of one response. `message` is what h11 makes of the bytes that the caller got."""

    ending: str
    code: str | None
    message: Message | None
    kept: bool


def check(raw: bytes) -> Hashable:
    """Give the bytes in answer to different callers, with the connection left open or closed after them."""
    ways = ((GET, False), (GET, True), (HEAD, False), (TAKES_TRAILERS, True), (OLD, True))
    return tuple(_check_one(raw, request, hang_up=hang_up) for request, hang_up in ways)


def verdict(raw: bytes) -> str:
    """In words, for a named case: how a GET ends for which these bytes come, and then the end of the connection."""
    heard = play([raw], GET, hang_up=True)
    return heard.ending if heard.ending != "refused" else heard.code or "refused"


def passes(raw: bytes) -> bool:
    """Whether nothing in these bytes is wrong in answer to a GET, though more may have to follow."""
    return play([raw], GET, hang_up=False).ending not in {"refused", "cut"}


def _check_one(raw: bytes, request: bytes, *, hang_up: bool) -> Hashable:
    heard = play([raw], request, hang_up=hang_up)
    theirs = responses_by_h11(raw, [_method(request)], ended=hang_up)
    source = theirs.messages[0] if theirs.messages else None
    if heard.ending == "complete":
        assert heard.message is not None
        assert heard.message.whole
        assert source is not None, f"h11 sees no response: {theirs.error}"
        assert source.whole, f"h11 sees no end: {theirs.error}"
        _check_passed(source, heard.message)
        _check_trailers(source, heard.message, taken=request == TAKES_TRAILERS)
        if heard.kept:
            assert theirs.rest == b"", "a connection is kept although something followed the response"
        if request != HEAD:
            _agree_with_llhttp(raw, source, closes=hang_up)
    elif heard.ending == "cut":
        assert heard.message is not None
        assert not heard.message.whole, "a response that was cut looks whole"
        assert not heard.kept
    else:
        assert not heard.kept
    for pieces in cut(raw):
        same(heard, play(pieces, request, hang_up=hang_up))
    status = heard.message.first if heard.message is not None else b""
    return heard.ending, heard.code, status, heard.kept


def play(pieces: list[bytes], request: bytes, *, hang_up: bool) -> Heard:
    """What a caller hears whose upstream says these pieces, and then perhaps closes."""

    def script(end: UpstreamEnd) -> None:
        for piece in pieces:
            end.say(piece)
        if hang_up:
            end.hang_up()

    talk = house().converse([request], script)
    asked = [line for line in talk.lines if line["type"] == "request"]
    (closed,) = [line for line in talk.lines if line["type"] == "response"]
    assert [line["decision"] for line in asked] == ["allow"]
    assert closed["code"] != "internal", closed["error"]
    assert SECRET not in talk.answers
    message = _heard(talk, request)
    if closed["ending"] in ("complete", "refused"):
        assert message is not None
        assert message.whole
    return Heard(closed["ending"], closed["code"], message, talk.idle > 0)


def _heard(talk: Conversation, request: bytes) -> Message | None:
    """What h11 and llhttp make of the caller's bytes; a reset takes from a body what only the end delimits."""
    ended = request == OLD and talk.closed and not talk.reset
    answer = responses_by_h11(talk.answers, [_method(request)], ended=ended)
    assert answer.error is None or not ended, answer.error
    message = answer.messages[0] if answer.messages else None
    assert message is None or not message.whole or answer.rest == b"", "a caller gets more than its answer"
    if request != HEAD:
        others = response_by_llhttp(talk.answers).messages
        assert len(others) == len(answer.messages)
        if message is not None and request != OLD:
            assert (message.first, message.body, message.whole) == (others[0].first, others[0].body, others[0].whole)
    return message


def _method(request: bytes) -> str:
    return request.partition(b" ")[0].decode()


def _check_passed(source: Message, got: Message) -> None:
    """The same status and content, and only lines of the upstream's that may pass, in their order."""
    assert source.first == got.first
    assert source.body == got.body
    named = {
        option.strip(b" \t").lower().replace(b"_", b"-")
        for name, value in source.headers
        if name == b"connection"
        for option in value.split(b",")
    }
    passed = [header for header in got.headers if header not in OURS and header[0] != b"trailer"]
    check_inherited(source.headers, passed)
    for name, _ in passed:
        canonical = name.replace(b"_", b"-")
        assert canonical not in NOT_PASSED, canonical
        assert canonical not in named, f"Connection names {canonical!r}"


def _check_trailers(source: Message, got: Message, *, taken: bool) -> None:
    """None that was not asked for, none that was not announced, and none that comes too late for what it says."""
    check_inherited(source.trailers, got.trailers)
    announced = {name.strip(b" \t").lower() for _, value in _named(got, b"trailer") for name in value.split(b",")}
    assert taken or not announced
    for name, _ in got.trailers:
        assert name.replace(b"_", b"-") in announced
        assert name.replace(b"_", b"-") not in NO_TRAILER


def _named(message: Message, name: bytes) -> Headers:
    return [header for header in message.headers if header[0] == name]


def _agree_with_llhttp(raw: bytes, source: Message, *, closes: bool) -> None:
    """The first response is the same to llhttp; one that ends with the connection it cannot end by itself."""
    messages = response_by_llhttp(raw).messages
    assert messages, "llhttp sees no response"
    first = messages[0]
    assert (source.first, source.body) == (first.first, first.body)
    assert first.whole or closes


def same(whole: Heard, pieced: Heard) -> None:
    """The same end and the same content; how much came before a fault was seen may differ, and so whether it was refused."""
    if "complete" in (whole.ending, pieced.ending):
        assert whole == pieced
    else:
        assert {whole.ending, pieced.ending} <= {"refused", "cut", "client_gone"}
        assert whole.kept == pieced.kept
