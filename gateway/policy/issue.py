"""Which intents an agent may be given in a task token; knows nothing of requests and of how tokens are made."""

from collections.abc import Sequence
from dataclasses import dataclass

from gateway.policy.compile import Policy


@dataclass(frozen=True, slots=True)
class Allowance:
    """What policy lets an agent hold: for how long at most (seconds, None without a limit of its own), under which digest."""

    ttl: float | None
    policy: str


class NotGrantedError(Exception):
    """No grant lets the agent hold the intent, or a denial forbids it; both look alike to whoever asks."""

    def __init__(self, intent: str) -> None:
        super().__init__(intent)
        self.intent = intent


def may_hold(policy: Policy, agent: str, intents: Sequence[str]) -> Allowance:
    """Check that the agent may hold every one of the intents. Raises `NotGrantedError` for the first that it may not."""
    shortest: float | None = None
    for intent in intents:
        grant = policy.first_grant(agent, intent)
        if grant is None or policy.first_denial(agent, (intent,)) is not None:
            raise NotGrantedError(intent)
        if grant.ttl is not None:
            shortest = grant.ttl if shortest is None else min(shortest, grant.ttl)
    return Allowance(shortest, policy.digest)
