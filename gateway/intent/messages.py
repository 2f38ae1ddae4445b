"""Reads the messages of MCP in a request body: JSON-RPC 2.0, each with one meaning or none; knows no policy and no socket.

What some server could read otherwise is refused: members whose names differ from those of the protocol only by case, numbers
that not every reader can hold, batches in revisions that have none, and methods that are not known here.
"""

import re
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

import orjson

from gateway.errors import Refusal
from gateway.mcp import Message

OLDEST: Final = "2025-03-26"
"""The revision that is meant where none is named, and the only one with batches."""
NEWEST: Final = "2026-07-28"
"""The first revision without sessions, in which every request says everything about itself."""
REVISIONS: Final = frozenset((OLDEST, "2025-06-18", "2025-11-25", NEWEST))
MOST_MESSAGES: Final = 8
"""How many messages one request may have."""
MOST_CALLS: Final = 4
"""How many of them may ask for something, so that each is recorded."""
MOST_RESOURCES: Final = 16
"""How many resources one message may subscribe to."""
LONGEST_CALL_ID: Final = 256
"""The longest id of a request, in bytes of JSON: it is repeated in a refusal."""

TOOL: Final = "tool"
PROMPT: Final = "prompt"
RESOURCE: Final = "resource"

_NAMED: Final[Mapping[str, tuple[str, str]]] = {
    "tools/call": (TOOL, "name"),
    "prompts/get": (PROMPT, "name"),
    "resources/read": (RESOURCE, "uri"),
    "resources/subscribe": (RESOURCE, "uri"),
    "resources/unsubscribe": (RESOURCE, "uri"),
}
"""Methods that ask for one thing, with its kind and the member that names it."""
LISTS: Final = frozenset(("tools/list", "prompts/list", "resources/list", "resources/templates/list"))
FREE: Final = LISTS | {
    "initialize",
    "logging/setLevel",
    "notifications/cancelled",
    "notifications/initialized",
    "notifications/progress",
    "notifications/roots/list_changed",
    "ping",
    "server/discover",
}
"""Methods that only set up, list, ping, cancel or report progress."""
_OF_TASKS: Final = "tasks/"
"""Methods of tasks of MCP (2025-11-25, and an extension of 2026-07-28). Whoever knows the id of one gets what it has made, and
an id cannot be bound to its caller where bodies go on as they came."""
_OF_SESSIONS: Final = frozenset(("resources/subscribe", "resources/unsubscribe"))
_COMPLETE: Final = "completion/complete"
_LISTEN: Final = "subscriptions/listen"


def _folded(*names: str) -> Mapping[str, str]:
    return {name.casefold(): name for name in names}


_MEMBERS: Final = _folded("jsonrpc", "id", "method", "params", "result", "error")
_PARAMS: Final = _folded("name", "arguments", "uri", "ref", "notifications", "_meta", "cursor", "task")
_REF: Final = _folded("type", "name", "uri")
_NOTIFICATIONS: Final = _folded("resourceSubscriptions")
_LONG_NUMBER: Final = re.compile(rb"[0-9]{16}|[0-9][eE]").search
_WHOLE: Final = range(-(1 << 63), 1 << 63)


class Messages(NamedTuple):
    """All messages of one request body."""

    each: tuple[Message, ...]
    batch: bool


def read_messages(value: Any, body: bytes, revision: str) -> Messages:
    """Read what `body` holds, whose JSON is `value`. Raises `Refusal`."""
    if _LONG_NUMBER(body) is not None:
        _require_plain_numbers(value)
    if not isinstance(value, list):
        return Messages((_read(value, revision),), batch=False)
    if revision != OLDEST:
        raise Refusal("request_malformed", f"Only revision {OLDEST} of MCP has batches; send one message in a request.")
    if not 0 < len(value) <= MOST_MESSAGES:
        raise Refusal("request_malformed", f"A batch has 1 to {MOST_MESSAGES} messages.")
    messages = tuple([_read(each, revision) for each in value])
    if sum(1 for message in messages if message.wanted) > MOST_CALLS:
        raise Refusal("request_malformed", f"A batch asks for at most {MOST_CALLS} things; send the others by themselves.")
    return Messages(messages, batch=True)


def asked_by(value: Any) -> bytes:
    """The ids of the requests in a body, as a refusal repeats them: JSON, a list for a batch, null where there is none."""
    if isinstance(value, list):
        each = [asked_by(message) for message in value[:MOST_MESSAGES] if isinstance(message, dict)]
        return b"[" + b",".join([call_id for call_id in each if call_id != b"null"]) + b"]"
    try:
        return _call_id(value) or b"null" if isinstance(value, dict) and "method" in value else b"null"
    except Refusal:
        return b"null"


