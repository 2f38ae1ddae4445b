"""The outbound head: what it is made of, and what of the caller's never goes out."""

import os
import pwd
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.clock import Clock
from gateway.credentials.apply import apply
from gateway.credentials.injectors import INJECTORS
from gateway.credentials.obtain import Credential
from gateway.credentials.scrub import SecretScrubber
from gateway.credentials.secret import Secret
from gateway.errors import Refusal
from gateway.http.head import RequestHead, parse_request
from gateway.http.outbound import Outbound, PoolKey
from gateway.model import Coverage, Operation, Permit, Principal, Use
from gateway.settings.compile import compile_configuration
from gateway.settings.compiled import Compiled
from gateway.settings.load import load_text

SECRET = b"secret-of-the-upstream"
SCRUBBER = SecretScrubber((Secret(SECRET),))
CANARY = "canary-of-the-caller"
TRACED = SimpleNamespace(request_id="1" * 32, trace_id="2" * 32, span_id="3" * 16)
USER = pwd.getpwuid(os.getuid()).pw_name
TODAY = Clock().stamp(Clock().now())[:10]
CONFIGURATION = f"""
version: 1
tenant: acme
gateway: {{intent_header: X-Why}}
identities:
  host:
    unix: {{users: {{{USER}: spiffe://acme.example/host/me}}}}
    same_user: true
upstreams:
  billing:
    url: https://api.example/base
    credential: by-header
    token_in: [x-goog-api-key]
  internal:
    url: http://[fd00::1]:8000
    credential: by-bearer
  old:
    url: http://old.example:80
    credential: by-cookie
credentials:
  by-header: &one
    secret: {{env: NONE}}
    inject: {{header: X-Api-Key}}
    exception: {{owner: tests, reason: tests, expires: {TODAY}, review_every: 30d, reviewed: {TODAY}}}
  by-bearer: {{<<: *one, inject: {{bearer: {{}}}}}}
  by-cookie: {{<<: *one, inject: {{header: Cookie}}}}
intents:
  x: {{upstream: billing, operations: [GET /x]}}
grants:
  - {{name: all, agents: [spiffe://acme.example/host/me], intents: [x]}}
"""

COMPILED: Compiled = compile_configuration(load_text(CONFIGURATION, Path("f"), {}), Clock().now())


def head(*lines: str, path: str = "/billing/x?a=1", method: str = "GET") -> RequestHead:
    """A parsed request, as the gateway of this configuration admits it."""
    text = "\r\n".join((f"{method} {path} HTTP/1.1", "Host: of-the-caller.example", *lines))
    return parse_request(text.encode("latin-1"), COMPILED.admission.vocabulary, most_lines=50)


def credential(
    injector: str = "header", configuration: object = "X-Api-Key", *, secret: bytes = SECRET, version: str = "v1"
) -> Credential:
    """A credential of a real injector."""
    kind = INJECTORS[injector]
    built = kind.build(kind.config.model_validate(configuration))
    return Credential("by-" + injector, version, built.places, Secret(built.lines(Secret(secret))), SCRUBBER)


def permit(request: RequestHead, upstream: str = "billing") -> Permit:
    """A permit for the request, as only a decision makes it."""
    to = COMPILED.upstreams[upstream]
    path = request.path.removeprefix(to.prefix) or "/"
    use = Use(None, Operation(request.method, path, request.target.segments), (Coverage("x", {}, ()),))
    principal = Principal(
        agent="spiffe://acme.example/host/me", subject="s", tenant="acme", task="t", token="j", intents=frozenset(("x",)),
        expires=4e9, epoch="e", marks=frozenset(),
    )  # fmt: skip
    return Permit._issue(principal=principal, use=use, upstream=to, intent=use.observed[0], grant="g", policy="p")


def outbound(request: RequestHead, upstream: str = "billing", using: Credential | None = None) -> Outbound:
    """What goes out for a permitted request."""
    return apply(using or credential(), permit(request, upstream), request, TRACED)


def lines(sent: Outbound) -> list[str]:
    """The lines of a head, once it was checked to be one head and nothing more."""
    assert sent.head.endswith(b"\r\n\r\n")
    assert sent.head.count(b"\r\n\r\n") == 1
    return sent.head[:-4].decode("latin-1").split("\r\n")


