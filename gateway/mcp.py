"""What requests of MCP ask for, as plain values that policy and audit share; knows neither bytes nor intents.

MCP is the Model Context Protocol over streamable HTTP; its messages are those of JSON-RPC 2.0.
"""

from collections.abc import Mapping
from typing import Any, Final, NamedTuple, final


@final
class Message:
    """One message. `call_id` is its id as JSON, None of a notification; an answer to the server has no `method`.

    `wanted` holds what it asks for, as kind and name: `("tool", "add_issue")`. What only sets up, lists, pings, cancels,
    reports progress or answers asks for nothing.
    """

    __slots__ = ("call_id", "method", "params", "wanted")

    def __init__(
        self, method: str, call_id: bytes | None, wanted: tuple[tuple[str, str], ...], params: Mapping[str, Any]
    ) -> None:  # fmt: skip
        self.method: Final = method
        self.call_id: Final = call_id
        self.wanted: Final = wanted
        self.params: Final = params

    def text(self, name: str) -> str | None:
        """A param that is a text."""
        value = self.params.get(name)
        return value if isinstance(value, str) else None

    @property
    def tool(self) -> str:
        """The tool that it calls; empty if it calls none."""
        return self.wanted[0][1] if self.method == "tools/call" else ""

    @property
    def arguments(self) -> Mapping[str, Any]:
        """The arguments of a tool or a prompt."""
        value = self.params.get("arguments")
        return value if isinstance(value, dict) else {}


class Usable(NamedTuple):
    """Of the intents of one upstream those that a task may use on some condition, and those that are denied to it on none."""

    granted: frozenset[str]
    denied: frozenset[str]


@final
class Asks:
    """Everything that one request asks for. `lists` says that the answer may hold lists of what there is.

    `among` are all intents of the upstream: who asks for nothing of its own needs a token with one of them. `lines` are header
    lines that go on instead of what the caller sent. `logged` holds, by intent, the names of the arguments whose values are
    recorded.
    """

    __slots__ = ("among", "calls", "lines", "lists", "logged", "messages", "uncut", "usable")

    def __init__(
        self, messages: tuple[Message, ...], among: tuple[str, ...], logged: Mapping[str, tuple[str, ...]],
        lines: tuple[bytes, ...], *, lists: bool,
    ) -> None:  # fmt: skip
        self.messages: Final = messages
        self.calls: Final = tuple([message for message in messages if message.wanted])
        """The messages that ask for something."""
        self.among: Final = among
        self.logged: Final = logged
        self.lines: Final = lines
        self.lists: Final = lists
        self.usable: Usable | None = None
        """What the task may use, once it was decided that it may ask."""
        self.uncut = False
        """Whether lists are left as they are, for what they would lack is only observed."""
