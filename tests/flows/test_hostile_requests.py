"""Requests that other proxies' test suites pin, byte for byte: what each is answered, why, and what the upstream hears of it.

`$READ` and `$WRITE` stand for a good token and an intent, so that nothing but the form of the request decides. Where peers
repair, this gateway refuses: the expectation is ours, the idea of the case is theirs (Go's ReverseProxy and server tests,
nginx-tests, HAProxy's reg-tests, Envoy, Pingora). No case knows how the gateway does it.
"""

from typing import NamedTuple

import pytest
from fakes.house import Build

BAD = "request_malformed"


class Case(NamedTuple):
    """`answers` holds one entry for each answer: `200`, or the code of a refusal, which ends the connection unless `kept`."""

    sent: bytes
    answers: tuple[str, ...]
    why: str
    kept: bool = False


def reading(*lines: bytes, first: bytes = b"GET /api/items HTTP/1.1", host: bytes = b"Host: x\r\n") -> bytes:
    """A GET that would be served, with more lines behind."""
    return first + b"\r\n" + host + b"$READ\r\n" + b"".join(line + b"\r\n" for line in lines) + b"\r\n"


def writing(*lines: bytes, body: bytes = b"", first: bytes = b"POST /api/items HTTP/1.1") -> bytes:
    """A POST that would be served, with more lines and a body behind."""
    return first + b"\r\nHost: x\r\n$WRITE\r\n" + b"".join(line + b"\r\n" for line in lines) + b"\r\n" + body


HIDDEN = b"GET /api/items/hidden HTTP/1.1\r\nHost: x\r\n$READ\r\n\r\n"
CHUNKED = b"Transfer-Encoding: chunked"

FRAMING = [
    Case(writing(b"Content-Length: 5", CHUNKED, body=b"0\r\n\r\n" + HIDDEN), (BAD,), "CL.TE: two ends (RFC 9112 §6.1)"),
    Case(writing(CHUNKED, b"Content-Length: 5", body=b"0\r\n\r\n" + HIDDEN), (BAD,), "TE.CL: the order changes nothing"),
    Case(writing(b"Content-Length: 5", b"Content-Length: 0", body=b"hello" + HIDDEN), (BAD,), "two lengths"),
    Case(writing(b"Content-Length: 5", b"Content-Length: 5", body=b"hello"), (BAD,), "twice the same: Go takes it, we do not"),
    Case(writing(b"Content-Length: 5, 5", body=b"hello"), (BAD,), "a list of lengths"),
    Case(writing(b"Content-Length: -5", body=b"hello"), (BAD,), "a negative length"),
    Case(writing(b"Content-Length: +5", body=b"hello"), (BAD,), "a sign, which some number readers take"),
    Case(writing(b"Content-Length: 5 5", body=b"hello"), (BAD,), "two numbers"),
    Case(writing(b"Content-Length: 0x5", body=b"hello"), (BAD,), "hexadecimal"),
    Case(writing(b"Content-Length: 18446744073709551621", body=b"hello"), (BAD,), "5 in 64 bits that wrap around"),
    Case(writing(b"Content-Length:", body=b"hello" + HIDDEN), (BAD,), "an empty length is 0 to some"),
    Case(writing(b"Content-Length : 5", body=b"hello" + HIDDEN), (BAD,), "hidden from some by a space"),
    Case(writing(b"Content-Length\t: 5", body=b"hello" + HIDDEN), (BAD,), "and so does a tab"),
    Case(writing(b"Content-Length: 5\x0b", body=b"hello"), (BAD,), "a vertical tab that some take for space"),
    Case(writing(b"Transfer-Encoding: Chunked", body=b"5\r\nhello\r\n0\r\n\r\n"), ("200",), "a coding has no case"),
    Case(writing(b"Transfer-Encoding: xchunked", body=b"0\r\n\r\n" + HIDDEN), (BAD,), "not the coding that it ends like"),
    Case(writing(b"Transfer-Encoding: chunked, identity", body=b"0\r\n\r\n" + HIDDEN), (BAD,), "chunked is not last"),
    Case(writing(b"Transfer-Encoding: gzip, chunked", body=b"0\r\n\r\n"), (BAD,), "a coding that nobody here undoes"),
    Case(writing(b"Transfer-Encoding: identity", body=b"hello"), (BAD,), "taken out of the standard; some ignore it"),
    Case(writing(b"Transfer-Encoding: chunked", b"Transfer-Encoding: identity", body=b"0\r\n\r\n"), (BAD,), "two lines"),
    Case(writing(b"Transfer-Encoding:", body=HIDDEN), (BAD,), "an empty coding"),
    Case(writing(b"Transfer-Encoding : chunked", body=b"0\r\n\r\n" + HIDDEN), (BAD,), "a space before the colon"),
    Case(writing(b"Transfer-Encoding:\x0cchunked", body=b"0\r\n\r\n" + HIDDEN), (BAD,), "a form feed before the coding"),
    Case(writing(b'Transfer-Encoding: "chunked"', body=b"0\r\n\r\n" + HIDDEN), (BAD,), "a quoted coding"),
    Case(writing(b"Transfer-Encoding:\r\n chunked", body=b"0\r\n\r\n" + HIDDEN), (BAD,), "a coding on a folded line"),
    Case(writing(b"X: y\r\n Transfer-Encoding: chunked", b"Content-Length: 0", body=HIDDEN), (BAD,), "a coding in a fold"),
    Case(writing(b"X: y\nTransfer-Encoding: chunked", b"Content-Length: 0", body=HIDDEN), (BAD,), "behind a bare LF"),
    Case(writing(b"X: y\rTransfer-Encoding: chunked", b"Content-Length: 0", body=HIDDEN), (BAD,), "behind a bare CR"),
    Case(writing(b"Connection: Content-Length", b"Content-Length: 5", body=b"hello"), (BAD,), "stripping the length"),
    Case(writing(b"Content-Length: 0", body=HIDDEN), ("200", "200"), "no body: the next request is judged for itself"),
    Case(writing(body=HIDDEN), ("200", "200"), "no framing is no body (RFC 9112 §6.3)"),
    Case(reading(b"Content-Length: 5") + b"hello", ("200",), "a GET may have a body, which goes on (RFC 9110 §9.3.1)"),
]  # fmt: skip

