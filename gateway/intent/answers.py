"""Reads the answers of a server of MCP: cuts lists, seals names of sessions, sees how calls ended; knows no policy.

Which intents the task may use was decided before, and which of them cover an entry of a list says the index.
"""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Final, final

import orjson

from gateway.errors import Refusal
from gateway.http.events import Events
from gateway.http.read_body import Reading
from gateway.http.response_head import ResponseHead
from gateway.intent.index import OperationIndex
from gateway.intent.messages import PROMPT, RESOURCE, TOOL, without_expressions
from gateway.intent.names import UnfitNameError, segments_of
from gateway.intent.sealing import Seal
from gateway.mcp import Asks, Usable
from gateway.model import Outcome, Principal, Upstream

LONGEST_LIST: Final = 4 * 1024 * 1024
"""The longest list that is read, in bytes."""
LONGEST_ANSWER: Final = 64 * 1024
"""Of an answer to a call as much is read to see how it ended, in bytes; a longer one passes unseen."""

SESSION: Final = b"session"
EVENT: Final = b"event"

_LISTED: Final[Mapping[str, tuple[str, str]]] = {
    "tools": (TOOL, "name"),
    "prompts": (PROMPT, "name"),
    "resources": (RESOURCE, "uri"),
    "resourceTemplates": (RESOURCE, "uriTemplate"),
}
"""Members of a result that list something, with the kind of their entries and the member that names one."""
_UNFINISHED: Final = ("input_required", "task")
"""Results that say that the call has not ended: it is asked again, or the server goes on by itself (MCP 2026-07-28)."""
_MARKS: Final = tuple(f'"{name}"'.encode() for name in _LISTED)
_DISGUISES: Final = (b"\\u", b"\0")
"""How a mark can be spelled otherwise: escaped, or in an encoding with wider characters, which is no JSON (RFC 8259 §8.1)."""


@final
class McpAnswers:
    """The answers to one request."""

    __slots__ = ("_index", "_principal", "_seal", "_upstream", "asked", "asks")

    def __init__(self, upstream: Upstream, principal: Principal, index: OperationIndex, seal: Seal) -> None:
        self._upstream: Final = upstream
        self._principal: Final = principal
        self._index: Final = index
        self._seal: Final = seal
        self.asked = b"null"
        """The id of the request as JSON, or a list of those of a batch; null while it is not known."""
        self.asks: Asks | None = None
        """What the request asks for, once that is known."""

    def head(self, lines: list[bytes]) -> list[bytes]:
        """Seal the name of the session, if the server gives one."""
        return [self._sealed_line(line) if line[:15].lower() == b"mcp-session-id:" else line for line in lines]

    def reading(self, response: ResponseHead, outcome: Outcome) -> Reading | None:
        """What reads the body, by its type."""
        asks = self.asks
        if asks is None:
            return None
        if asks.calls:
            outcome.calls = tuple([None for _ in asks.calls])
        kind = _content_type(response)
        if kind == b"text/event-stream":
            return Events(EventListener(self, asks, outcome))
        if asks.lists and response.status < HTTPStatus.MULTIPLE_CHOICES:
            if kind != b"application/json":
                raise Refusal(
                    "upstream_failed", "The upstream answered with a list that is neither JSON nor a stream of events."
                )
            return GatheredList(self, asks, outcome)
        return SeenAnswer(self, asks, outcome) if asks.calls and kind == b"application/json" else None

    def cut(self, content: bytes, asks: Asks, outcome: Outcome) -> bytes:
        """Take out of lists what the task may not use; the same object where there is nothing to take out."""
        if asks.uncut or not any(mark in content for mark in (*_MARKS, *_DISGUISES)):
            return content
        try:
            value = orjson.loads(content)
        except orjson.JSONDecodeError:
            raise Refusal("upstream_failed", "The upstream answered with a list that is no JSON.") from None
        before = outcome.hidden
        changed = False
        for answer in value if isinstance(value, list) else (value,):
            result = answer.get("result") if isinstance(answer, dict) else None
            if isinstance(result, dict):
                changed = self._cut_result(result, asks, outcome) or changed
        return orjson.dumps(value) if changed or outcome.hidden > before else content

    def note(self, content: bytes, asks: Asks, outcome: Outcome) -> None:
        """See how calls ended, if an answer says so."""
        try:
            value = orjson.loads(content)
        except orjson.JSONDecodeError:
            return
        noted = dict(zip(_ids(asks), outcome.calls or (), strict=False))
        for answer in value if isinstance(value, list) else (value,):
            if isinstance(answer, dict) and "id" in answer and ("result" in answer or "error" in answer):
                call_id = orjson.dumps(answer["id"])
                if call_id in noted:
                    noted[call_id] = _ending(answer)
        outcome.calls = tuple([noted[call_id] for call_id in _ids(asks)])

    def sealed(self, name: bytes, purpose: bytes) -> bytes:
        """A name of the upstream as the caller may know it."""
        sealed = self._seal.close(name, purpose, self._principal, self._upstream)
        if sealed is None:
            raise Refusal(
                "upstream_failed", "The upstream gave a name to a session or an event that is too long or fits no header."
            )
        return sealed

    def _sealed_line(self, line: bytes) -> bytes:
        return b"Mcp-Session-Id: " + self.sealed(line[15:].strip(b" \t"), SESSION)

    def _cut_result(self, result: dict[str, Any], asks: Asks, outcome: Outcome) -> bool:
        """Cut the lists in one result; whether it says anything else now."""
        found = False
        for member, (kind, name) in _LISTED.items():
            entries = result.get(member)
            if isinstance(entries, list):
                kept = [entry for entry in entries if self._is_usable(entry, kind, name, asks)]
                outcome.hidden += len(entries) - len(kept)
                result[member] = kept
                found = True
        if found and result.get("cacheScope", "private") != "private":  # what one task may use is no other one's
            result["cacheScope"] = "private"
            return True
        return False

    def _is_usable(self, entry: Any, kind: str, name: str, asks: Asks) -> bool:
        named = entry.get(name) if isinstance(entry, dict) else None
        usable: Usable | None = asks.usable
        if usable is None or not isinstance(named, str):
            return False
        try:
            segments = segments_of(kind, without_expressions(named) if name == "uriTemplate" else named)
        except UnfitNameError:
            return False
        intents = {coverage.intent for coverage in self._index.covering(kind, segments)}
        return not usable.granted.isdisjoint(intents) and usable.denied.isdisjoint(intents)


