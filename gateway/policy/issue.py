"""Which intents an agent may be given in a task token; knows nothing of requests and of how tokens are made."""

from collections.abc import Sequence
from dataclasses import dataclass

from gateway.policy.compile import Grant, Policy
from gateway.policy.start import Opening


@dataclass(frozen=True, slots=True)
class Allowance:
    """What policy lets an agent hold: for how long at most (seconds, None without a limit of its own), under which digest.

    With `proof` only in a token that is bound to a key of its holder. `met` are the marks of the starts that held of the claims
    of whoever opens the task; `claims` are those of the agent that a token carries, `subject_claims` those of the subject that
    the task keeps.
    """

    ttl: float | None
    policy: str
    proof: bool = False
    met: tuple[str, ...] = ()
    claims: frozenset[str] = frozenset()
    subject_claims: frozenset[str] = frozenset()


class NotGrantedError(Exception):
    """No grant lets the agent hold the intent, or a denial forbids it; both look alike to whoever asks."""

    def __init__(self, intent: str) -> None:
        super().__init__(intent)
        self.intent = intent


def may_hold(policy: Policy, opening: Opening, intents: Sequence[str]) -> Allowance:
    """Check that the agent of a task that was opened like this may hold every one of the intents.

    What a grant demands of requests (`when`) is not judged here. Raises `NotGrantedError` for the first that it may not hold.
    """
    view = policy.view(opening.agent)
    shortest: float | None = None
    proof = False
    met: set[str] = set()
    for intent in intents:
        grants = [grant for grant in view.grants.get(intent, ()) if grant.is_for(opening)]
        if not grants or any(denial.condition is None for denial in view.denials.get(intent, ())):
            raise NotGrantedError(intent)
        proof = proof or grants[0].proof
        ttl = grants[0].ttl
        if ttl is not None:
            shortest = ttl if shortest is None else min(shortest, ttl)
        met.update(filter(None, map(_mark, grants)))
    return Allowance(shortest, policy.digest, proof, tuple(sorted(met)), policy.claims, policy.subject_claims)


def _mark(grant: Grant) -> str | None:
    return None if grant.start is None else grant.start.mark
