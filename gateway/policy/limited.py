"""Under which limits a permitted request stands, and under which key each is counted; knows nothing of what is left of them."""

from collections.abc import Sequence
from typing import Final, final
from urllib.parse import quote

from gateway.model import Limit, Principal, Upstream
from gateway.policy.rules import GrantLimitsRule


@final
class GrantLimits:
    """The limits of one grant; whose use counts together is known only with the caller."""

    __slots__ = ("_name", "_per", "_templates")

    def __init__(self, name: str, rule: GrantLimitsRule) -> None:
        """`name` is the grant's: grants do not share what they limit."""
        self._name: Final = quote(name, safe="")
        self._per: Final = rule.per
        label = f"of this {rule.per} under the grant {name!r}"
        # What a task uses counts as long as the task lives; agents and tenants have no end, so theirs begins anew.
        window = 0.0 if rule.per == "task" else rule.within
        templates: list[Limit] = []
        if rule.requests is not None:
            templates.append(Limit("requests", "", rule.requests, window, label))
        if rule.bytes is not None:
            templates.append(Limit("bytes", "", rule.bytes, window, label))
        if rule.rate is not None:
            templates.append(Limit("rate", "", *rule.rate.slices(), label))
        if rule.concurrent is not None:
            templates.append(Limit("concurrent", "", rule.concurrent, 0.0, label))
        self._templates: Final[Sequence[Limit]] = templates

    def of(self, principal: Principal) -> list[Limit]:
        """The limits for this caller. A task and all tasks below it use up the same ones: children bring no fresh limits."""
        whose = {"task": principal.family or principal.task, "agent": principal.agent, "tenant": principal.tenant}[self._per]
        where = f"{quote(principal.tenant, safe='')}/grant/{self._name}/{self._per}/{quote(whose, safe='')}"
        return [limit._replace(key=f"{limit.kind}/{where}") for limit in self._templates]


def limits_of(granted: GrantLimits | None, principal: Principal, upstream: Upstream) -> tuple[Limit, ...] | None:
    """Everything that the use is counted under besides the upstream's places; None if nothing, as for most requests.

    A request spends from each of them: from the grant's, from those of its task and of the task's ancestors, and from what the
    upstream bears.
    """
    if granted is None and upstream.rate is None and not principal.limits:
        return None
    limits = [] if granted is None else granted.of(principal)
    limits += principal.limits
    if upstream.rate is not None:
        limits.append(upstream.rate)
    return tuple(limits)
