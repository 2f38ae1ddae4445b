"""A task as JSON, the same for its agent and for operators; knows no endpoint."""

from gateway.clock import Clock
from gateway.stores.store import TaskRow


def task_document(task: TaskRow, clock: Clock) -> dict[str, object]:
    """The members of one task. Times are RFC 3339 in UTC; `ended` and `cause` are null while it is open.

    `met` names the conditions of starts that held of the claims of its starter.
    """
    return {
        "task": task.id,
        "state": task.state,
        "tenant": task.tenant,
        "agent": task.agent,
        "subject": task.subject,
        "starter": task.starter,
        "intents": list(task.intents),
        "params": dict(task.params),
        "limits": dict(task.limits),
        "parent": task.parent,
        "met": list(task.met),
        "opened": clock.stamp(task.opened),
        "ends": clock.stamp(task.ends),
        "ended": None if task.ended is None else clock.stamp(task.ended),
        "cause": task.cause,
        "policy": task.policy,
    }