@final
class EventListener:
    """Listens to one stream of events."""

    __slots__ = ("_answers", "_asks", "_outcome", "judges", "most")

    def __init__(self, answers: McpAnswers, asks: Asks, outcome: Outcome) -> None:
        self._answers: Final = answers
        self._asks: Final = asks
        self._outcome: Final = outcome
        self.judges: Final = asks.lists
        self.most: Final = LONGEST_LIST if asks.lists else LONGEST_ANSWER

    def name(self, value: bytes) -> bytes:
        """Seal the id, by which the caller may ask for what came after it."""
        return self._answers.sealed(value, EVENT)

    def event(self, content: bytes) -> bytes:
        """Cut lists, and see how calls ended."""
        asks = self._asks
        if asks.calls and (b'"result"' in content or b'"error"' in content):
            self._answers.note(content, asks, self._outcome)
        return self._answers.cut(content, asks, self._outcome) if asks.lists else content


class _Answer:
    """One JSON text, of which parts have come; what is read of it stands in one piece, however small they are."""

    __slots__ = ("_answers", "_asks", "_outcome", "_size", "_text")

    def __init__(self, answers: McpAnswers, asks: Asks, outcome: Outcome) -> None:
        self._answers: Final = answers
        self._asks: Final = asks
        self._outcome: Final = outcome
        self._text = bytearray()
        self._size = 0


@final
class GatheredList(_Answer):
    """An answer with a list, as one JSON text."""

    __slots__ = ()

    gathers: Final = True
    changes: Final = True

    def pass_on(self, content: bytes, *, last: bool) -> bytes:
        """Nothing before everything has come."""
        self._size += len(content)
        if self._size > LONGEST_LIST:
            raise Refusal("upstream_failed", f"The upstream answered with a list of more than {LONGEST_LIST} bytes.")
        self._text += content
        if not last:
            return b""
        whole = bytes(self._text)
        if self._asks.calls:
            self._answers.note(whole, self._asks, self._outcome)
        return self._answers.cut(whole, self._asks, self._outcome)


@final
class SeenAnswer(_Answer):
    """An answer to a call, as one JSON text."""

    __slots__ = ()

    gathers: Final = False
    changes: Final = False

    def pass_on(self, content: bytes, *, last: bool) -> bytes:
        """Everything as it comes."""
        self._size += len(content)
        if self._size <= LONGEST_ANSWER:
            self._text += content
            if last:
                self._answers.note(bytes(self._text), self._asks, self._outcome)
        else:
            self._text = bytearray()
        return content


def _ids(asks: Asks) -> list[bytes]:
    """The ids of the calls, in their order."""
    return [message.call_id or b"" for message in asks.calls]


def _ending(answer: Mapping[str, Any]) -> str:
    if "error" in answer:
        return "failed"
    result = answer["result"]
    if not isinstance(result, dict):
        return "ok"
    if result.get("isError") is True:
        return "error"
    kind = result.get("resultType")
    return kind if kind in _UNFINISHED else "ok"


def _content_type(response: ResponseHead) -> bytes:
    for line in response.forward:
        name, _, value = line.partition(b":")
        if name.lower() == b"content-type":
            return value.partition(b";")[0].strip(b" \t").lower()
    return b""
