"""One compiled configuration, immutable: everything that a request needs, read once and passed down; knows no YAML."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import final

from gateway.audit.ledger import Ledger
from gateway.credentials.obtain import Credentials
from gateway.http.admit import Admission
from gateway.http.relay import Relay
from gateway.http.routes import Routes
from gateway.identity.issuers import Issuers
from gateway.identity.possession import Possession
from gateway.identity.standing import Standing
from gateway.intent.read_intent import Intents
from gateway.limits.leases import Leases
from gateway.policy.compile import Policy


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """A request uses exactly one. The long-lived parts among these outlast it: ledger, standing, leases and pool.

    With several `tenants` each has one of its own, and this one, whose `tenant` is empty, only finds out whose a request is.
    So it is with several issuers: then each has one in `by_issuer`, with what is known of it and lent by it.
    """

    digest: str
    admission: Admission
    routes: Routes
    issuers: Issuers
    standing: Standing
    possession: Possession
    intents: Intents
    policy: Policy
    leases: Leases
    credentials: Credentials
    relay: Relay
    audit: Ledger
    tenant: str
    tenants: Mapping[str, "Snapshot"] = field(default_factory=dict)
    by_issuer: Mapping[str, "Snapshot"] = field(default_factory=dict)

    @property
    def parts(self) -> Mapping[str, "Snapshot"]:
        """What a request of each tenant uses, by its name; of several issuers with the tokens of the first."""
        if self.by_issuer:
            return next(iter(self.by_issuer.values())).parts
        return self.tenants or {self.tenant: self}
