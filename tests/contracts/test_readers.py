"""What every reader of operations in the registry promises: what it judges is what is forwarded; knows no protocol."""

from collections.abc import Coroutine
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from gateway.errors import Refusal
from gateway.http.fields import request_vocabulary
from gateway.http.head import RequestHead, parse_request
from gateway.http.routes import Routes
from gateway.http.waiting import Wait
from gateway.http.websocket import OPERATION
from gateway.intent.index import OperationIndex
from gateway.intent.readers import READERS
from gateway.intent.rules import METHODS, IntentRule
from gateway.model import Coverage, Operation, Origin, Principal, Upstream

BY_NAME = pytest.mark.parametrize("name", sorted(READERS))
BY_HEAD = [name for name, kind in READERS.items() if kind.build(kind.config()).by_head_alone]
OF_HEADS = pytest.mark.parametrize("name", sorted(BY_HEAD))
"""Readers that go by method and path."""
OF_BODIES = pytest.mark.parametrize("name", sorted(READERS.keys() - set(BY_HEAD)))
"""Readers that go by the body, each with an operation and with a body that asks for it."""
SAMPLES = {
    "mcp": ("tool look", b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"look","arguments":{"at":1}}}'),
}
EVERYTHING = OperationIndex(
    {"all": IntentRule(upstream="api", operations=[f"{method} /{{rest...}}" for method in sorted(METHODS)])}
)
PREFIXES = ("", "/api", "/a/b", "/v1.0")
SEGMENT = st.text("abz019._~!$&'()*+,=:@-", min_size=1, max_size=6) | st.sampled_from(("%20", "a%C3%BC", "%2B", "x%40y", "%3B"))


class Caller:
    """A caller that sends no body: a reader that touches it for a request without one does too much."""

    def __getattr__(self, name: str) -> Any:
        raise AssertionError(f"the reader asked the caller for {name}")


def upstream(prefix: str) -> Upstream:
    return Upstream(
        tenant="t", name="api", origin=Origin("https", "api.example", 443), prefix=prefix, base_path="/base",
        protocol="http", credential="key",
    )  # fmt: skip


def parsed(target: str, method: str = "GET") -> RequestHead:
    head = f"{method} {target} HTTP/1.1\r\nHost: doorward.test".encode()
    return parse_request(head, request_vocabulary(()), most_lines=10)


def driven(life: Coroutine[Any, Any, Any]) -> Any:
    """Run a step that has nothing to wait for; it may only ever await our own waits."""
    try:
        waited = life.send(None)
    except StopIteration as end:
        return end.value
    assert isinstance(waited, Wait)
    raise AssertionError("the reader waits although there is no body")


def read(name: str, target: str, prefix: str = "/api", method: str = "GET") -> tuple[Operation, tuple[Coverage, ...]]:
    kind = READERS[name]
    reader = kind.build(kind.config())
    return driven(reader.read(parsed(target, method), upstream(prefix), Caller(), EVERYTHING))


@pytest.mark.interpreted("a compiled step takes a Downstream and nothing like it")
@OF_HEADS
@given(segments=st.lists(SEGMENT, min_size=1, max_size=4), prefix=st.sampled_from(PREFIXES), slash=st.booleans())
def test_what_it_judges_is_what_is_forwarded(name, segments, prefix, slash):
    """The operation's path is the raw path after the prefix, and its segments are the decoded ones of that very path."""
    target = f"{prefix}/{'/'.join(segments)}{'/' if slash else ''}"
    try:
        head = parsed(target)
    except Refusal:
        return
    assert Routes([upstream(prefix)]).match(head).prefix == prefix
    operation, _ = read(name, target, prefix)
    assert prefix + operation.path == target
    assert parsed(operation.path).target.segments == operation.segments


@pytest.mark.interpreted("a compiled step takes a Downstream and nothing like it")
@OF_HEADS
@pytest.mark.parametrize("method", sorted(METHODS - {OPERATION}))
def test_the_method_is_the_one_that_was_sent(name, method):
    """No method is read as another."""
    operation, observed = read(name, "/api/x", method=method)
    assert operation.method == method
    assert [coverage.intent for coverage in observed] == ["all"]


@pytest.mark.interpreted("a compiled step takes a Downstream and nothing like it")
@OF_HEADS
def test_the_prefix_alone_is_the_root(name):
    """A request for the prefix itself is one for the upstream's root."""
    operation, _ = read(name, "/api")
    assert (operation.path, operation.segments) == ("/", ("",))


@pytest.mark.interpreted("a compiled step takes a Downstream and nothing like it")
@OF_HEADS
def test_what_no_template_covers_is_covered_by_nothing(name):
    """A method that no operation names has no intent, and silence is denial later."""
    kind = READERS[name]
    index = OperationIndex({"read": IntentRule(upstream="api", operations=["GET /x"])})
    reader = kind.build(kind.config())
    _, observed = driven(reader.read(parsed("/api/x", "DELETE"), upstream("/api"), Caller(), index))
    assert observed == ()


class Sender:
    """A caller whose body has come in whole."""

    def __init__(self, body: bytes) -> None:
        self.held = body
        self.bearer = Principal(
            agent="spiffe://t/a", subject="spiffe://t/a", tenant="t", task="1", token="1", intents=frozenset(("all", "other")),
            expires=1e12, epoch="", marks=frozenset(),
        )  # fmt: skip
        self.answers: Any = None

    def look_ahead(self, _most: int, _head: RequestHead) -> None:
        """There is nothing to wait for."""


def read_body(name: str, body: bytes, *operations: str) -> tuple[Sender, Operation, tuple[Coverage, ...]]:
    kind = READERS[name]
    lines = f"POST /api HTTP/1.1\r\nHost: doorward.test\r\nContent-Type: application/json\r\nContent-Length: {len(body)}"
    head = parse_request(lines.encode(), request_vocabulary(()), most_lines=10)
    index = OperationIndex({"all": IntentRule(upstream="api", operations=list(operations))})
    caller = Sender(body)
    reader = kind.build(kind.config()).ready(bytes(32), 1 << 16)
    return caller, *driven(reader.read(head, upstream("/api"), caller, index))


@pytest.mark.interpreted("a compiled step takes a Downstream and nothing like it")
@OF_BODIES
def test_what_it_reads_of_a_body_is_left_as_it_came(name):
    """The bytes that were judged are those that are forwarded."""
    operation, body = SAMPLES[name]
    caller, _, observed = read_body(name, body, operation)
    assert caller.held == body
    assert [coverage.intent for coverage in observed] == ["all"]


@pytest.mark.interpreted("a compiled step takes a Downstream and nothing like it")
@OF_BODIES
@pytest.mark.parametrize("spoiled", [b"", b"{", b"[", b"\xef\xbb\xbf{}", b"\xff", b"null", b"1", b"[]", b"{}"])
def test_a_body_that_asks_for_nothing_is_refused(name, spoiled):
    """What cannot be read is no operation, and nothing that could be forwarded."""
    with pytest.raises(Refusal) as refused:
        read_body(name, spoiled, SAMPLES[name][0])
    assert refused.value.code == "request_malformed"


@BY_NAME
def test_an_unknown_key_is_refused(name):
    """A key that the reader does not know is an error rather than silence."""
    with pytest.raises(ValidationError):
        READERS[name].config.model_validate({"surplus": "x"})
