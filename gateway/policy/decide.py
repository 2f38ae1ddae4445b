"""The decision: a pure function of who calls, what for and what the policy says; knows no bytes, no clock and no network."""

from collections.abc import Iterable

from gateway.errors import Refusal
from gateway.model import Coverage, Current, Permit, Principal, Upstream, Use
from gateway.policy.compile import AgentView, Policy


def decide(policy: Policy, principal: Current, use: Use, upstream: Upstream) -> Permit:
    """Return the proof that the answer is yes, or raise the `Refusal` that says why not.

    Precedence: a token of another tenant is refused first; then a denial of any intent that covers the operation forbids
    it, whatever was declared; then the declaration must be one that the token carries and that the operation really is;
    then the first grant in file order decides. Silence is denial. There is one way out that allows.
    """
    given = use.permit
    if given is not None and given.principal is principal and given.policy is policy.digest and given.upstream is upstream:
        return given
    if principal.tenant != upstream.tenant:
        raise Refusal("tenant_mismatch")
    view = policy.view(principal.agent)
    for covering in use.observed:
        if covering.intent in view.denials:
            raise Refusal("denied", f"The denial {view.denials[covering.intent]!r} forbids {covering.intent}.")
    intent = _declared(principal, use, use.declared.name) if use.declared is not None else _implied(principal, use, view)
    grant = view.grants.get(intent.intent)
    if grant is None:
        raise Refusal("intent_not_granted", f"Policy no longer grants {intent.intent} to this agent.")
    permit = Permit._issue(  # noqa: SLF001 the one maker; an architecture test finds any other
        principal=principal, use=use, upstream=upstream, intent=intent, grant=grant.name, policy=policy.digest
    )
    use.permit = permit
    return permit


def _declared(principal: Principal, use: Use, name: str) -> Coverage:
    """The declared intent, if the token carries it and the operation is part of it.

    What the caller sent is never repeated to it: a path or a name could hold a token.
    """
    if name not in principal.intents:
        raise Refusal(
            "intent_not_granted", f"The token of this task carries {_listed(principal.intents)}, and no other intent."
        )
    for covering in use.observed:
        if covering.intent == name:
            return covering
    fitting = [covering.intent for covering in use.observed if covering.intent in principal.intents]
    if fitting:
        raise Refusal("intent_mismatch", f"This operation is not one of {name}, but of {_listed(fitting)}.")
    raise Refusal("intent_mismatch", f"This operation is not one of {name}, nor of any other intent of the token.")


def _implied(principal: Principal, use: Use, view: AgentView) -> Coverage:
    """The one intent of the token that covers the operation, if its grant lets it go undeclared."""
    candidates = [covering for covering in use.observed if covering.intent in principal.intents]
    if len(candidates) == 1:
        grant = view.grants.get(candidates[0].intent)
        if grant is not None and grant.implied:
            return candidates[0]
    raise Refusal("intent_missing", f"The token of this task carries {_listed(principal.intents)}; declare one of them.")


def _listed(intents: Iterable[str]) -> str:
    return ", ".join(sorted(intents))
