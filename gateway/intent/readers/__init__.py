"""The readers of operations, by the protocol that an upstream names."""

from collections.abc import Mapping
from typing import Final

from gateway.intent.reader import Reader
from gateway.intent.readers import http, mcp
from gateway.kind import Kind

READERS: Final[Mapping[str, Kind[Reader]]] = {
    "http": Kind(http.Config, http.build, posture="trusts neither side; judges method and path of each request"),
    "mcp": Kind(mcp.Config, mcp.build, posture="trusts neither side; judges every message of each request, and cuts lists"),
}
