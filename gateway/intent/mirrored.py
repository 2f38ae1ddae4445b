"""The headers in which a client of MCP repeats what its body says; refuses what differs, and knows nothing of what it means.

Somebody else on the way may go by the headers alone, so they have to agree with the body in every revision, and from the newest
one on they have to be there (MCP 2026-07-28, Streamable HTTP, Standard Headers).
"""

import binascii
import re
from base64 import b64decode, b64encode
from typing import Any, Final

from gateway.errors import Refusal
from gateway.http.head import RequestHead
from gateway.intent.messages import NEWEST, OLDEST, REVISIONS, Messages
from gateway.mcp import Message

METHOD: Final = "mcp-method"
NAME: Final = "mcp-name"
REVISION: Final = "mcp-protocol-version"
SESSION: Final = "mcp-session-id"
LAST_EVENT: Final = "last-event-id"
MIRRORED: Final = (METHOD, NAME, REVISION)
SEALED: Final = (SESSION, LAST_EVENT)
"""Headers whose values the caller got from here, and which are opened before they go on."""

_META_REVISION: Final = "io.modelcontextprotocol/protocolVersion"
_ENCODED: Final = re.compile(r"=\?base64\?(.*)\?=").fullmatch
_NEGOTIATING: Final = frozenset(("initialize", "server/discover"))
"""Methods by which both sides find a revision, so that one which is unknown here is told so by the server itself."""


def only_value(head: RequestHead, name: str) -> str | None:
    """The value of a header that may stand once; None if it is not there. Raises `Refusal`."""
    fields = head.watched.get(name)
    if fields is None:
        return None
    if len(fields) > 1 or b"_" in fields[0].line.partition(b":")[0]:
        raise Refusal("header_mismatch", f"{name} stands twice, or in a spelling that some servers take for it.")
    return fields[0].value.decode("latin-1")


def revision_of(head: RequestHead) -> str:
    """The revision that the head names, whether it may or not; the oldest where it names none."""
    fields = head.watched.get(REVISION)
    return OLDEST if fields is None else fields[0].value.decode("latin-1")


def require_known(revision: str, messages: Messages) -> None:
    """Refuse messages of a revision in which they could mean something else."""
    if revision in REVISIONS or all(message.method in _NEGOTIATING for message in messages.each):
        return
    raise Refusal("request_malformed", f"The gateway reads MCP of the revisions {', '.join(sorted(REVISIONS))}.")


def require_agreement(head: RequestHead, revision: str, messages: Messages) -> None:
    """Refuse a head that says other than the body. Raises `Refusal` with `header_mismatch`."""
    method, name = only_value(head, METHOD), only_value(head, NAME)
    for message in messages.each:
        _require_revision(message, only_value(head, REVISION))
        needed = revision == NEWEST and message.call_id is not None
        if method != message.method and (needed or method is not None):
            raise Refusal("header_mismatch", "Mcp-Method and the method in the body differ.")
        mirrored = _mirrored_name(message)
        if name is None:
            if needed and mirrored is not None:
                raise Refusal("header_mismatch", "Mcp-Name is missing.")
        elif mirrored is None or decoded(name) != mirrored:
            raise Refusal("header_mismatch", "Mcp-Name and the name in the body differ.")


def _require_revision(message: Message, header: str | None) -> None:
    """A message that names its own revision names that of the head."""
    meta: Any = message.params.get("_meta")
    told = meta.get(_META_REVISION) if isinstance(meta, dict) else None
    if told is not None and told != header:
        raise Refusal("header_mismatch", "MCP-Protocol-Version and the revision in the body differ.")


def _mirrored_name(message: Message) -> str | None:
    if message.method == "resources/read":
        return message.text("uri")
    return message.text("name") if message.method in ("tools/call", "prompts/get") else None


def decoded(value: str) -> str | None:
    """What a value stands for that may be encoded, in the one spelling that an encoder makes; None for a broken one."""
    encoded = _ENCODED(value)
    if encoded is None:
        return value
    try:
        content = b64decode(encoded[1], validate=True)
        return content.decode() if b64encode(content).decode("ascii") == encoded[1] else None
    except (binascii.Error, ValueError):
        return None
