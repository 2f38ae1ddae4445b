"""Reads the operation of a plain HTTP request: method and path are all there is; knows nothing of bodies.

upstreams:
  billing:
    url: https://api.billing.example
    protocol: http
"""

from typing import Final, final

from gateway.http.downstream import Downstream
from gateway.http.head import RequestHead
from gateway.intent.index import OperationIndex
from gateway.kind import Config as KindConfig
from gateway.model import Coverage, Operation, Upstream


class Config(KindConfig):
    """There is nothing to configure."""


@final
class HttpReader:
    """Method and path, as they are forwarded."""

    by_head_alone: Final = True

    def ready(self, _key: bytes, _inspect: int) -> "HttpReader":
        """There is nothing to make ready."""
        return self

    async def read(
        self, head: RequestHead, upstream: Upstream, _caller: Downstream, index: OperationIndex
    ) -> tuple[Operation, tuple[Coverage, ...]]:
        """Take the prefix off; what is left is compared with the templates."""
        target = head.target
        depth = upstream.prefix.count("/")
        segments = target.segments[depth:] or ("",)
        operation = Operation(head.method, target.path[len(upstream.prefix) :] or "/", segments, plain=target.plain)
        return operation, index.covering(head.method, segments, target.query)


def build(_config: Config) -> HttpReader:
    """The reader holds no state."""
    return HttpReader()
