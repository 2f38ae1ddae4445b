"""The injectors, by the name that operators write."""

from collections.abc import Mapping
from typing import Final

from gateway.credentials.injector import Injector
from gateway.credentials.injectors import bearer, header
from gateway.kind import Kind

INJECTORS: Final[Mapping[str, Kind[Injector]]] = {
    "bearer": Kind(bearer.Config, bearer.build, posture="the upstream sees the secret in Authorization"),
    "header": Kind(header.Config, header.build, posture="the upstream sees the secret in one header of its own"),
}
