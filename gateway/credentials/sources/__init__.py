"""The sources of secrets, by the name that operators write."""

from collections.abc import Mapping
from typing import Final

from gateway.credentials.source import Source
from gateway.credentials.sources import env, file
from gateway.kind import Kind

SOURCES: Final[Mapping[str, Kind[Source]]] = {
    "env": Kind(env.Config, env.build, posture="trusts whoever set the environment of the gateway's process"),
    "file": Kind(file.Config, file.build, posture="trusts whoever may write the file"),
}