CHUNKS = [
    Case(writing(CHUNKED, body=b"5\r\nhello\r\n0\r\n\r\n" + HIDDEN), ("200", "200"), "then a request"),
    Case(writing(CHUNKED, body=b"5;a=b\r\nhello\r\n0;c\r\n\r\n"), ("200",), "extensions are dropped (RFC 9112 §7.1.1)"),
    Case(writing(CHUNKED, body=b"00000005\r\nhello\r\n000\r\n\r\n"), ("200",), "zeros in front are legal"),
    Case(writing(CHUNKED, body=b"5\nhello\r\n0\r\n\r\n"), (BAD,), "a bare LF ends a size line"),
    Case(writing(CHUNKED, body=b"5;a\nhello\r\n0\r\n\r\n"), (BAD,), "a bare LF ends an extension"),
    Case(writing(CHUNKED, body=b"5;a\rb\r\nhello\r\n0\r\n\r\n"), (BAD,), "a bare CR in an extension"),
    Case(writing(CHUNKED, body=b"5\r\nhello\n0\r\n\r\n"), (BAD,), "a bare LF ends a chunk"),
    Case(writing(CHUNKED, body=b"5\r\nhello0\r\n\r\n"), (BAD,), "nothing ends the chunk"),
    Case(writing(CHUNKED, body=b"5\r\nhelloXX0\r\n\r\n"), (BAD,), "two other bytes end the chunk, which some skip unread"),
    Case(writing(CHUNKED, body=b"5\r\nhello!\r\n0\r\n\r\n"), (BAD,), "a chunk longer than its size"),
    Case(writing(CHUNKED, body=b"0x5\r\nhello\r\n0\r\n\r\n"), (BAD,), "a prefix that some number readers take"),
    Case(writing(CHUNKED, body=b"-5\r\nhello\r\n0\r\n\r\n"), (BAD,), "a negative size"),
    Case(writing(CHUNKED, body=b"+5\r\nhello\r\n0\r\n\r\n"), (BAD,), "a sign"),
    Case(writing(CHUNKED, body=b"5_0\r\nhello\r\n0\r\n\r\n"), (BAD,), "an underscore, which Python's int takes"),
    Case(writing(CHUNKED, body=b" 5\r\nhello\r\n0\r\n\r\n"), (BAD,), "space before a size"),
    Case(writing(CHUNKED, body=b"5 \r\nhello\r\n0\r\n\r\n"), (BAD,), "space behind a size, without an extension"),
    Case(writing(CHUNKED, body=b"\r\nhello\r\n0\r\n\r\n"), (BAD,), "no size is 0 to some"),
    Case(writing(CHUNKED, body=b"10000000000000005\r\nhello\r\n0\r\n\r\n"), (BAD,), "5 in 64 bits that wrap around"),
    Case(writing(CHUNKED, body=b"FFFFFFFFFFFFFFFB\r\n" + HIDDEN), (BAD,), "minus 5 in 64 bits"),
    Case(writing(CHUNKED, body=b"0\r\nX: y\n\r\n"), (BAD,), "a bare LF in a trailer"),
    Case(writing(CHUNKED, body=b"0\r\nno colon\r\n\r\n"), (BAD,), "a trailer that is no field"),
    Case(writing(CHUNKED, body=b"0\r\nContent-Length: 50\r\n\r\n"), (BAD,), "framing in a trailer, which llhttp would believe"),
]  # fmt: skip

