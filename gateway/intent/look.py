"""Looks at the body of a request before anything is decided, within a bound; knows nothing of what is looked for."""

from typing import Final

from gateway.errors import Refusal
from gateway.http.chunked import ChunkedBody
from gateway.http.content import Content
from gateway.http.downstream import Downstream
from gateway.http.fields import canonical
from gateway.http.framing import Delimiter
from gateway.http.head import RequestHead
from gateway.http.waiting import Wait

AWAITED: Final = 32
"""How many requests of one agent may wait for their bodies at a time. Each holds room in the log for its records."""
AWAITED_OF_ALL: Final = 128

_PLAIN: Final = (b"", b"identity")


async def read_content(head: RequestHead, caller: Downstream, most: int) -> Content:
    """Wait until the body has come in whole, and return it; what is relayed later are the bytes that came.

    Raises `Refusal` for one of more than `most` bytes, one that is not here in time, and one too many that is waited for. A
    tunnel has no body.
    """
    if head.upgrade is not None:
        return Content(b"", None, coded=False)
    wait = caller.look_ahead(most, head)
    if wait is not None:
        await _in_turn(wait, caller)
    body = caller.held
    if head.framing.by == Delimiter.CHUNKS:
        body = ChunkedBody(framed=False).feed(body)
    kind: bytes | None = None
    coded = False
    for line in head.forward:
        name, _, value = line.partition(b":")
        known = canonical(name.decode("ascii"))
        if known == "content-type":
            kind = value.strip(b" \t")
        elif known == "content-encoding":
            coded = coded or value.strip(b" \t").lower() not in _PLAIN
    return Content(body, kind, coded=coded)


async def _in_turn(wait: Wait[None], caller: Downstream) -> None:
    """What a slow caller holds meanwhile is bounded by agent, so that none of them can use up what is there for all."""
    agent = "" if caller.bearer is None else caller.bearer.agent
    awaited = caller.awaited
    if awaited[agent] >= AWAITED or awaited.total() >= AWAITED_OF_ALL:
        raise Refusal("overloaded", "Too many requests wait for their bodies already.", retry_after=1)
    awaited[agent] += 1
    try:
        await wait
    finally:
        awaited[agent] -= 1
        if not awaited[agent]:
            del awaited[agent]
