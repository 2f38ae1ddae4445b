"""Finds the upstream of a request by the first segments of its path; knows nothing of what the upstream serves."""

from collections.abc import Iterable
from typing import Final

from gateway.errors import Refusal
from gateway.http.head import RequestHead
from gateway.model import Upstream


class Routes:
    """Upstreams by prefix. The longest prefix wins, and a prefix ends on a segment boundary."""

    def __init__(self, upstreams: Iterable[Upstream]) -> None:
        """Two upstreams must not share a prefix."""
        self._by_segments: Final = {_segments(upstream.prefix): upstream for upstream in upstreams}
        self._depths: Final = sorted({len(segments) for segments in self._by_segments}, reverse=True)

    def match(self, head: RequestHead) -> Upstream:
        """The upstream that the request is for. Raises `Refusal` with `upstream_unknown`."""
        segments = head.target.segments
        for depth in self._depths:
            upstream = self._by_segments.get(segments[:depth])
            if upstream is not None:
                return upstream
        raise Refusal("upstream_unknown")


def _segments(prefix: str) -> tuple[str, ...]:
    return tuple(prefix[1:].split("/")) if prefix else ()