FIELDS = [
    Case(reading(b"X: y", b" folded"), (BAD,), "obs-fold (RFC 9112 §5.2)"),
    Case(reading(b" X: y", host=b""), (BAD,), "space before the first field (RFC 9112 §2.2)"),
    Case(reading(b"X y: z"), (BAD,), "a space in a name"),
    Case(reading(b"X\xff: z"), (BAD,), "a byte in a name that is no token"),
    Case(reading(b"X\x00: z"), (BAD,), "NUL in a name"),
    Case(reading(b"X(y): z"), (BAD,), "a separator in a name"),
    Case(reading(b": z"), (BAD,), "no name"),
    Case(reading(b"nonsense"), (BAD,), "no colon"),
    Case(reading(b"X: a\x00b"), (BAD,), "NUL in a value: HAProxy 2.6 sends it on"),
    Case(reading(b"X:" + b" " * 30_000 + b"\x00"), (BAD,), "NUL behind blanks, each of which is looked at once"),
    Case(reading(b"X: a\x7fb"), (BAD,), "DEL in a value"),
    Case(reading(b"X: a\x01b"), (BAD,), "a control byte in a value"),
    Case(reading(b"X: a\rb"), (BAD,), "a bare CR in a value"),
    Case(reading(b"X: a\tb"), ("200",), "a tab inside a value is space (RFC 9110 §5.5)"),
    Case(reading(b"X: a\xffb"), ("200",), "obs-text in a value is opaque (RFC 9110 §5.5)"),
    Case(reading(b"X:"), ("200",), "an empty value"),
    Case(reading(b"Expect: 200-maybe"), (BAD,), "an expectation that nobody meets"),
    Case(reading(b"Expect: 100-Continue"), ("200",), "an expectation has no case; without a body it asks for nothing"),
    Case(reading(b"Content-Type: a/b", b"Content-Type: c/d"), (BAD,), "two types of one content"),
    Case(reading(b"Range: bytes=0-1", b"Range: bytes=2-3"), (BAD,), "two ranges in two lines"),
    Case(reading(b"Authorization: Bearer other"), (BAD,), "two tokens are no token", kept=True),
    Case(reading(b"Connection: Authorization"), (BAD,), "stripping what was checked"),
    Case(reading(b"Connection: close, Agent-Intent"), (BAD,), "stripping what was declared"),
    Case(reading(b"Connection: Host"), (BAD,), "stripping the host"),
    Case(reading(b"Upgrade: h2c", b"Connection: Upgrade, HTTP2-Settings", b"HTTP2-Settings: AAAA"), (BAD,), "a tunnel past us"),
    Case(reading(b"Upgrade: websocket", b"Connection: keep-alive"), (BAD,), "an upgrade that Connection does not name"),
    Case(reading(b"X-HTTP-Method-Override: DELETE"), (BAD,), "another operation than the judged one"),
    Case(reading(b"X-Original-URL: /admin"), (BAD,), "another path than the judged one"),
]  # fmt: skip

HOSTS = [
    Case(reading(host=b""), (BAD,), "no Host: HAProxy 2.6 sends it on (RFC 9112 §3.2)"),
    Case(reading(host=b"Host:\r\n"), (BAD,), "an empty Host"),
    Case(reading(host=b"Host: a\r\nHost: a\r\n"), (BAD,), "two of them, though alike"),
    Case(reading(host=b"Host: a\r\nHost: b\r\n"), (BAD,), "two that differ"),
    Case(reading(host=b"Host: a, b\r\n"), (BAD,), "a list"),
    Case(reading(host=b"Host: a b\r\n"), (BAD,), "a space"),
    Case(reading(host=b"Host: a/b\r\n"), (BAD,), "a slash"),
    Case(reading(host=b"Host: u@a\r\n"), (BAD,), "a user"),
    Case(reading(host=b"Host: {\r\n"), (BAD,), "a byte that is in no name"),
    Case(reading(host=b"Host: \xff\r\n"), (BAD,), "a byte beyond ASCII"),
    Case(reading(host=b"Host: a:b\r\n"), (BAD,), "a port that is no number"),
    Case(reading(host=b"Host: ::1\r\n"), (BAD,), "an IPv6 address without brackets"),
    Case(reading(host=b"Host : a\r\n"), (BAD,), "a space before the colon"),
    Case(reading(host=b"Host: a:80\r\n"), ("200",), "a name and a port"),
    Case(reading(host=b"Host: [::1]:80\r\n"), ("200",), "an IPv6 address and a port"),
    Case(reading(host=b"hOsT: a-b_c.example\r\n"), ("200",), "field names have no case"),
]  # fmt: skip

