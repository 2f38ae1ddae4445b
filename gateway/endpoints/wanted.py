"""Reads the intents, the target and the task that a form asks for, the same for tokens and tasks; gives nothing."""

import re
from collections.abc import Callable, Mapping
from typing import Final, final

from gateway.authority.grounds import Bounds, Resource
from gateway.authority.refused import INVALID_SCOPE, INVALID_TARGET
from gateway.endpoints.answers import AnswerError
from gateway.endpoints.details import Details
from gateway.endpoints.forms import Form, invalid

TARGETS: Final = frozenset(("resource", "audience"))
"""The parameters that may stand more than once (RFC 8693 §2.1), which is then answered in their own code."""

_INTENT = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}").fullmatch
_TASK = re.compile(r"[0-9a-f]{32}").fullmatch

Resources = Callable[[str], Mapping[str, frozenset[str] | None]]
"""The URLs of the gateway and of a tenant's upstreams on it now, without a slash at their ends, each with the intents that mean
anything there; None for all."""


@final
class Targets:
    """Where tokens of this authority are good: at its gateways, and at one upstream if it is named."""

    def __init__(self, audience: str, resources: Resources) -> None:
        """`audience` and `resources` are the names and addresses under which a token may be asked for."""
        self._audience: Final = audience
        self._resources: Final = resources

    def check(self, form: Form) -> None:
        """RFC 8693 §2.1.1: one token is for one gateway, so it has one target at most. Raises `AnswerError`."""
        if form.repeated & TARGETS:
            raise AnswerError(400, INVALID_TARGET, "Ask for one target at a time.")
        if form.get("audience") is not None and form.get("resource") is not None:
            raise AnswerError(400, INVALID_TARGET, "Ask for one target at a time: audience or resource.")

    def named_in(self, form: Form, tenant: str) -> Resource | None:
        """The upstream of the asker's tenant that is named, if one is. Raises `AnswerError`."""
        audience, resource = form.get("audience"), form.get("resource")
        resources = self._resources(tenant)
        url = (resource or "").rstrip("/")
        if audience not in (None, self._audience) or (resource is not None and url not in resources):
            raise AnswerError(
                400, INVALID_TARGET, f"This authority issues tokens for the audience {self._audience} and its upstreams alone."
            )
        return None if resource is None else Resource(url, resources[url])


def intents_in(form: Form) -> tuple[str, ...]:
    """The scope as intents. A name that could be no intent is refused without being repeated: it could be a token."""
    intents = tuple(name for name in (form.get("scope") or "").split(" ") if name)
    if any(_INTENT(name) is None for name in intents):
        raise AnswerError(400, INVALID_SCOPE, "The scope is a list of intents such as invoices.read, separated by spaces.")
    return intents


def task_in(form: Form) -> str | None:
    """The id of the task that a token is asked for; None to open one."""
    task = form.get("task")
    if task is not None and _TASK(task) is None:
        raise invalid("A task is named by 32 hexadecimal digits.")
    return task


def bounds_of(details: Details, resource: Resource | None = None) -> Bounds:
    """What narrows the task and its token."""
    return Bounds(limits=details.limits, duration=details.duration, may_act=details.may_act, resource=resource)
