"""A head that is put together from fields that came before is the head that its bytes say; knows no policy."""

from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.errors import Refusal
from gateway.http.fields import request_vocabulary
from gateway.http.head import RequestHead, parse_request
from gateway.http.permitted import Permitted

MOST_LINES = 6
VOCABULARY = request_vocabulary(["authorization", "agent-intent", "traceparent", "tracestate"])
TRACE = b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-0"
LINES = [b"GET /a HTTP/1.1", b"GET /a/b?c=d HTTP/1.1", b"POST /a HTTP/1.1", b"GET /a HTTP/1.0", b"GET http://h/a HTTP/1.1",
         b"GET /a/../b HTTP/1.1", b"GET /a", b"", b"TRACE /a HTTP/1.1"]  # fmt: skip
FIELDS = [
    b"Host: h",
    b"Accept: */*",
    b"X-Own: 1",
    b"Authorization: Bearer t",
    b"Agent-Intent: a.read",
    b"tracestate: vendor=1",
    b"traceparent: " + TRACE + b"1",
    b"traceparent: " + TRACE + b"0",
    b"traceparent: 00-00000000000000000000000000000000-b7ad6b7169203331-01",
    b"traceparent: " + TRACE + b"1 ",
    b"traceparent: " + TRACE + b"1x",
    b"traceparent: 01-" + TRACE[3:] + b"1",
    b"Traceparent: " + TRACE + b"1",
    b"X-traceparent: 00-",
    b"Connection: close",
    b"Connection: traceparent",
    b"Content-Length: 3",
    b"Transfer-Encoding: chunked",
    b"Expect: 100-continue",
    b"TE: trailers",
    b"broken",
]


NOT_COMPARED = ("recurring", "kept", "query_told", "leave_out_of_query", "target", "watched", "framing")


def said(head: RequestHead) -> dict[str, object]:
    """Everything that a step reads; what stands in `traceparent` is read through the trace alone."""
    told = {name: getattr(head, name) for name in dir(RequestHead) if not name.startswith("_") and name not in NOT_COMPARED}
    told["target"] = (head.target.path, head.target.query, head.target.segments)
    told["framing"] = (head.framing.by, head.framing.length)
    told["watched"] = {
        name: [(field.name, field.role, field.value, field.line) for field in fields]
        for name, fields in head.watched.items()
        if name != "traceparent"
    }
    return told


def read(raw: bytes, permitted: Permitted) -> RequestHead | tuple[str, str | None]:
    """As a request is admitted; a refusal is its code and sentence."""
    try:
        head = permitted.known.get(raw) or permitted.assemble(raw)
        return head or parse_request(raw, VOCABULARY, most_lines=MOST_LINES)
    except Refusal as refusal:
        return refusal.code, refusal.detail


heads = st.tuples(st.sampled_from(LINES), st.lists(st.sampled_from(FIELDS), max_size=7)).map(
    lambda parts: b"\r\n".join((parts[0], *parts[1]))
)
usual = st.tuples(st.sampled_from(LINES[:5]), st.permutations(FIELDS[:9]).map(lambda fields: fields[:6])).map(
    lambda parts: b"\r\n".join((parts[0], *parts[1]))
)


@settings(max_examples=400)
@given(st.lists(heads | usual, min_size=1, max_size=4), st.data())
def test_an_assembled_head_is_the_parsed_one(pool: list[bytes], data: st.DataObject) -> None:
    """Heads again and again, with other request lines and traces over the same fields."""
    permitted, nothing = Permitted(VOCABULARY, MOST_LINES), Permitted(VOCABULARY, MOST_LINES, entries=0)
    for _ in range(12):
        line, _, fields = data.draw(st.sampled_from(pool)).partition(b"\r\n")
        line = data.draw(st.sampled_from([line, *LINES]))
        for trace in FIELDS[6:8]:
            fields = fields.replace(trace, data.draw(st.sampled_from(FIELDS[6:10])))
        raw = line + b"\r\n" + fields if fields else line
        remembered, parsed = read(raw, permitted), read(raw, nothing)
        if isinstance(parsed, RequestHead):
            assert isinstance(remembered, RequestHead)
            assert said(remembered) == said(parsed)
            permitted.keep(remembered)
        else:
            assert remembered == parsed


def test_only_line_and_trace_may_differ() -> None:
    """The third head is put together; one with another field is parsed."""
    permitted = Permitted(VOCABULARY, MOST_LINES)
    raw = b"GET /%d HTTP/1.1\r\nHost: h\r\ntraceparent: 00-%032x-b7ad6b7169203331-01\r\nAccept: */*"
    for number in (1, 2):
        assert permitted.assemble(raw % (number, number)) is None
        permitted.keep(parse_request(raw % (number, number), VOCABULARY, most_lines=MOST_LINES))
    head = permitted.assemble(raw % (3, 3))
    assert head is not None
    assert (head.path, head.trace_id, head.host) == ("/3", f"{3:032x}", b"h")
    assert permitted.assemble(raw % (4, 4) + b"\r\nX-Own: 1") is None
    assert permitted.assemble(raw % (4, 0)) is None, "a trace of zeros is none"


def test_nothing_behind_a_trace_is_glued_to_the_line_before() -> None:
    """What stands where the trace's line should end makes it another head, whatever line it would complete."""
    permitted = Permitted(VOCABULARY, MOST_LINES)
    known = b"GET /a HTTP/1.1\r\nHost: h\r\nX-Own: 1junk"
    for _ in range(2):
        permitted.keep(parse_request(known, VOCABULARY, most_lines=MOST_LINES))
    assert permitted.assemble(b"GET /b HTTP/1.1\r\nHost: h\r\nX-Own: 1junk") is not None
    assert permitted.assemble(b"GET /b HTTP/1.1\r\nHost: h\r\nX-Own: 1\r\ntraceparent: " + TRACE + b"1junk") is None
    assert permitted.assemble(b"GET /b HTTP/1.1\r\nHost: h\r\nX-Own: 1junk\r\ntraceparent: " + TRACE + b"1") is not None