LINES = [
    Case(b"\r\n" + reading(), (BAD,), "an empty line in front: servers MAY skip it, and not all do (RFC 9112 §2.2)"),
    Case(reading(first=b"GET  /api/items HTTP/1.1"), (BAD,), "two spaces"),
    Case(reading(first=b"GET /api/items HTTP/1.1 "), (BAD,), "a space behind"),
    Case(reading(first=b"GET\t/api/items\tHTTP/1.1"), (BAD,), "tabs for spaces"),
    Case(reading(first=b"GET /api/items"), (BAD,), "HTTP/0.9 has no fields"),
    Case(reading(first=b"GET /api/items HTTP/1.2"), (BAD,), "a version that nobody has written down"),
    Case(reading(first=b"GET /api/items HTTP/2.0"), (BAD,), "HTTP/2 in the dress of HTTP/1"),
    Case(reading(first=b"GET /api/items HTTP/1.1x"), (BAD,), "something behind the version"),
    Case(reading(first=b"GET /api/items http/1.1"), (BAD,), "the name of the protocol has case (RFC 9112 §2.3)"),
    Case(reading(first=b"get /api/items HTTP/1.1"), (BAD,), "methods have case, and frameworks fold it"),
    Case(reading(first=b"G@T /api/items HTTP/1.1"), (BAD,), "a method that is no token"),
    Case(reading(first=b"GET /api/items#x HTTP/1.1"), (BAD,), "a fragment never goes over the wire"),
    Case(reading(first=b"GET /api/it\x00ems HTTP/1.1"), (BAD,), "NUL in the target"),
    Case(reading(first=b"GET /api/items\xc3\xa9 HTTP/1.1"), (BAD,), "bytes that have to be escaped"),
    Case(reading(first=b'GET /api/items?a=" HTTP/1.1'), (BAD,), "a quote that has to be escaped"),
    Case(reading(first=b"GET /api/items?a=\x7f HTTP/1.1"), (BAD,), "DEL in the query"),
    Case(reading(first=b"GET /api/items?a=1&a=2;b=3 HTTP/1.1"), ("200",), "no rule reads this query, so it goes on untouched"),
    Case(reading(first=b"GET /api/items?a=%zz HTTP/1.1"), ("200",), "the same for an escape that is none"),
    Case(reading(first=b"TRACE /api/items HTTP/1.1"), ("method_refused",), "it would echo the injected secret"),
    Case(reading(first=b"CONNECT x:443 HTTP/1.1"), ("method_refused",), "it would be a tunnel"),
    Case(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", (BAD,), "the preface of HTTP/2"),
    Case(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", (BAD,), "a TLS hello in the open"),
    Case(b"PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\n" + reading(), (BAD,), "a PROXY line that nobody configured"),
    Case(reading(b"X: " + b"a" * 40_000), ("head_too_large",), "a head beyond the limit"),
    Case(reading(*[b"X: y"] * 200), ("head_too_large",), "more fields than the limit"),
]  # fmt: skip


def named(case: Case) -> str:
    return case.why


@pytest.mark.parametrize("case", [*FRAMING, *CHUNKS, *FIELDS, *HOSTS, *LINES], ids=named)
async def test_a_request_is_answered_as_its_case_says(house: Build, case: Case) -> None:
    """The upstream sees exactly the requests that were answered from it, each whole, and the log has as many permits."""
    door = await house()
    token = (await door.token()).encode()
    client = await door.connect()
    sent = case.sent.replace(b"$READ", b"Authorization: Bearer " + token + b"\r\nAgent-Intent: items.read")
    await client.send(sent.replace(b"$WRITE", b"Authorization: Bearer " + token + b"\r\nAgent-Intent: items.write"))
    for expected in case.answers:
        answer = await client.answer()
        assert (answer.problem["code"] if answer.status >= 400 else str(answer.status)) == expected
    if case.answers[-1] != "200" and not case.kept:
        assert await client.ended(), "what cannot be read as one message ends the connection"
    await client.close()
    await door.stop()
    served = case.answers.count("200")
    requests, responses = door.exchanges()
    assert len(door.upstream.seen) == served
    assert [record["decision"] for record in requests].count("allow") == served
    assert [record["code"] for record in requests if record["code"]] == [code for code in case.answers if code != "200"]
    assert len(responses) == len([record for record in requests if record["method"] is not None])
