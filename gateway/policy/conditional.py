"""Asks the grants and denials that have matched whether their conditions hold; knows not why they matched."""

from collections.abc import Sequence

from gateway.errors import Refusal
from gateway.expressions import ExpressionError
from gateway.policy.asked import Asked
from gateway.policy.compile import Denial, Grant
from gateway.policy.conditions import Condition
from gateway.policy.start import Opening


def not_denied(denials: Sequence[Denial], asked: Asked) -> bool:
    """Whether what was found lasts, when no denial applies. Raises `Refusal` with the first that does.

    A denial whose condition fails applies: nobody could say that it does not.
    """
    for denial in denials:
        if denial.condition is None or _applies(denial.condition, asked):
            raise Refusal("denied", f"The denial {denial.name!r} forbids {asked.coverage.intent}.")
    return asked.lasting


def first_that_holds(grants: Sequence[Grant], asked: Asked) -> Grant:
    """The first grant in file order that is for such tasks and whose condition holds. Raises `Refusal` if there is none."""
    principal = asked.principal
    opening = Opening(principal.agent, principal.starter or principal.agent, principal.params, None, principal.met)
    demanding = ""
    for grant in grants:
        if not grant.is_for(opening):
            continue
        if grant.condition is None or _holds(grant, grant.condition, asked):
            return grant
        demanding = demanding or grant.name
    if demanding:
        told = f"The request does not meet what the grant {demanding!r} demands of {asked.coverage.intent}."
        raise Refusal("condition_failed", told)
    raise Refusal("intent_not_granted", f"Policy no longer grants {asked.coverage.intent} to this agent.")


def _applies(condition: Condition, asked: Asked) -> bool:
    asked.lasting = asked.lasting and condition.lasting
    try:
        return condition.holds(asked)
    except ExpressionError:
        return True


def _holds(grant: Grant, condition: Condition, asked: Asked) -> bool:
    asked.lasting = asked.lasting and condition.lasting
    try:
        return condition.holds(asked)
    except ExpressionError:
        told = f"What the grant {grant.name!r} demands of {asked.coverage.intent} cannot be judged for this request."
        raise Refusal("condition_failed", told) from None
