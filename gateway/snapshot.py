"""One compiled configuration, immutable: everything that a request needs, read once and passed down; knows no YAML."""

from dataclasses import dataclass
from typing import final

from gateway.audit.ledger import Ledger
from gateway.credentials.obtain import Credentials
from gateway.http.admit import Admission
from gateway.http.relay import Relay
from gateway.http.routes import Routes
from gateway.identity.standing import Standing
from gateway.intent.read_intent import Intents
from gateway.limits.spend import Counters
from gateway.policy.compile import Policy


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """A request uses exactly one. The long-lived parts among these outlast it: ledger, standing, counters and pool."""

    digest: str
    admission: Admission
    routes: Routes
    standing: Standing
    intents: Intents
    policy: Policy
    counters: Counters
    credentials: Credentials
    relay: Relay
    audit: Ledger
