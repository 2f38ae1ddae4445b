"""Looks at the body of a request before anything is decided, within a bound; knows nothing of what is looked for."""

from typing import Final

from gateway.http.chunked import ChunkedBody
from gateway.http.content import Content
from gateway.http.downstream import Downstream
from gateway.http.fields import canonical
from gateway.http.framing import Delimiter
from gateway.http.head import RequestHead

_PLAIN: Final = (b"", b"identity")


async def read_content(head: RequestHead, caller: Downstream, most: int) -> Content:
    """Wait until the body has come in whole, and return it; what is relayed later are the bytes that came.

    Raises `Refusal` for one of more than `most` bytes, or one that is not here in time. A tunnel has no body.
    """
    if head.upgrade is not None:
        return Content(b"", None, coded=False)
    wait = caller.look_ahead(most, head)
    if wait is not None:
        await wait
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
