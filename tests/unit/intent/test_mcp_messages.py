"""Messages of MCP as they are read from a body; knows no connection."""

import json

import pytest

from gateway.errors import Refusal
from gateway.intent.messages import (
    LONGEST_CALL_ID,
    MOST_CALLS,
    MOST_MESSAGES,
    MOST_RESOURCES,
    NEWEST,
    OLDEST,
    asked_by,
    read_messages,
    without_expressions,
)


def read(value, revision: str = OLDEST):
    return read_messages(value, json.dumps(value).encode(), revision)


def message(method: str, params: dict, call_id=1) -> dict:
    return {"jsonrpc": "2.0", "id": call_id, "method": method, "params": params}


@pytest.mark.parametrize(
    ("method", "params", "wanted"),
    [
        ("tools/call", {"name": "look", "arguments": {}}, (("tool", "look"),)),
        ("prompts/get", {"name": "review"}, (("prompt", "review"),)),
        ("resources/read", {"uri": "a://b"}, (("resource", "a://b"),)),
        ("resources/subscribe", {"uri": "a://b"}, (("resource", "a://b"),)),
        ("completion/complete", {"ref": {"type": "ref/prompt", "name": "review"}}, (("prompt", "review"),)),
        ("completion/complete", {"ref": {"type": "ref/resource", "uri": "a://b/{c}"}}, (("resource", "a://b/0"),)),
        ("subscriptions/listen", {"notifications": {"toolsListChanged": True}}, ()),
        ("subscriptions/listen", {"notifications": {"resourceSubscriptions": ["a://b", "a://c"]}},
         (("resource", "a://b"), ("resource", "a://c"))),
        ("tools/list", {}, ()),
        ("ping", {}, ()),
    ],
)  # fmt: skip
def test_each_method_asks_for_what_it_names(method, params, wanted):
    """And what only sets up or lists asks for nothing."""
    (one,) = read(message(method, params)).each
    assert (one.method, one.wanted, one.call_id) == (method, wanted, b"1")


@pytest.mark.parametrize(
    ("method", "params"),
    [
        ("completion/complete", {}),
        ("completion/complete", {"ref": {"type": "ref/tool", "name": "x"}}),
        ("completion/complete", {"ref": {"type": "ref/prompt", "Name": "x"}}),
        ("subscriptions/listen", {"notifications": {"resourceSubscriptions": "a://b"}}),
        ("subscriptions/listen", {"notifications": {"ResourceSubscriptions": ["a://b"]}}),
        ("subscriptions/listen", {"notifications": {"resourceSubscriptions": [1]}}),
        ("subscriptions/listen", {"notifications": {"resourceSubscriptions": ["a://b"] * (MOST_RESOURCES + 1)}}),
    ],
)
def test_what_does_not_say_plainly_what_it_asks_for_is_refused(method, params):
    """No reference, none that is known, or one in other letters."""
    with pytest.raises(Refusal):
        read(message(method, params))


@pytest.mark.parametrize("method", ["resources/subscribe", "resources/unsubscribe"])
def test_methods_that_need_a_session_are_unknown_where_there_is_none(method):
    """They are gone from revision 2026-07-28 on."""
    with pytest.raises(Refusal) as refused:
        read(message(method, {"uri": "a://b"}), NEWEST)
    assert refused.value.code == "method_unknown"


def test_bounds_of_a_body():
    """As many messages, calls and bytes of an id as are said, and no more."""
    ping, look = message("ping", {}), message("tools/call", {"name": "look"})
    assert len(read([ping] * MOST_MESSAGES).each) == MOST_MESSAGES
    assert len(read([look] * MOST_CALLS + [ping]).each) == MOST_CALLS + 1
    assert read(message("ping", {}, "x" * (LONGEST_CALL_ID - 2)))
    for value in ([ping] * (MOST_MESSAGES + 1), [look] * (MOST_CALLS + 1), message("ping", {}, "x" * (LONGEST_CALL_ID - 1))):
        with pytest.raises(Refusal):
            read(value)


@pytest.mark.parametrize(
    ("value", "asked"),
    [
        (message("x", {}), b"1"),
        (message("x", {}, "a"), b'"a"'),
        ({"method": "x"}, b"null"),
        ({"id": 1}, b"null"),
        ({"method": "x", "id": 1.5}, b"null"),
        ({"method": "x", "id": 10**30}, b"null"),
        ([message("x", {}), {"method": "y"}, 7, message("z", {}, "b")], b'[1,"b"]'),
        (7, b"null"),
    ],
)
def test_a_refusal_repeats_the_id_where_there_is_one(value, asked):
    """Also of a message that is refused for something else."""
    assert asked_by(value) == asked


def test_a_template_of_a_uri_is_compared_as_one_that_it_makes():
    """Each of its expressions stands for something."""
    assert without_expressions("a://{x}/b/{+y}/{z}") == "a://0/b/{+y}/0"
