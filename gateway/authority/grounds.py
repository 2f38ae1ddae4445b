"""What an agent shows beside its own identity, and how it bounds what it asks for, as plain values; verifies nothing."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, NamedTuple, final

from gateway.identity.provider import Identity
from gateway.model import Binding
from gateway.stores.store import TaskRow

if TYPE_CHECKING:  # a gateway alone makes no tokens
    from gateway.authority.tokens import OwnToken


class Parent(NamedTuple):
    """A live token of a task, and that task: what a child task is opened and renewed with."""

    token: "OwnToken"
    task: TaskRow


class Resource(NamedTuple):
    """The one upstream, or the whole gateway, that a token is asked for by its URL (RFC 8707 §2).

    `intents` are those that mean anything there; None for all.
    """

    url: str
    intents: frozenset[str] | None

    def bears(self, intent: str) -> bool:
        """Whether the intent means anything there."""
        return self.intents is None or intent in self.intents


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Grounds:
    """On which grounds an agent asks, beside its own identity, which is always proved anew.

    `subject` is the verified identity of somebody else on whose behalf it wants to act (RFC 8693 §1.1); `parent` a live token
    of the task below which it wants to work. `binding` is what the request has proved to hold, None if nothing.
    """

    subject: Identity | None = None
    parent: Parent | None = None
    binding: Binding | None = None


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """How a task and its token are narrowed beyond what policy says.

    `limits` are the task's own, `duration` how many seconds it lives at most. `may_act` names the one agent that may open a
    child task with the token (RFC 8693 §4.4): such a token is good for nothing else. `resource` is where the token is used.
    """

    limits: Mapping[str, object] = field(default_factory=dict, hash=False)
    duration: float | None = None
    may_act: str | None = None
    resource: Resource | None = None


OWN: Final = Grounds()
"""Nothing but the agent's own identity."""
UNBOUNDED: Final = Bounds()
"""As policy says, and no narrower."""