def test_the_head_is_ours_and_what_may_go_on() -> None:
    """Request line, Host, Via and ids are made here; the caller's plain lines keep their spelling and place."""
    sent = lines(outbound(head("Accept:  text/plain ", "X-Two: a", "x-two: b", "Content-Length: 3", method="POST")))
    assert sent == [
        "POST /base/x?a=1 HTTP/1.1", "Host: api.example", "Accept:  text/plain ", "X-Two: a", "x-two: b", "Content-Length: 3",
        "Accept-Encoding: identity", "Via: 1.1 doorward", "X-Request-Id: " + "1" * 32,
        f"traceparent: 00-{'2' * 32}-{'3' * 16}-01",
        "X-Api-Key: " + SECRET.decode(),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("upstream", "path", "first", "host"),
    [
        ("billing", "/billing", "GET /base/ HTTP/1.1", "api.example"),
        ("billing", "/billing/a%20b?x=%2F", "GET /base/a%20b?x=%2F HTTP/1.1", "api.example"),
        ("billing", "/billing/x?", "GET /base/x? HTTP/1.1", "api.example"),
        ("internal", "/internal/x", "GET /x HTTP/1.1", "[fd00::1]:8000"),
        ("old", "/old/x", "GET /x HTTP/1.1", "old.example"),
    ],
)
def test_the_target_is_the_upstreams_own(upstream: str, path: str, first: str, host: str) -> None:
    """The prefix goes off, the base path on, and the rest is forwarded as it came; Host names the upstream alone."""
    sent = lines(outbound(head(path=path), upstream))
    assert sent[:2] == [first, f"Host: {host}"]
    assert "of-the-caller" not in str(sent)


NEVER = (
    "authorization", "dpop", "x-why", "agent-intent", "agent-task", "cookie", "forwarded", "x-forwarded-for",
    "x-forwarded-host", "x-real-ip", "client-cert", "client-cert-chain", "proxy-authorization", "proxy-connection", "proxy-x",
    "keep-alive", "te", "trailer", "x-request-id", "traceparent", "tracestate", "x-goog-api-key", "x-api-key",
)  # fmt: skip


@st.composite
def spelled(draw: st.DrawFn, names: tuple[str, ...] = NEVER) -> str:
    """One of the names in any case, with `_` for `-` here and there."""
    name = draw(st.sampled_from(names))
    return "".join(draw(st.sampled_from(sorted({c, c.upper(), "_" if c == "-" else c}))) for c in name)


@given(st.lists(spelled(), min_size=1, max_size=6))
def test_what_is_the_callers_alone_never_goes_out(names: list[str]) -> None:
    """Credentials, intent, hop-by-hop fields and what only a gateway may say, however they are spelled."""
    assert CANARY not in outbound(head(*(f"{name}: {CANARY}" for name in names))).head.decode("latin-1")


@given(spelled(("x-session", "x-hop", "accept")))
def test_what_connection_names_never_goes_out(name: str) -> None:
    """A field that belongs to the caller's hop ends with it (RFC 9110 §7.6.1)."""
    sent = outbound(head(f"Connection: close, {name}", f"{name}: {CANARY}")).head.decode("latin-1")
    assert CANARY not in sent
    assert "connection" not in sent.lower()


@given(spelled(("content-length", "transfer-encoding")))
def test_what_delimits_a_message_goes_out_in_one_spelling_or_not_at_all(name: str) -> None:
    """An upstream that folds `_` into `-` must not see a second framing."""
    request = (f"{name}: {'3' if 'ength' in name.lower() else 'chunked'}",)
    if "_" in name:
        with pytest.raises(Refusal):
            head(*request, method="POST")
    else:
        sent = lines(outbound(head(*request, method="POST")))
        assert sum(line.lower().startswith(name.lower()) for line in sent) == 1


def test_expect_is_answered_here_and_goes_no_further() -> None:
    """The upstream gets head and body when both are there (RFC 9110 §10.1.1)."""
    sent = lines(outbound(head("Expect: 100-continue", "Content-Length: 3", method="POST")))
    assert not any(line.lower().startswith("expect") for line in sent)


def test_chunks_are_announced_by_us() -> None:
    """The caller's own line stays here, whatever its spelling of the coding."""
    sent = lines(outbound(head("Transfer-Encoding: Chunked", method="POST")))
    assert [line for line in sent if line.lower().startswith("transfer-encoding")] == ["Transfer-Encoding: chunked"]