def _read(value: Any, revision: str) -> Message:
    if not isinstance(value, dict) or value.get("jsonrpc") != "2.0":
        raise Refusal("request_malformed", "The body holds no message of JSON-RPC 2.0.")
    _require_exact(value, _MEMBERS)
    call_id = _call_id(value)
    method = value.get("method")
    if "result" in value or "error" in value:
        return _answer(value, call_id, revision)
    if not isinstance(method, str):
        raise Refusal("request_malformed", "A message has a method, or a result or an error.")
    params = value.get("params", {})
    if not isinstance(params, dict):
        raise Refusal("request_malformed", "The params of a message of MCP are an object.")
    _require_exact(params, _PARAMS)
    wanted = _wanted(method, params, revision)
    if call_id is None and wanted:
        raise Refusal("request_malformed", f"A message without an id cannot be one of {method}.")
    if wanted and "task" in params and revision != NEWEST:  # from then on servers have to ignore it
        raise Refusal("request_malformed", "What becomes a task of MCP could not be asked for here again; leave out `task`.")
    return Message(method, call_id, wanted, params)


def _answer(value: Mapping[str, Any], call_id: bytes | None, revision: str) -> Message:
    """What a caller answers to a request of the server; which one that was, only the server knows."""
    if "method" in value or ("result" in value) is ("error" in value) or call_id is None:
        raise Refusal("request_malformed", "A message is a request, a notification or an answer, and never two of them.")
    if revision == NEWEST:
        raise Refusal("request_malformed", f"Servers ask nothing in revision {NEWEST} of MCP, so nothing can be answered.")
    return Message("", call_id, (), {})


def _call_id(value: Mapping[str, Any]) -> bytes | None:
    """The id as JSON; None for a notification."""
    if "id" not in value:
        return None
    call_id = value["id"]
    if isinstance(call_id, bool) or not isinstance(call_id, (str, int)):
        raise Refusal("request_malformed", "The id of a message is a string or a whole number.")
    if isinstance(call_id, int) and call_id not in _WHOLE:
        raise Refusal("request_malformed", "The id of a message has more than 64 bits.")
    written = orjson.dumps(call_id)
    if len(written) > LONGEST_CALL_ID:
        raise Refusal("request_malformed", f"The id of a message has at most {LONGEST_CALL_ID} bytes.")
    return written


def _wanted(method: str, params: Mapping[str, Any], revision: str) -> tuple[tuple[str, str], ...]:
    """What a message asks for, kind and name each; nothing for one that is free. Raises `Refusal` for an unknown method."""
    if method in FREE:
        return ()
    named = _NAMED.get(method)
    if named is not None and not (revision == NEWEST and method in _OF_SESSIONS):
        kind, member = named
        return ((kind, _text(params, member, method)),)
    if method == _COMPLETE:
        return (_reference(params),)
    if method == _LISTEN:
        return _subscribed(params)
    if method.startswith(_OF_TASKS):
        raise Refusal("method_unknown", "Tasks of MCP are not known here, for none can be bound to the task of its caller.")
    raise Refusal("method_unknown")


def _reference(params: Mapping[str, Any]) -> tuple[str, str]:
    reference = params.get("ref")
    if not isinstance(reference, dict):
        raise Refusal("request_malformed", f"{_COMPLETE} says in `ref` what is to be completed.")
    _require_exact(reference, _REF)
    if reference.get("type") == "ref/prompt":
        return PROMPT, _text(reference, "name", _COMPLETE)
    if reference.get("type") == "ref/resource":
        return RESOURCE, without_expressions(_text(reference, "uri", _COMPLETE))
    raise Refusal("request_malformed", f"{_COMPLETE} knows ref/prompt and ref/resource.")


def _subscribed(params: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    notifications = params.get("notifications", {})
    if not isinstance(notifications, dict):
        raise Refusal("request_malformed", f"{_LISTEN} says in `notifications` what it wants to hear.")
    _require_exact(notifications, _NOTIFICATIONS)
    resources = notifications.get("resourceSubscriptions") or ()
    if not isinstance(resources, (list, tuple)) or not all(isinstance(uri, str) for uri in resources):
        raise Refusal("request_malformed", "resourceSubscriptions is a list of URIs.")
    if len(resources) > MOST_RESOURCES:
        raise Refusal("request_malformed", f"A message subscribes to at most {MOST_RESOURCES} resources.")
    return tuple((RESOURCE, uri) for uri in resources)


def without_expressions(template: str) -> str:
    """A URI template (RFC 6570) as one URI that it makes, so that it can be compared like one."""
    return _EXPRESSION.sub("0", template)


_EXPRESSION: Final = re.compile(r"\{[A-Za-z0-9_.,*:]+\}")


def _text(members: Mapping[str, Any], name: str, method: str) -> str:
    value = members.get(name)
    if not isinstance(value, str):
        raise Refusal("request_malformed", f"{method} needs a text in `{name}`.")
    return value


def _require_exact(members: Mapping[str, Any], known: Mapping[str, str]) -> None:
    """Refuse a name that a reader without regard for case takes for one of the protocol's."""
    for name in members:
        if known.get(name.casefold(), name) != name:
            raise Refusal("request_malformed", "A member has a name of the protocol in other letters.")


def _require_plain_numbers(value: Any) -> None:
    pending = [value]
    while pending:
        each = pending.pop()
        if isinstance(each, dict):
            pending += each.values()
        elif isinstance(each, list):
            pending += each
        elif isinstance(each, float) and each - each != 0:
            raise Refusal("request_malformed", "A number in the body is larger than a float.")
        elif isinstance(each, int) and each not in _WHOLE:
            raise Refusal("request_malformed", "A whole number in the body has more than 64 bits.")
