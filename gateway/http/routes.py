"""Finds the upstream of a request by the first segments of its path; knows nothing of what the upstream serves."""

from collections.abc import Iterable, Mapping
from typing import Final

from gateway.errors import Refusal
from gateway.http.framing import NO_BODY
from gateway.http.head import RequestHead
from gateway.http.own_answer import OwnAnswer
from gateway.model import Upstream


class Routes:
    """Upstreams by prefix. The longest prefix wins, and a prefix ends on a segment boundary."""

    def __init__(self, upstreams: Iterable[Upstream], documents: Mapping[str, bytes] | None = None) -> None:
        """Two upstreams must not share a prefix. `documents` are answered by the gateway itself, at just these paths."""
        self._by_segments: Final = {_segments(upstream.prefix): upstream for upstream in upstreams}
        self._otherwise: Final = self._by_segments.pop((), None)
        """The upstream of every path that is no other's."""
        self._documents: Final = dict(documents or {})
        self._depths: Final = sorted({len(segments) for segments in self._by_segments}, reverse=True)

    def match(self, head: RequestHead) -> Upstream:
        """The upstream that the request is for. Raises `Refusal` with `upstream_unknown`, and `OwnAnswer`."""
        segments = head.target.segments
        for depth in self._depths:
            upstream = self._by_segments.get(segments[:depth])
            if upstream is not None:
                return upstream
        return self._of_ours(head)

    def _of_ours(self, head: RequestHead) -> Upstream:
        document = self._documents.get(head.path)
        if document is not None and head.method in ("GET", "HEAD") and head.framing is NO_BODY:
            raise OwnAnswer(document, without_body=head.method == "HEAD")
        if self._otherwise is None:
            raise Refusal("upstream_unknown")
        return self._otherwise


def _segments(prefix: str) -> tuple[str, ...]:
    return tuple(prefix[1:].split("/")) if prefix else ()
