"""What a configuration means: everything that a request needs and that holds no connection; knows not how it was made."""

from collections.abc import Mapping
from dataclasses import dataclass, field
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

    `digest` stands for the values of the file, the environment's among them; comments and layout do not change it. With several
    `tenants`, `routes` and `upstreams` (by tenant, a slash and name) are those of all; intents and policy are with each tenant,
    and here, where `tenant` is empty, there are none.
    """

    digest: str
    tenant: str
    admission: Admission
    upstreams: Mapping[str, Upstream]
    routes: Routes
    intents: Intents
    policy: Policy
    warnings: tuple[str, ...]
    tenants: Mapping[str, "Compiled"] = field(default_factory=dict)

    @property
    def parts(self) -> Mapping[str, "Compiled"]:
        """What the configuration means for each tenant, by its name."""
        return self.tenants or {self.tenant: self}
