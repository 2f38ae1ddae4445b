"""What a new task would be, on each of the grounds on which one can be opened; asks no policy and stores nothing.

Whatever is below another task narrows it: its intents, limits and life are within those of the parent's token and task, its
params are the same, and it shares the parent's family.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import Final, NamedTuple, final

from gateway.authority.grounds import Bounds, Grounds, Parent
from gateway.authority.refused import INVALID_DETAILS, INVALID_REQUEST, INVALID_SCOPE, RefusedError
from gateway.identity.provider import Identity
from gateway.known_claims import KnownClaims, known_of
from gateway.policy.start import NO_PARAMS, Opening
from gateway.stores.store import Above, TaskRow
from gateway.task_limits import wider_than

DEEPEST: Final = 8
"""How many tasks may stand above one."""


class Asked(NamedTuple):
    """What is asked for: a task under this new name, for these intents, with these params and bounds."""

    name: str
    intents: tuple[str, ...]
    params: Mapping[str, str]
    bounds: Bounds


class Draft(NamedTuple):
    """A task that policy has not been asked about yet, and how it would be opened.

    `known` gives those claims of its subject that are named: of a task below another no more than its parent knows.
    """

    task: TaskRow
    opening: Opening
    known: Callable[[Iterable[str]], KnownClaims]


def opening_of(task: TaskRow) -> Opening:
    """How a stored task was opened. The claims of its starter are gone; what held of them is known."""
    params = {name: str(value) for name, value in task.params.items()}
    return Opening(task.agent, task.starter, params, None, frozenset(task.met))


@final
class Drafts:
    """Makes drafts in one tenant, for tasks that live for a bounded time."""

    def __init__(self, tenant: str, max_task: float) -> None:
        """`max_task` is in seconds."""
        self._tenant: Final = tenant
        self._max_task: Final = max_task

    def of(self, agent: Identity, asked: Asked, grounds: Grounds, now: float) -> Draft:
        """The task that an agent would work on itself. Raises `RefusedError` where it would be wider than its parent."""
        if grounds.parent is not None:
            return self._below(grounds.parent, agent.agent, asked, now)
        if grounds.subject is not None:
            return self._started(grounds.subject, agent.agent, asked, now, delegated=True)
        return self._started(agent, agent.agent, asked, now)

    def started(self, starter: Identity, agent: str, asked: Asked, now: float) -> Draft:
        """The task that a starter would open for an agent, which then works on its behalf."""
        return self._started(starter, agent, asked, now)

    def _started(self, starter: Identity, agent: str, asked: Asked, now: float, *, delegated: bool = False) -> Draft:
        bounds = asked.bounds
        task = TaskRow(
            id=asked.name, tenant=self._tenant, agent=agent, subject=starter.agent, starter=starter.agent,
            intents=asked.intents, opened=now, ends=now + min(self._max_task, bounds.duration or math.inf), policy="",
            params=asked.params, limits=bounds.limits, delegated=delegated,
        )  # fmt: skip
        return Draft(task, Opening(agent, starter.agent, asked.params, starter.claims), partial(known_of, starter.claims))

    def _below(self, parent: Parent, agent: str, asked: Asked, now: float) -> Draft:
        above = parent.task
        check_eligible(parent, agent)
        check_narrower(parent, asked.intents)
        if asked.params not in (NO_PARAMS, above.params):
            raise RefusedError(INVALID_DETAILS, "A child task has the very params of its parent; leave them out.")
        ends = above.ends if asked.bounds.duration is None else now + asked.bounds.duration
        if ends > above.ends:
            raise RefusedError(INVALID_DETAILS, "A child task does not outlive its parent; ask for a shorter duration.")
        family = (Above(above.id, above.agent, above.limits), *above.above)
        if len(family) > DEEPEST:
            raise RefusedError(INVALID_REQUEST, f"No more than {DEEPEST} tasks stand above one; open this one higher up.")
        wide = next(filter(None, (wider_than(asked.bounds.limits, each.limits) for each in family)), None)
        if wide is not None:
            raise RefusedError(INVALID_DETAILS, f"The limit {wide} of a child task is within those of the tasks above it.")
        # For the parent's own agent nothing is new. Another one is started by the parent's agent, whose claims nobody has seen.
        opening = opening_of(above)
        if agent != above.agent:
            opening = Opening(agent, above.agent, opening.params, {})
        task = TaskRow(
            id=asked.name, tenant=above.tenant, agent=agent, subject=above.subject, starter=opening.starter,
            intents=asked.intents, opened=now, ends=ends, policy="", parent=above.id, params=above.params,
            limits=asked.bounds.limits, above=family, delegated=above.delegated,
        )  # fmt: skip
        return Draft(task, opening, above.subject_claims.of)


def check_eligible(parent: Parent, agent: str) -> None:
    """A task token is good as a subject token for its own agent, and for the one that its `may_act` names (RFC 8693 §4.4).

    Raises `RefusedError`.
    """
    if agent not in (parent.token.agent, parent.token.may_act):
        raise RefusedError(
            INVALID_REQUEST,
            "The subject_token is not accepted: it is of another agent, and its may_act does not name this one.",
        )


def check_narrower(parent: Parent, intents: Sequence[str]) -> None:
    """A child holds nothing that the very token of its parent does not hold. Raises `RefusedError`."""
    if not set(intents) <= parent.token.intents:
        raise RefusedError(INVALID_SCOPE, "A child task holds only intents of the token that it was opened with.")


def check_grounds(task: TaskRow, agent: Identity, grounds: Grounds) -> bool:
    """Whether this agent asks for one more token of a task on the grounds on which the task was opened.

    Raises `RefusedError` where only the grounds are wrong.
    """
    if task.agent != agent.agent:
        return False
    if task.parent is not None:
        if grounds.parent is None or grounds.parent.task.id != task.parent:
            raise RefusedError(INVALID_REQUEST, "A child task is renewed with a token of its parent as the subject_token.")
        check_eligible(grounds.parent, agent.agent)
        return True
    subject = agent.agent if grounds.subject is None else grounds.subject.agent
    if task.delegated and subject != task.subject:
        raise RefusedError(INVALID_REQUEST, "A task on behalf of somebody is renewed with a token of the same subject.")
    return grounds.parent is None and (task.delegated or grounds.subject is None)


def ends_of(agent: Identity, grounds: Grounds) -> Iterator[float]:
    """When each of the proofs that a token comes from is over: no token outlives any of them."""
    if agent.expires is not None:
        yield agent.expires
    if grounds.subject is not None and grounds.subject.expires is not None:
        yield grounds.subject.expires
    if grounds.parent is not None:
        yield grounds.parent.token.expires