def test_the_callers_trace_goes_on_with_our_span() -> None:
    """Its flags and vendor notes belong to it; without a valid trace neither goes out (W3C Trace Context §3.3)."""
    caller = f"traceparent: 00-{'a' * 32}-{'b' * 16}-00"
    sent = lines(outbound(head(caller, "tracestate: v=1", "tracestate: w=2")))
    assert f"traceparent: 00-{'2' * 32}-{'3' * 16}-00" in sent
    assert [line for line in sent if line.startswith("tracestate")] == ["tracestate: v=1", "tracestate: w=2"]
    assert caller not in sent
    assert "tracestate" not in str(lines(outbound(head("traceparent: 00-x", "tracestate: v=1"))))
    assert "tracestate" not in str(lines(outbound(head(caller, caller, "tracestate: v=1"))))


@pytest.mark.parametrize(
    ("injector", "configuration", "upstream", "name"),
    [
        ("header", "X-Api-Key", "billing", "x-api-key"),
        ("header", "X_Api_Key", "billing", "x-api-key"),
        ("header", "Cookie", "old", "cookie"),
        ("bearer", {}, "internal", "authorization"),
    ],
)
@given(spelling=st.randoms(use_true_random=False))
def test_the_place_of_the_secret_holds_the_secret_alone(injector, configuration, upstream, name, spelling) -> None:
    """The caller's lines of that name stay here in every spelling, and ours stands there once."""
    theirs = "".join(spelling.choice([c.upper(), c, "_" if c == "-" else c]) for c in name)
    sent = lines(outbound(head(f"{theirs}: {CANARY}", path=f"/{upstream}/x"), upstream, credential(injector, configuration)))
    found = [line for line in sent if line.partition(":")[0].lower().replace("_", "-") == name]
    assert len(found) == 1
    assert found[0].endswith(SECRET.decode())


def test_another_upstreams_place_is_an_ordinary_header_here() -> None:
    """A header that only another upstream's key goes into is forwarded, unless it never is."""
    sent = lines(outbound(head("X-Api-Key: mine", "Cookie: mine", path="/internal/x"), "internal", credential("bearer", {})))
    assert "X-Api-Key: mine" in sent
    assert not any(line.startswith("Cookie") for line in sent)


def test_the_inbound_head_is_not_edited() -> None:
    """It is still what the caller sent, for the record and for a second try."""
    request = head("Accept: a", "X-Api-Key: b", "Cookie: c", "Transfer-Encoding: chunked", method="POST")
    before = (list(request.forward), {name: list(fields) for name, fields in request.watched.items()}, request.framing)
    assert outbound(request).head == outbound(request).head
    assert before == (request.forward, request.watched, request.framing)


def test_the_outbound_request_shows_nothing_and_is_pooled_by_its_credential() -> None:
    """Two secrets never share a connection, and no repr holds one."""
    sent = outbound(head())
    assert sent.key == PoolKey(COMPILED.upstreams["billing"], "by-header", "v1")
    assert repr(sent) == "<Outbound GET to billing>"
    assert SECRET.decode() not in f"{sent} {sent.key}"


def test_a_permit_that_comes_again_gets_new_ids_and_the_newest_secret() -> None:
    """Nothing of one exchange stands in the next: neither its ids nor a secret that was exchanged since."""
    request = head("Accept: a")
    given = permit(request)
    first = lines(apply(credential(), given, request, TRACED))
    again = SimpleNamespace(request_id="4" * 32, trace_id="5" * 32, span_id="6" * 16)
    newer = credential(secret=b"newer-secret", version="v2")
    second = apply(newer, given, request, again)
    assert lines(second)[-3:] == [
        "X-Request-Id: " + "4" * 32, f"traceparent: 00-{'5' * 32}-{'6' * 16}-01", "X-Api-Key: newer-secret",
    ]  # fmt: skip
    assert lines(second)[:-3] == first[:-3]
    assert second.key == PoolKey(COMPILED.upstreams["billing"], "by-header", "v2")
    elsewhere = lines(apply(credential("header", "X-Other"), given, request, TRACED))
    assert elsewhere[-1] == "X-Other: " + SECRET.decode()
    assert lines(apply(credential(), given, request, TRACED)) == first
