"""Whether a refusal is only recorded, because its rules are tried out before they hold; knows not how it came about."""

from collections.abc import Mapping
from typing import Final, final

from gateway.model import Coverage, Current, Upstream, Use
from gateway.policy.compile import AgentView
from gateway.policy.start import Opening

OBSERVABLE: Final = frozenset(("intent_missing", "intent_not_granted", "intent_mismatch", "condition_failed", "denied"))
"""What policy says of requests. Whatever else refuses is always enforced."""
_DENIED: Final = "denied"


@final
class Observing:
    """What of a configuration is in observe mode: everything, some upstreams, or some grants."""

    __slots__ = ("_everything", "_grants", "_intents", "_upstreams")

    def __init__(
        self, *, everything: bool, upstreams: frozenset[str], grants: frozenset[str], intents: Mapping[str, frozenset[str]]
    ) -> None:
        """`intents` are those of each upstream, all by their names."""
        self._everything: Final = everything
        self._upstreams: Final = upstreams
        self._grants: Final = grants
        self._intents: Final = intents

    def tries(self, upstream: Upstream) -> bool:
        """Whether nothing that policy says of this upstream is enforced."""
        return self._everything or upstream.name in self._upstreams

    def lets_pass(self, code: str, principal: Current, use: Use, upstream: Upstream, view: AgentView) -> Coverage | None:
        """As which intent a request that was refused with this code passes all the same, None if it does not.

        It passes only towards an upstream of which the token holds an intent. What is tried out in a grant is about its own
        intents: an operation that really is one of others, or of none, passes as it would without that grant. A denial that
        is enforced stays so, whatever a grant says of itself, and so does the proof that it demands.
        """
        held = self._intents.get(upstream.name, frozenset()) & principal.intents
        if code not in OBSERVABLE or not held:
            return None
        meant = _meant(use, principal)
        if self._everything or upstream.name in self._upstreams:
            return meant
        if code == _DENIED or not self._grants or use.operation.parts:  # each part passes by itself, or none does
            return None
        if all(covering.intent != meant.intent for covering in use.observed):
            return None
        opening = Opening(principal.agent, principal.starter or principal.agent, principal.params, None, principal.met)
        bound = principal.binding is not None
        tried = (grant for grant in view.grants.get(meant.intent, ()) if grant.name in self._grants)
        return meant if any(grant.is_for(opening) and (bound or not grant.proof) for grant in tried) else None


def _meant(use: Use, principal: Current) -> Coverage:
    """The intent that the record is about: the declared one, else one of the token that covers the operation, else none."""
    name = None if use.declared is None else use.declared.name
    for covering in use.observed:
        if covering.intent == name or (name is None and covering.intent in principal.intents):
            return covering
    return Coverage(name or "", {}, ())
