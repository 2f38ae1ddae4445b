"""Target: all bytes of one client's connection through the real life of its requests, judged by h11 and llhttp alone.

What is forwarded was read by both witnesses as the same request, and is read by both as one request on the way out. No
header that must stay here goes out. Each head has its records and its answer. Other pieces make no other requests.
"""

import re
from collections.abc import Hashable
from dataclasses import dataclass

import h11
from fakes.dry_house import AGENT, SECRET, Conversation, DryHouse, UpstreamEnd
from fuzz.pieces import cut
from fuzz.witnesses import (
    LARGEST,
    SPOKEN_BY_LLHTTP,
    Headers,
    Message,
    Reading,
    requests_by_h11,
    requests_by_llhttp,
    response_by_llhttp,
    responses_by_h11,
)

ADDED = (b"host", b"via", b"x-request-id", b"traceparent", b"x-api-key", b"transfer-encoding", b"accept-encoding")
"""What the gateway itself says to an upstream: once each, but for the coding, which only a chunked body has."""
TAKES_TRAILERS = ((b"te", b"trailers"), (b"connection", b"TE"))
"""What it says beside that, for a caller that has said it too (RFC 9110 §10.1.4)."""
STAYS_HERE = frozenset(
    b"authorization cookie dpop forwarded x-real-ip agent-intent api-key keep-alive te trailer upgrade connection expect "
    b"x-http-method x-http-method-override x-method-override x-original-url x-original-uri x-rewrite-url".split()
)
"""Design §6: none of these reaches an upstream from a caller."""
STAYS_HERE_BY_PREFIX = (b"proxy-", b"x-forwarded-", b"client-cert", b"agent-")
MANY = 3
"""More requests on one connection than these are no other outcome."""
BODY_BROKEN = frozenset(("request_malformed", "body_too_large"))

_house: list[DryHouse] = []


def house() -> DryHouse:
    """The one gateway of this process, or another one where something was left of a conversation that broke."""
    if not _house or _house[0].disturbed:
        _house[:] = [DryHouse()]
    return _house[0]


@dataclass
class Served:
    """One request that the gateway gave a head: what became of it, and what an upstream got of it."""

    method: bytes
    target: bytes
    code: str | None
    status: int | None
    body_bytes: int
    whole: bool
    """Whether its upstream got it and answered it."""
    forwarded: Message | None


def check(raw: bytes) -> Hashable:
    """Play the bytes whole and in pieces. What came of them; raises `AssertionError` where an invariant broke."""
    talk = house().converse([raw], _echo)
    served = _served(talk)
    for witness, known in ((requests_by_h11(raw), None), (requests_by_llhttp(raw), SPOKEN_BY_LLHTTP)):
        _check_inbound(served, witness, known)
    for place, each in enumerate(served):
        if each.forwarded is not None:
            _check_head(requests_by_h11(raw).messages[place], each.forwarded)
    for end in talk.upstreams:
        _check_outbound(end.received)
    _check_records(talk)
    _check_answers(talk, served)
    for pieces in cut(raw):
        other = house().converse(pieces, _echo)
        _check_records(other)
        same(served, _served(other))
    last = served[-1] if served else None
    kind = last and (last.method == b"HEAD", last.code, last.whole, last.body_bytes > 0)
    return kind, min(len(served), MANY), talk.closed


def play(pieces: list[bytes]) -> list[Served]:
    """What became of the requests in a client's bytes."""
    return _served(house().converse(pieces, _echo))


def verdict(raw: bytes) -> str:
    """In words, for a named case: what became of each request, in their order."""
    talk = house().converse([raw], _echo)
    unread = [line["code"] for line in _of(talk, "request") if line["method"] is None]
    words = [each.code or ("served" if each.whole else "waits") for each in _served(talk)] + unread
    return ",".join(words) or "waits"


