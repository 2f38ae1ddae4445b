"""Which intents of an upstream a task may use at all, on whatever condition; decides no single request."""

from collections.abc import Sequence

from gateway.errors import Refusal
from gateway.mcp import Usable
from gateway.model import Principal
from gateway.policy.compile import AgentView, Grant
from gateway.policy.start import Opening


def usable(view: AgentView, principal: Principal, among: Sequence[str]) -> Usable:
    """Of the intents `among` which the token carries some, those that policy still lets it use."""
    opening = Opening(principal.agent, principal.starter or principal.agent, principal.params, None, principal.met)
    denied = frozenset(
        intent for intent in among if any(denial.condition is None for denial in view.denials.get(intent, ()))
    )  # fmt: skip
    granted = frozenset(
        intent
        for intent in among
        if intent in principal.intents
        and intent not in denied
        and any(grant.is_for(opening) for grant in view.grants.get(intent, ()))
    )
    return Usable(granted, denied)


def one_usable(view: AgentView, principal: Principal, among: Sequence[str], declared: str | None) -> tuple[str, Grant]:
    """The first intent that lets in who asks for nothing of its own, or the declared one, with the grant behind it.

    Raises `Refusal` if there is none.
    """
    may = usable(view, principal, among)
    for intent in among:
        if intent in may.granted and declared in (None, intent):
            opening = Opening(principal.agent, principal.starter or principal.agent, principal.params, None, principal.met)
            return intent, next(grant for grant in view.grants[intent] if grant.is_for(opening))
    if declared is not None and declared not in among:
        raise Refusal("intent_mismatch", "The declared intent is none of this upstream.")
    raise Refusal("intent_not_granted", "The token of this task carries no intent of this upstream that policy still grants.")
