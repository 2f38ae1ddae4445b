"""Request and response heads: what is accepted, what is refused, and why."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import Refusal
from gateway.http.fields import LONGEST_NAME, NAMES, MalformedLineError, Role, request_vocabulary, response_vocabulary
from gateway.http.framing import Delimiter
from gateway.http.head import RequestHead, parse_request
from gateway.http.memory import ENTRIES
from gateway.http.response_head import ResponseHead, parse_response


def request(*lines: bytes, first: bytes = b"GET /a HTTP/1.1", host: bytes = b"Host: x") -> RequestHead:
    vocabulary = request_vocabulary(["authorization", "agent-intent", "x-api-key", "traceparent"])
    return parse_request(b"\r\n".join((first, host, *lines)), vocabulary, most_lines=20)


def response(*lines: bytes, first: bytes = b"HTTP/1.1 200 OK", method: str = "GET") -> ResponseHead:
    return parse_response(b"\r\n".join((first, *lines)), response_vocabulary(), method=method, most_lines=20)


def test_ordinary_fields_go_on_as_they_came() -> None:
    """A line nobody has to read keeps its spelling and its place."""
    head = request(b"Accept: */*", b"X-Two:  b \t", b"x-two: c")
    assert head.forward == [b"Accept: */*", b"X-Two:  b \t", b"x-two: c"]


def test_watched_fields_are_set_aside() -> None:
    """Tokens and intents wait for the steps that read them, under their canonical names."""
    head = request(b"AUTHORIZATION: Bearer t", b"X_Api-Key: k")
    assert [field.value for field in head.watched["authorization"]] == [b"Bearer t"]
    assert [field.value for field in head.watched["x-api-key"]] == [b"k"]
    assert head.forward == []


@pytest.mark.parametrize(
    "line",
    [
        b"Cookie: a=b",
        b"Forwarded: for=1.2.3.4",
        b"X-Forwarded-For: 1.2.3.4",
        b"X_Forwarded_For: 1.2.3.4",
        b"x-real-ip: 1.2.3.4",
        b"Client-Cert: x",
        b"Client-Cert-Chain: x",
        b"Proxy-Authorization: Basic x",
        b"Proxy-Foo: x",
        b"Keep-Alive: timeout=5",
        b"TE: trailers",
        b"Trailer: X",
        b"Agent-Task: x",
        b"agent_other: x",
        b"X-Request-Id: mine",
    ],
)
def test_what_never_reaches_an_upstream_is_dropped(line: bytes) -> None:
    """The caller cannot speak for the gateway, for a hop, or for a browser."""
    head = request(line)
    assert head.forward == []
    assert head.watched == {}


@pytest.mark.parametrize(
    ("line", "why"),
    [
        (b"Content-Length : 3", "space before the colon"),
        (b" folded: x", "obs-fold"),
        (b"\tfolded", "obs-fold"),
        (b"X: a\nY: b", "bare LF hides a line"),
        (b"X: a\rY: b", "bare CR"),
        (b"X: a\x00b", "NUL"),
        (b"X: \x7f", "DEL"),
        (b"X\xc3\xa9: a", "name is no token"),
        (b": a", "no name"),
        (b"novalue", "no colon"),
        (b"Host: y", "two hosts"),
        (b"Transfer-Encoding: gzip, chunked", "a coding that is not understood"),
        (b"Transfer-Encoding: chunked, chunked", "chunked twice"),
        (b"Transfer-Encoding: xchunked", "not chunked"),
        (b"Transfer-Encoding: \x0bchunked", "control byte before chunked"),
        (b"Transfer-Encoding: chunked;q=1", "a parameter"),
        (b"Content-Length: +3", "sign"),
        (b"Content-Length: 3, 3", "list"),
        (b"Content-Length: 0x3", "hexadecimal"),
        (b"Content-Length: 03", "leading zero"),
        (b"Content-Length: ", "empty"),
        (b"Content-Length: 1_0", "underscore, which Python's int would take"),
        (b"Content-Length: \xb2", "a digit of another script"),
        (b"Content-Length: 99999999999999999999", "beyond 64 bits"),
        (b"Upgrade: h2c", "an upgrade that is not served"),
        (b"Expect: 200-ok", "an expectation that is not served"),
        (b"X-HTTP-Method-Override: DELETE", "another method than the judged one"),
        (b"X_HTTP_Method_Override: DELETE", "the same for CGI"),
        (b"X-Original-URL: /admin", "another path than the judged one"),
        (b"X-Rewrite-URL: /admin", "another path than the judged one"),
    ],
)
def test_malformed_or_ambiguous_fields_are_refused(line: bytes, why: str) -> None:
    """What two parsers could read differently has no meaning here."""
    with pytest.raises(Refusal) as caught:
        request(line)
    assert caught.value.code == "request_malformed", why


@pytest.mark.parametrize("wrong", [b"\x00", b"\x01", b"\x7f", b"\r"])
@pytest.mark.parametrize("blank", [b" ", b"\t", b" \t"])
def test_a_wrong_byte_behind_many_blanks_costs_no_more_than_they_do(blank: bytes, wrong: bytes) -> None:
    """A hundred of the largest heads are read at once; if each blank were looked at for each other one, in minutes."""
    line = b"A:" + (blank * 32_600)[:32_600] + wrong
    for _ in range(100):
        with pytest.raises(Refusal, match="request_malformed"):
            request(line)
        with pytest.raises(Refusal, match="upstream_failed"):
            response(line)


@given(st.lists(st.sampled_from([b" ", b"\t", b"a", b"\xff", b"\x00", b"\r"]), max_size=12).map(b"".join))
def test_a_value_is_what_stands_between_the_blanks_around_it(text: bytes) -> None:
    """Of visible bytes, spaces and tabs every text is one; with another byte none is."""
    vocabulary = request_vocabulary([])
    if {*text} & {*b"\x00\r"}:
        with pytest.raises(MalformedLineError):
            vocabulary.classify(b"A:" + text)
    else:
        assert vocabulary.classify(b"A:" + text).value == text.strip(b" \t")


@pytest.mark.parametrize(
    "lines",
    [
        (b"Content-Length: 3", b"Content-Length: 3"),
        (b"Content-Length: 3", b"Transfer-Encoding: chunked"),
        (b"Transfer-Encoding: chunked", b"Transfer-Encoding: chunked"),
        (b"Transfer-Encoding: chunked", b"Transfer_Encoding: chunked"),
        (b"Content-Length: 3", b"Content_Length: 4"),
    ],
)
def test_two_ways_of_delimiting_are_refused(lines: tuple[bytes, ...]) -> None:
    """Request smuggling lives on a second opinion about where a body ends (RFC 9112 §6.1)."""
    with pytest.raises(Refusal):
        request(*lines)


@pytest.mark.parametrize(
    "first",
    [
        b"GET  /a HTTP/1.1",
        b"GET /a  HTTP/1.1",
        b" GET /a HTTP/1.1",
        b"GET /a HTTP/1.1 ",
        b"GET\t/a HTTP/1.1",
        b"GET /a",
        b"GET /a HTTP/1.2",
        b"GET /a HTTP/0.9",
        b"GET /a HTTP/01.0",
        b"GET /a HTTP/2.0",
        b"GET /a HTTP/1.10",
        b"GET /a http/1.1",
        b"get /a HTTP/1.1",
        b"G\x00T /a HTTP/1.1",
        b"GET a HTTP/1.1",
        b"OPTIONS * HTTP/1.1",
        b"GET /a#b HTTP/1.1",
        b"GET /a\xc3\xa9 HTTP/1.1",
        b"",
    ],
)
def test_a_request_line_has_one_form(first: bytes) -> None:
    """Method, space, target, space, HTTP/1.1 or HTTP/1.0; nothing else."""
    with pytest.raises(Refusal) as caught:
        request(first=first)
    assert caught.value.code == "request_malformed"


@pytest.mark.parametrize("method", [b"TRACE", b"CONNECT"])
def test_methods_that_turn_the_gateway_around_are_refused(method: bytes) -> None:
    """TRACE would echo the injected secret, CONNECT would make a tunnel."""
    with pytest.raises(Refusal) as caught:
        request(first=method + b" /a HTTP/1.1")
    assert caught.value.code == "method_refused"


@pytest.mark.parametrize("host", [b"X: y", b"Host: ", b"Host: a b", b"Host: a/b", b"Host: u@h", b"Host: a, b", b"Host: a:port"])
def test_a_request_names_one_plausible_host(host: bytes) -> None:
    """Without a usable Host there is no HTTP/1.1 request (RFC 9112 §3.2)."""
    with pytest.raises(Refusal):
        request(host=host)


def test_connection_options_are_removed() -> None:
    """Fields that Connection names go no further (RFC 9110 §7.6.1)."""
    head = request(b"Connection: keep-alive, X-Hop", b"X-Hop: 1", b"X_Hop: 2", b"X-End: 3")
    assert head.forward == [b"X-End: 3"]
    assert head.keep


def test_connection_close_is_understood() -> None:
    """Several Connection lines count as one list."""
    assert not request(b"Connection: x-a", b"Connection: Close").keep


@pytest.mark.parametrize(
    "name", [b"authorization", b"Agent_Intent", b"host", b"content-length", b"transfer-encoding", b"expect"]
)
def test_connection_cannot_strip_what_is_checked(name: bytes) -> None:
    """Naming a field that a step relies on is an attack, not a hop (RFC 9110 §7.6.1)."""
    with pytest.raises(Refusal):
        request(b"Connection: close, " + name)


def test_too_many_fields_are_refused() -> None:
    """The number of lines is bounded as well as their size."""
    with pytest.raises(Refusal) as caught:
        request(*[b"X: y"] * 30)
    assert caught.value.code == "head_too_large"


@pytest.mark.parametrize(
    ("value", "trace"),
    [
        (b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00", ("0af7651916cd43dd8448eb211c80319c", "00")),
        (b"00-00000000000000000000000000000000-b7ad6b7169203331-01", None),
        (b"00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01", None),
        (b"00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01", None),
        (b"01-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", None),
        (b"x", None),
    ],
)
def test_only_a_valid_trace_is_continued(value: bytes, trace: tuple[str, str] | None) -> None:
    """An invalid traceparent starts a new trace instead of an error (W3C Trace Context §2.3)."""
    assert request(b"traceparent: " + value).trace == trace


def test_spellings_of_names_are_remembered_only_so_often() -> None:
    """Names that nobody has seen before cannot fill the memory, and are read the same when it is full."""
    vocabulary = request_vocabulary([])
    vocabulary.classify(b"x" * (LONGEST_NAME + 1) + b": y")
    assert not vocabulary._names
    for number in range(2 * NAMES):
        vocabulary.classify(b"X-%d: y" % number)
    assert len(vocabulary._names) == NAMES
    assert vocabulary.classify(b"X-Forwarded-For: y").role == Role.DROP
    assert vocabulary.classify(b"content_type: y").role == Role.REFUSED


def test_a_line_that_repeats_is_remembered_by_its_own_bytes() -> None:
    """The cache of lines answers for exactly the bytes it has seen, and stays bounded."""
    vocabulary = request_vocabulary([])
    line = b"Accept: text/html"
    vocabulary.classify(line)
    assert line not in vocabulary.known
    second = vocabulary.classify(line)
    assert vocabulary.known[line] is second
    for number in range(20_000):
        vocabulary.classify(b"Accept: %d" % (number // 2))
    assert 0 < len(vocabulary.known) <= ENTRIES


@pytest.mark.parametrize(
    ("lines", "method", "status", "by"),
    [
        ((b"Content-Length: 5",), "GET", b"200 OK", Delimiter.LENGTH),
        ((b"Content-Length: 5",), "HEAD", b"200 OK", Delimiter.NOTHING),
        ((b"Content-Length: 5",), "GET", b"304 Not Modified", Delimiter.NOTHING),
        ((), "GET", b"204 No Content", Delimiter.NOTHING),
        ((b"Transfer-Encoding: chunked",), "GET", b"200 OK", Delimiter.CHUNKS),
        ((), "GET", b"200 OK", Delimiter.CLOSE),
        ((b"Content-Length: 0",), "GET", b"200", Delimiter.NOTHING),
        ((), "GET", b"103 Early Hints", Delimiter.NOTHING),
        ((b"Content-Length: 0",), "GET", b"100 Continue", Delimiter.NOTHING),
    ],
)
def test_the_body_of_a_response_is_delimited(lines: tuple[bytes, ...], method: str, status: bytes, by: int) -> None:
    """RFC 9112 §6.3, for interim and final responses."""
    assert response(*lines, first=b"HTTP/1.1 " + status, method=method).framing.by is by


@pytest.mark.parametrize(
    ("first", "lines"),
    [
        (b"HTTP/1.1 200 OK", (b"Content-Length: 5", b"Transfer-Encoding: chunked")),
        (b"HTTP/1.1 200 OK", (b"Content-Length: 5", b"Content-Length: 5")),
        (b"HTTP/1.1 200 OK", (b"Transfer-Encoding: gzip, chunked",)),
        (b"HTTP/1.1 200 OK", (b"X: a\x00",)),
        (b"HTTP/1.1 200 OK", (b" folded: x",)),
        (b"HTTP/1.0 200 OK", (b"Transfer-Encoding: chunked",)),
        (b"HTTP/1.0 100 Continue", ()),
        (b"HTTP/1.1 103 Early Hints", (b"Connection: close",)),
        (b"HTTP/2 200 OK", ()),
        (b"HTTP/1.1 2000 OK", ()),
        (b"HTTP/1.1 0200 OK", ()),
        (b"HTTP/1.1 600 OK", ()),
        (b"ICY 200 OK", ()),
        (b"HTTP/1.1 200 O\x00K", ()),
        (b"HTTP/1.1 103 Early Hints", (b"Content-Length: 5",)),
        (b"HTTP/1.1 103 Early Hints", (b"Transfer-Encoding: chunked",)),
        (b"HTTP/1.1 099 Too Early", ()),
    ],
)
def test_an_ambiguous_response_is_the_upstreams_failure(first: bytes, lines: tuple[bytes, ...]) -> None:
    """An upstream that could be read two ways is not read at all."""
    with pytest.raises(Refusal) as caught:
        response(*lines, first=first)
    assert caught.value.code == "upstream_failed"


def test_cookies_and_challenges_of_an_upstream_are_set_aside() -> None:
    """They reach the caller only where the configuration passes them."""
    head = response(
        b"Set-Cookie: a",
        b"WWW-Authenticate: Basic",
        b"Proxy-Authenticate: Basic",
        b"Alt-Svc: x",
        b"Proxy-Status: p",
        b"ETag: 1",
    )
    assert head.forward == [b"ETag: 1"]
    assert set(head.watched) == {"set-cookie", "www-authenticate", "proxy-authenticate", "alt-svc", "proxy-status"}


def test_an_older_client_is_read_by_its_rules() -> None:
    """HTTP/1.0 has one answer a connection, whatever it asks for, and an expectation means nothing (RFC 9110 §10.1.1)."""
    older = b"GET /a HTTP/1.0"
    assert not request(b"Connection: keep-alive", first=older).keep
    assert not request(b"Expect: 100-continue", b"Content-Length: 1", first=older).expects_continue
    assert request(first=older).http_1_0
    assert not request().http_1_0


@pytest.mark.parametrize(
    ("line", "why"),
    [
        (b"Transfer-Encoding: chunked", "an HTTP/1.0 server before this one would not see the chunks (RFC 9112 §6.1)"),
        (b"Host: y", "two hosts"),
    ],
)
def test_an_older_client_is_held_to_one_meaning_too(line: bytes, why: str) -> None:
    """Less is possible in HTTP/1.0, and no more is let through."""
    with pytest.raises(Refusal) as caught:
        request(line, first=b"POST /a HTTP/1.0")
    assert caught.value.code == "request_malformed", why


def test_an_older_client_names_its_host_too() -> None:
    """Every one in use does, and one rule for all is one way less to be read differently behind another proxy."""
    with pytest.raises(Refusal):
        request(host=b"X: y", first=b"GET /a HTTP/1.0")


@pytest.mark.parametrize(
    ("lines", "wanted"),
    [
        ((b"TE: trailers",), True),
        ((b"TE: gzip;q=0.5, Trailers", b"Connection: TE"), True),
        ((b"TE: gzip", b"TE: trailers"), True),
        ((b"TE: gzip",), False),
        ((b"TE: trailers;q=1",), False),
        ((b"TE:",), False),
        ((), False),
    ],
)
def test_a_caller_says_that_it_takes_trailers(lines: tuple[bytes, ...], wanted: bool) -> None:
    """By the one word in TE, whatever else it takes; the line itself stays here (RFC 9110 §10.1.4)."""
    head = request(*lines)
    assert (head.wants_trailers, head.forward) == (wanted, [])


@pytest.mark.parametrize(
    "name",
    [
        b"Content-Length", b"Transfer-Encoding", b"Connection", b"Trailer", b"TE", b"Upgrade", b"Keep-Alive", b"Host",
        b"Content-Type", b"Content-Encoding", b"Content-Range", b"Set-Cookie", b"WWW-Authenticate", b"Authorization",
        b"Proxy-Authenticate", b"Proxy-Foo", b"Location", b"Cache-Control", b"Vary", b"Access-Control-Allow-Origin",
        b"Set_Cookie", b"Content_Length", b"Alt-Svc", b"Proxy-Status", b"Agent-Intent", b"X-Hop",
    ],
)  # fmt: skip
def test_what_must_be_known_early_is_no_trailer(name: bytes) -> None:
    """Framing, routing, authentication, how to read and keep the content, and what a hop owns (RFC 9110 §6.5.1)."""
    chunked = b"Transfer-Encoding: chunked"
    assert response(b"Trailer: X-Sum, " + name, b"Connection: X-Hop", chunked).trailers == {"x-sum"}


def test_trailers_need_chunks() -> None:
    """What is announced with another framing never comes."""
    assert response(b"Trailer: X-Sum", b"Content-Length: 3").trailers == frozenset()
    assert response(b"Trailer: X-Sum", b"Transfer-Encoding: chunked", method="HEAD").trailers == frozenset()