def _echo(end: UpstreamEnd) -> None:
    """An upstream that reads with h11 and answers each whole request with its body."""
    server = end.notes.get("h11")
    if not isinstance(server, h11.Connection):
        server = end.notes["h11"] = h11.Connection(h11.SERVER, max_incomplete_event_size=LARGEST)
        end.notes["read"] = 0
    start = end.notes["read"]
    assert isinstance(start, int)
    server.receive_data(end.received[start:])
    end.notes["read"] = len(end.received)
    while True:
        event = server.next_event()
        if isinstance(event, h11.Request):
            end.notes["method"], end.notes["body"] = bytes(event.method), b""
        elif isinstance(event, h11.Data):
            end.notes["body"] = bytes(end.notes["body"]) + bytes(event.data)  # type: ignore[call-overload]
        elif isinstance(event, h11.EndOfMessage):
            body = end.notes["body"] or b"hello"
            assert isinstance(body, bytes)
            head = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body)
            end.say(head if end.notes["method"] == b"HEAD" else head + body)
            server.send(h11.Response(status_code=200, headers=[("Content-Length", str(len(body)))]))
            if end.notes["method"] != b"HEAD":
                server.send(h11.Data(body))
            server.send(h11.EndOfMessage())
            server.start_next_cycle()
        else:
            return


def _served(talk: Conversation) -> list[Served]:
    """The requests with a head, in the order of the connection."""
    closing = {line["request_id"]: line for line in _of(talk, "response")}
    sent = [message for end in talk.upstreams for message in requests_by_h11(end.received).messages]
    by_id = {dict(message.headers)[b"x-request-id"]: message for message in sent}
    assert len(by_id) == len(sent), "an upstream sees a request twice"
    found = []
    for head, request in zip(talk.heads, _of(talk, "request"), strict=True):
        if request["method"] is None:
            continue
        closed = closing[request["request_id"]]
        method, target, _ = head.partition(b"\r\n")[0].split(b" ")
        message = by_id.pop(request["request_id"].encode(), None)
        whole = closed["ending"] == "complete"
        found.append(Served(method, target, closed["code"], closed["status"], closed["received"], whole, message))
    assert not by_id, "an upstream sees a request that nobody recorded"
    for each in found:
        assert not each.whole or (each.forwarded is not None and each.forwarded.whole)
        assert each.whole or each.forwarded is None or not each.forwarded.whole, "what was not answered went out whole"
    return found


def _of(talk: Conversation, kind: str) -> list[dict]:
    return [line for line in talk.lines if line["type"] == kind]


def _check_records(talk: Conversation) -> None:
    """Two records for each parsed head, one for what is no head; none of them holds a secret."""
    requests = [line["request_id"] for line in _of(talk, "request")]
    parsed = [line["request_id"] for line in _of(talk, "request") if line["method"] is not None]
    responses = [line["request_id"] for line in _of(talk, "response")]
    assert requests == list(dict.fromkeys(requests)), "a request is recorded twice"
    assert len(requests) == len(talk.heads), "a request is unrecorded"
    assert responses == parsed, "a closing record is amiss"
    for line in talk.lines:
        assert line.get("code") != "internal", f"an unexpected error: {line.get('error')}"
        assert line.get("error") is None, f"an unexpected error: {line['error']}"


def _check_inbound(served: list[Served], witness: Reading, known: frozenset[bytes] | None) -> None:
    """Whatever got a head is, in its place, a request of the same method and target to the witness, and of the same body."""
    for place, each in enumerate(served):
        if known is not None and (each.method not in known or _ended_by_proxy_connection(witness, place)):
            break
        assert place < len(witness.messages), f"a witness sees no request in place {place}: {witness.error}"
        message = witness.messages[place]
        assert (each.method, each.target) == (message.first, message.target)
        if each.whole:
            assert message.whole, f"a witness has not seen the end of the request in place {place}: {witness.error}"
            assert each.body_bytes == len(message.body)
            assert each.forwarded is not None
            assert each.forwarded.body == message.body


def _ended_by_proxy_connection(witness: Reading, place: int) -> bool:
    """Whether llhttp may have ended here: it takes Proxy-Connection for Connection, which RFC 9112 §C.2.2 advises against."""
    return any(name == b"proxy-connection" for message in witness.messages[:place] for name, _ in message.headers)


def _check_outbound(received: bytes) -> None:
    """The requests that an upstream got: both witnesses see the same ones, and nothing beside them."""
    first, second = requests_by_h11(received), requests_by_llhttp(received)
    assert first.error is None, first.error
    assert second.error is None, second.error
    assert first.messages == second.messages
    assert all(message.whole for message in first.messages[:-1])


