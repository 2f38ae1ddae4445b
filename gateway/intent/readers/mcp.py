"""Reads the operations of MCP over streamable HTTP: the messages in the body say what is asked for; knows nothing of who may.

upstreams:
  tracker:
    url: https://tracker.example/mcp
    protocol: mcp
"""

import os
from typing import Final, final

from gateway.errors import Refusal
from gateway.http.downstream import Downstream
from gateway.http.framing import NO_BODY
from gateway.http.head import RequestHead
from gateway.intent import mirrored
from gateway.intent.answers import EVENT, SESSION, McpAnswers
from gateway.intent.index import OperationIndex
from gateway.intent.look import read_content
from gateway.intent.messages import LISTS, REVISIONS, Messages, asked_by, read_messages
from gateway.intent.names import UnfitNameError, segments_of
from gateway.intent.sealing import KEY_BYTES, Seal
from gateway.kind import Config as KindConfig
from gateway.mcp import Asks, Message
from gateway.model import Coverage, Operation, Principal, Upstream

_IDENTITY: Final = b"Accept-Encoding: identity"
_PURPOSES: Final = ((mirrored.SESSION, b"Mcp-Session-Id", SESSION), (mirrored.LAST_EVENT, b"Last-Event-ID", EVENT))


_Part = tuple[Operation, tuple[Coverage, ...]]
"""One operation of a request, with the intents that cover it."""


class Config(KindConfig):
    """There is nothing to configure."""


@final
class McpReader:
    """What the messages of a request ask for, each of them with the intents that cover it."""

    by_head_alone: Final = False

    def __init__(self, seal: Seal, inspect: int) -> None:
        """`inspect` is how many bytes a body may have at most."""
        self._seal: Final = seal
        self._inspect: Final = inspect

    def ready(self, key: bytes, inspect: int) -> "McpReader":
        """The same with the key of this installation, under which names of sessions are sealed."""
        return McpReader(Seal(key), inspect)

    async def read(
        self, head: RequestHead, upstream: Upstream, caller: Downstream, index: OperationIndex
    ) -> tuple[Operation, tuple[Coverage, ...]]:
        """Read head and body, and set up how the answer is read."""
        principal = caller.bearer
        if principal is None:
            raise Refusal("token_missing")
        answers = McpAnswers(upstream, principal, index, self._seal)
        caller.answers = answers
        _require_endpoint(head, upstream)
        revision = mirrored.revision_of(head)
        messages = Messages((), batch=False)
        if head.method == "POST":
            content = await read_content(head, caller, self._inspect)
            answers.asked = asked_by(content.json)
            messages = read_messages(content.json, content.body, revision)
            mirrored.require_known(revision, messages)
            mirrored.require_agreement(head, revision, messages)
        else:
            _require_plain(head, revision)
        lines = self._lines(head, upstream, principal)
        lists = not messages.each or any(message.method in LISTS for message in messages.each)
        asks = answers.asks = Asks(messages.each, index.intents, index.logged, lines, lists=lists and head.method != "DELETE")
        return _operation(head, upstream, asks, index)

    def _lines(self, head: RequestHead, upstream: Upstream, principal: Principal) -> tuple[bytes, ...]:
        """Header lines that only the upstream sees: what it named a session or an event itself."""
        lines = [] if upstream.scrub == "full" else [_IDENTITY]
        for name, spelled, purpose in _PURPOSES:
            sealed = mirrored.only_value(head, name)
            if sealed is not None:
                opened = self._seal.open(sealed.encode("latin-1"), purpose, principal, upstream)
                if opened is None:
                    raise Refusal("session_unknown")
                lines.append(spelled + b": " + opened)
        return tuple(lines)


def build(_config: Config) -> McpReader:
    """Until it is made ready it seals under a key that nobody else has."""
    return McpReader(Seal(os.urandom(KEY_BYTES)), 0)


def _require_endpoint(head: RequestHead, upstream: Upstream) -> None:
    """A server of MCP has one path and takes no query: what stood there could mean more than the body says."""
    if head.target.path != (upstream.prefix or "/"):
        raise Refusal("upstream_unknown", "A server of MCP has one endpoint, and this path lies below it.")
    if head.target.query is not None:
        raise Refusal("request_malformed", "The endpoint of a server of MCP takes no query.")


def _require_plain(head: RequestHead, revision: str) -> None:
    if head.method not in ("GET", "DELETE"):
        raise Refusal("method_refused", "A server of MCP takes POST, GET and DELETE.")
    if head.framing is not NO_BODY:
        raise Refusal("request_malformed", "Only a POST has a body.")
    mirrored.only_value(head, mirrored.REVISION)
    if revision not in REVISIONS:
        raise Refusal("request_malformed", f"The gateway reads MCP of the revisions {', '.join(sorted(REVISIONS))}.")


def _operation(
    head: RequestHead, upstream: Upstream, asks: Asks, index: OperationIndex
) -> tuple[Operation, tuple[Coverage, ...]]:  # fmt: skip
    parts = [_part(head, upstream, message, wanted, index) for message in asks.calls for wanted in message.wanted]
    if len(parts) == 1:
        operation, observed = parts[0]
    else:
        operation, observed = _bare(head, upstream), _all_observed(parts)
        operation.parts = tuple(parts)
    operation.asks = asks
    return operation, observed


def _part(head: RequestHead, upstream: Upstream, message: Message, wanted: tuple[str, str], index: OperationIndex) -> _Part:
    kind, name = wanted
    try:
        segments = segments_of(kind, name)
    except UnfitNameError as error:
        raise Refusal("request_malformed", f"It is unclear what is asked for: {error}.") from None
    operation = _bare(head, upstream)
    operation.message = message
    return operation, index.covering(kind, segments)


def _bare(head: RequestHead, upstream: Upstream) -> Operation:
    """The path of the upstream's URL is the endpoint, and nothing is put behind it."""
    return Operation(head.method, "" if upstream.base_path else "/", ("",))


def _all_observed(parts: list[_Part]) -> tuple[Coverage, ...]:
    return tuple({coverage.intent: coverage for _, observed in parts for coverage in observed}.values())
