"""What records say of requests of MCP: names and a digest, values only where an intent says so; knows no protocol."""

import hmac

import orjson
import pytest

from gateway.audit.calls import Calls
from gateway.audit.chain import Chain
from gateway.audit.members import CLOSING_REST, OPENING, Exchange, Members
from gateway.errors import Refusal
from gateway.mcp import Asks, Message
from gateway.model import Coverage, DeclaredIntent, Operation, Outcome, Principal, Use

KEY = bytes(range(32))


def asks(*messages: Message, logged: dict[str, tuple[str, ...]] | None = None) -> Asks:
    return Asks(messages, ("read",), logged or {}, (), lists=False)


def call(arguments: dict | None, names: tuple[str, ...] = ("look",), method: str = "tools/call") -> Message:
    params = {} if arguments is None else {"arguments": arguments}
    return Message(method, b"1", tuple(("tool", name) for name in names), params)


def written(asked: Asks | None, intent: str | None = "read") -> list[dict]:
    text = Calls(KEY).asked(asked, intent)
    return orjson.loads("{" + text.rstrip(",") + "}").get("mcp", [])


def test_arguments_are_digested_whatever_their_order():
    """The digest is that of the canonical form under the key of the log, and no value is written."""
    one, other = call({"b": 2, "a": "secret"}), call({"a": "secret", "b": 2})
    (first,), (second,) = written(asks(one)), written(asks(other))
    assert first == second
    assert first["arguments"] == hmac.digest(KEY, b'{"a":"secret","b":2}', "sha256").hex()
    assert "secret" not in str(first)
    assert written(asks(call({"a": "secret", "b": 3})))[0]["arguments"] != first["arguments"]


def test_values_are_written_only_where_the_intent_says_so():
    """Those that it names, and that are there; of the intent that was decided on, and no other."""
    asked = asks(call({"issue": 7, "text": "x", "deep": {"b": 1, "a": [2]}}), logged={"read": ("issue", "deep", "absent")})
    assert written(asked)[0]["logged"] == {"issue": "7", "deep": '{"a":[2],"b":1}'}
    assert written(asked, "write")[0]["logged"] == {}
    assert written(asked, None)[0]["logged"] == {}


def test_a_token_in_an_argument_is_not_written():
    """What has the form of one is replaced, as everywhere."""
    asked = asks(call({"text": "dwt_abcdefghijklmnop"}), logged={"read": ("text",)})
    assert written(asked)[0]["logged"] == {"text": "[token]"}


def test_what_asks_for_nothing_has_no_digest():
    """A method alone, and an answer without one."""
    listed, answer = Message("tools/list", b"1", (), {"cursor": "x"}), Message("", b"1", (), {})
    assert written(asks(listed, answer)) == [
        {"method": "tools/list", "names": [], "arguments": None, "logged": {}},
        {"method": None, "names": [], "arguments": None, "logged": {}},
    ]
    assert Calls(KEY).asked(None, None) == ""


def test_many_names_are_cut():
    """Only a subscription has many."""
    assert written(asks(call(None, ("a", "b", "c"))))[0]["names"] == ["a", "\N{HORIZONTAL ELLIPSIS}"]


def test_a_response_says_how_calls_ended():
    """Where there was one, or where something was hidden."""
    outcome = Outcome()
    assert Calls(KEY).ended(outcome) == ""
    outcome.calls, outcome.hidden = ("ok", None), 3
    assert Calls(KEY).ended(outcome) == '"mcp":{"endings":["ok",null],"hidden":3},'


@pytest.mark.parametrize("letter", ["a", '"', "é", "😀"])
def test_a_record_with_calls_is_not_larger_than_what_is_reserved(letter, parts):
    """With as many messages as a body may have, and every string too long, both records fit."""
    long = letter * 5000
    names = tuple(f"{number}{long}" for number in range(9))
    several = [call(dict.fromkeys(names, long), (long, long, long), long) for _ in range(4)]
    asked = asks(*several, *[Message(long, b"1", (), {})] * 4, logged={long: names[:4]})
    operation = Operation("POST", "", ("",))
    operation.asks = asked
    coverage = Coverage(long, dict.fromkeys(names, long), (long,) * 99)
    use = Use(DeclaredIntent(long, long, long), operation, (coverage,) * 99)
    principal = Principal(agent=long, subject=long, tenant=long, task=long, token=long, intents=frozenset(), expires=0,
                          epoch="", marks=frozenset(), issuer=long)  # fmt: skip
    exchange = Exchange("0" * 32, "0" * 32, long, parts.head(long, "POST", ()), parts.upstream, principal, use)
    members = Members()
    allowed = members.allowed(exchange, parts.permit(use, principal=principal, grant=long, policy=long))
    denied = members.unpermitted(exchange, Refusal("intent_not_granted"))
    for text in (allowed, denied):
        assert len(Chain().line("2026-11-23T18:00:00.123456Z", text)) < OPENING
    outcome = Outcome(long[:500], 599, long[:500], 2**63, 2**63, 1e9, long[:500])
    outcome.calls, outcome.hidden = ("input_required",) * 4, 2**63
    answer = members.answer(exchange)
    closed = members.closed(answer, outcome, parts.credential, 1e9)
    assert len(Chain().line("2026-11-23T18:00:00.123456Z", closed)) < len(answer.encode()) + CLOSING_REST
