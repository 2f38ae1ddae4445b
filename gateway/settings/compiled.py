"""What a configuration means: everything that a request needs and that holds no connection; knows not how it was made."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import final

from gateway.http.admit import Admission
from gateway.http.routes import Routes
from gateway.intent.read_intent import Intents
from gateway.model import Upstream
from gateway.policy.compile import Policy


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Compiled:
    """What a configuration means. `warnings` are sentences for the operator about what will soon stop working.

    `digest` stands for the values of the file, the environment's among them; comments and layout do not change it.
    """

    digest: str
    tenant: str
    admission: Admission
    upstreams: Mapping[str, Upstream]
    routes: Routes
    intents: Intents
    policy: Policy
    warnings: tuple[str, ...]
