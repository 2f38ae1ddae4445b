"""The decision: a pure function of who calls, what for and what the policy says; knows no bytes, no clock and no network."""

from collections.abc import Iterable

from gateway.clock import Clock
from gateway.errors import Refusal
from gateway.http.head import RequestHead
from gateway.model import Coverage, Current, Permit, Principal, Upstream, Use
from gateway.policy.asked import UNLEARNT, Asked, Learnt
from gateway.policy.compile import Grant, Policy
from gateway.policy.conditional import first_that_holds, not_denied
from gateway.policy.limited import limits_of
from gateway.policy.observe import Observing
from gateway.policy.usable import one_usable, usable


def decide(
    policy: Policy, principal: Current, use: Use, upstream: Upstream, head: RequestHead, source: str, clock: Clock,
    learnt: Learnt = UNLEARNT,
) -> Permit:  # fmt: skip
    """Return the proof that the answer is yes, or raise the `Refusal` that says why not.

    Precedence: a token of another tenant is refused first; then a denial of any intent that covers the operation forbids
    it, whatever was declared; then the declaration must be one that the token carries and that the operation really is;
    then the first grant in file order whose condition holds decides. Silence is denial, and a condition that fails refuses.
    What is refused so passes all the same where it is only observed, as a permit that says what it would have been.
    A request of several operations is permitted if each of them is, and one that asks for none, as those of MCP that only set
    up, list or ping, if the token has an intent of the upstream.

    `head`, `source` (an address), `clock` and what was `learnt` of the task are for conditions alone. What no condition has
    read something fleeting for is kept with the head, if it was decided on nothing but that: it holds for the very same
    objects, and for no others.
    """
    given = head.permit
    if (
        given is not None
        and given.use is use
        and given.principal is principal
        and given.policy is policy.digest
        and given.upstream is upstream
    ):
        return given
    if principal.tenant != upstream.tenant:
        raise Refusal("tenant_mismatch")
    try:
        if use.operation.asks is not None:
            return _asked(policy, principal, use, upstream, head, source, clock, learnt)
        return _judged(policy, principal, use, upstream, head, source, clock, learnt)
    except Refusal as refusal:
        permit = _observed(refusal.code, policy, principal, use, upstream)
        if permit is None:
            raise
        return permit


def _observed(code: str, policy: Policy, principal: Current, use: Use, upstream: Upstream) -> Permit | None:
    """The permit that says as what enforcement would have refused it; None for a refusal of this code that is enforced."""
    observing = policy.observing
    if not isinstance(observing, Observing):
        return None
    passing = observing.lets_pass(code, principal, use, upstream, policy.view(principal.agent))
    if passing is None:
        return None
    permit = _issue(policy.digest, principal, use, upstream, passing, None, code)
    permit.uses = len(use.operation.parts) or 1
    return permit


def _judged(
    policy: Policy, principal: Current, use: Use, upstream: Upstream, head: RequestHead, source: str, clock: Clock,
    learnt: Learnt,
) -> Permit:  # fmt: skip
    view = policy.view(principal.agent)
    lasting = True
    for covering in use.observed:
        denials = view.denials.get(covering.intent)
        if denials is not None:
            lasting = not_denied(denials, Asked(principal, use, upstream, head, source, clock, covering, learnt)) and lasting
    intent = _declared(principal, use, use.declared.name) if use.declared is not None else _implied(principal, use)
    grant = view.free.get(intent.intent) if principal.starter is None and not principal.params else None
    if grant is None:
        asked = Asked(principal, use, upstream, head, source, clock, intent, learnt)
        grant = first_that_holds(view.grants.get(intent.intent, ()), asked)
        lasting = lasting and asked.lasting
    if use.declared is None and not grant.implied:
        raise _undeclared(principal)
    _require_proof(grant, principal)
    permit = _issue(policy.digest, principal, use, upstream, intent, grant, None)
    if lasting and head.use is use:
        head.permit = permit
    return permit


def _asked(
    policy: Policy, principal: Current, use: Use, upstream: Upstream, head: RequestHead, source: str, clock: Clock,
    learnt: Learnt,
) -> Permit:  # fmt: skip
    """Judge a request of MCP: each of several operations by itself, all under one grant, or none at all."""
    digest, asks, view = policy.digest, use.operation.asks, policy.view(principal.agent)
    if asks is not None and asks.lists:
        asks.usable = usable(view, principal, asks.among)
        asks.uncut = isinstance(policy.observing, Observing) and policy.observing.tries(upstream)
    if asks is not None and not asks.calls:
        declared = None if use.declared is None else use.declared.name
        intent, grant = one_usable(view, principal, asks.among, declared)
        _require_proof(grant, principal)
        return _issue(digest, principal, use, upstream, Coverage(intent, {}, ()), None, None, grant.name)
    parts = use.operation.parts
    if not parts:
        return _judged(policy, principal, use, upstream, head, source, clock, learnt)
    permits = [
        _part(policy, principal, Use(use.declared, operation, observed), upstream, head, source, clock, learnt.after(number))
        for number, (operation, observed) in enumerate(parts)
    ]
    first = next((each for each in permits if each.enforced), permits[0])
    code = next((each.code for each in permits if each.code is not None), None)
    if any(each.intent.intent != first.intent.intent or (each.enforced and each.grant != first.grant) for each in permits):
        raise Refusal("intent_mismatch", "The operations of this request are not all of one intent; send each by itself.")
    permit = _issue(digest, principal, use, upstream, first.intent, None, code, first.grant if code is None else "")
    permit.limits = first.limits
    permit.uses = len(parts)
    return permit


def _part(
    policy: Policy, principal: Current, use: Use, upstream: Upstream, head: RequestHead, source: str, clock: Clock,
    learnt: Learnt,
) -> Permit:  # fmt: skip
    """One of several operations: what is only observed of it takes nothing along that is enforced of the others."""
    try:
        return _judged(policy, principal, use, upstream, head, source, clock, learnt)
    except Refusal as refusal:
        permit = _observed(refusal.code, policy, principal, use, upstream)
        if permit is None:
            raise
        return permit


def _require_proof(grant: Grant, principal: Current) -> None:
    if grant.proof and principal.binding is None:
        raise Refusal("proof_missing", "What lets this agent do that demands a token that is bound to a key.")


def _issue(
    digest: str, principal: Current, use: Use, upstream: Upstream, intent: Coverage, grant: Grant | None, code: str | None,
    named: str = "",
) -> Permit:  # fmt: skip
    """The one exit: `grant` allows, or the one `named` without its limits, or observe mode lets pass a refusal of `code`."""
    permit = Permit._issue(  # noqa: SLF001 the one maker; an architecture test finds any other
        principal=principal, use=use, upstream=upstream, intent=intent, grant=named if grant is None else grant.name,
        policy=digest, code=code,
    )  # fmt: skip
    permit.limits = limits_of(None if grant is None else grant.limits, principal, upstream)
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


def _implied(principal: Principal, use: Use) -> Coverage:
    """The one intent of the token that covers the operation."""
    candidates = [covering for covering in use.observed if covering.intent in principal.intents]
    if len(candidates) != 1:
        raise _undeclared(principal)
    return candidates[0]


def _undeclared(principal: Principal) -> Refusal:
    return Refusal("intent_missing", f"The token of this task carries {_listed(principal.intents)}; declare one of them.")


def _listed(intents: Iterable[str]) -> str:
    return ", ".join(sorted(intents))
