"""What `doorward run` has to know: where authority and gateway are, and what its command is told; reads no file."""

import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, NamedTuple, final

URL: Final = "DOORWARD_URL"
"""The environment variable in which every command finds the address of its own listener."""
KEY: Final = "DOORWARD_KEY"
"""The one in which it finds the key."""


class Variables(NamedTuple):
    """What an upstream's `env` says: the names of two variables, and the path below the listener that one of them holds."""

    base_url: str
    key: str
    path: str


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """`prefixes` are those of the upstreams that intents belong to, as far as they are known."""

    authority: str
    gateway: str
    tls: ssl.SSLContext | None = None
    prefixes: Mapping[str, str] = field(default_factory=dict)
    variables: tuple[Variables, ...] = ()

    def environment(self, url: str, key: str) -> dict[str, str]:
        """What is set for the command, for a listener at this address with this key."""
        told = {URL: url, KEY: key}
        for variables in self.variables:
            told |= {variables.base_url: url + variables.path, variables.key: key}
        return told

    def covers(self, intent: str, path: str) -> bool:
        """Whether a request to this path can be meant by the intent: it is on its upstream, or nobody knows."""
        prefix = self.prefixes.get(intent, "")
        return not prefix or path.partition("?")[0] == prefix or path.startswith((f"{prefix}/", f"{prefix}?"))