def _check_head(came: Message, went: Message) -> None:
    """The outbound request is the inbound one, without what must stay here and with what is ours, each line once."""
    assert went.first == came.first
    target = re.sub(rb"(?i)\Ahttps?://[^/?]*", b"", came.target)
    assert target == b"/api" or target.startswith((b"/api/", b"/api?"))
    path, mark, query = target.partition(b"?")
    assert went.target == b"/base" + (path[4:] or b"/") + mark + query
    assert went.body == came.body or not went.whole
    named = {
        _canonical(option.strip(b" \t"))
        for name, value in came.headers
        if _canonical(name) == b"connection"
        for option in value.split(b",")
    }
    vias = [(_canonical(name), value) for name, value in came.headers if _canonical(name) == b"via"]
    inherited = []
    added: list[bytes] = []
    takes = any(_canonical(name) == b"te" and b"trailers" in value.lower() for name, value in came.headers)
    assert [header for header in went.headers if header in TAKES_TRAILERS] in ([], list(TAKES_TRAILERS) if takes else [])
    for name, value in went.headers:
        canonical = _canonical(name)
        if (name, value) in TAKES_TRAILERS:
            continue
        if canonical in ADDED and (canonical, value) not in vias:
            added.append(canonical)
            continue
        assert canonical not in STAYS_HERE, canonical
        assert not canonical.startswith(STAYS_HERE_BY_PREFIX), canonical
        assert canonical not in named, f"Connection names {canonical!r}"
        inherited.append((name, value))
    assert len(added) == len(set(added)), "one of our own lines stands twice"
    assert set(ADDED) - set(added) <= {b"transfer-encoding"}
    names = dict(went.headers)
    assert names[b"via"] in (b"1.1 doorward", b"1.0 doorward")
    assert names[b"x-api-key"] == SECRET
    assert names[b"host"] == b"127.0.0.1:81"
    check_inherited(came.headers, inherited)
    chunked = any(_canonical(name) == b"transfer-encoding" for name, _ in came.headers)
    assert (b"transfer-encoding" in added) == chunked


def check_inherited(came: Headers, went: Headers) -> None:
    """Every line is one of the sender's, and those of one name keep their order (RFC 9110 §5.3)."""
    remaining: dict[bytes, list[bytes]] = {}
    for name, value in came:
        remaining.setdefault(name, []).append(value)
    for name, value in went:
        values = remaining.get(name, [])
        assert value in values, f"{name!r} is not the sender's, stands too often, or moved"
        del values[: values.index(value) + 1]


def _canonical(name: bytes) -> bytes:
    return name.lower().replace(b"_", b"-")


def _check_answers(talk: Conversation, served: list[Served]) -> None:
    """The caller can read one answer for each head or fault, and nothing else; only the last may be outstanding."""
    answered = [each.status is not None for each in served]
    assert all(answered[:-1])
    methods = [each.method.decode() for each in served if each.status is not None]
    if len(talk.heads) > len(served):  # what never became a head comes last, and has its answer too
        assert all(answered)
        assert len(talk.heads) == len(served) + 1
        methods.append("GET")
    by_h11 = responses_by_h11(talk.answers, methods, ended=False)
    assert by_h11.error is None, by_h11.error
    assert [message.whole for message in by_h11.messages] == [True] * len(methods), "an answer is missing or torn"
    assert by_h11.rest in (b"", b"HTTP/1.1 100 Continue\r\n\r\n"), "the caller gets more than its answers"
    assert [int(message.first) for message in by_h11.messages[: len(served)]] == [each.status for each in served if each.status]
    assert SECRET not in talk.answers
    assert AGENT.encode() not in talk.answers
    if "HEAD" not in methods:
        by_llhttp = response_by_llhttp(talk.answers)
        assert by_llhttp.error is None, by_llhttp.error
        ours = [(message.first, message.body, True) for message in by_h11.messages]
        assert [(message.first, message.body, message.whole) for message in by_llhttp.messages] == ours


def same(whole: list[Served], pieced: list[Served]) -> None:
    """The same requests, for as long as no body broke and no refusal came before its body.

    A refusal that is sent while the body is still under way ends the connection (RFC 9112 §9.6), and a body can break
    before or after something else was found wrong. Either way nothing that follows is served.
    """
    for one, other in zip(whole, pieced, strict=False):
        assert (one.method, one.target) == (other.method, other.target)
        if one.whole or other.whole:
            assert one == other
        elif one.code != other.code:
            assert not BODY_BROKEN.isdisjoint({one.code, other.code}), (one, other)
            return
    if len(whole) != len(pieced):
        shorter = min(whole, pieced, key=len)
        assert shorter, "bytes in pieces make a request, and whole they do not"
        assert shorter[-1].code is not None, (whole, pieced)
