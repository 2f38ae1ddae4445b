"""Writes what a request of MCP asked for into its record, and what came of it; knows no protocol but the names in it.

Of arguments only a keyed digest is written: with the key of this log it shows whether certain arguments were sent, and nobody
can read them back. All of it takes less room than the path and the query that a request of MCP does not have.
"""

import hmac
from collections.abc import Iterable, Mapping
from typing import Any, Final, final

import orjson

from gateway.audit.clean import Quoted, QuotedList, QuotedMap
from gateway.mcp import Asks, Message
from gateway.model import Outcome

MOST_NAMES: Final = 2
"""How many names of one message are recorded: only a subscription has more than one."""


@final
class Calls:
    """Encodes the messages of a request. Each value is capped."""

    __slots__ = ("_ending", "_key", "_logged", "_method", "_names")

    def __init__(self, key: bytes) -> None:
        """`key` is the one under which arguments are digested."""
        self._key: Final = key
        self._method: Final = Quoted(48)
        self._names: Final = QuotedList(MOST_NAMES, 128)
        self._logged: Final = QuotedMap(4, 32, 64)
        self._ending: Final = Quoted(16)

    def asked(self, asks: Asks | None, intent: str | None) -> str:
        """The member of a request record, with a comma after it; nothing for what is no request of MCP.

        `intent` is the one that was decided on, which says whose values are recorded.
        """
        if asks is None:
            return ""
        logged = asks.logged.get(intent or "", ())
        return f'"mcp":[{",".join([self._message(message, logged) for message in asks.messages])}],'

    def ended(self, outcome: Outcome) -> str:
        """The member of a response record, with a comma after it; nothing where there is nothing to say."""
        if outcome.calls is None and not outcome.hidden:
            return ""
        endings = ",".join([self._ending.of(ending) for ending in outcome.calls or ()])
        return f'"mcp":{{"endings":[{endings}],"hidden":{outcome.hidden}}},'

    def _message(self, message: Message, logged: Iterable[str]) -> str:
        names = self._names.of(tuple([name for _, name in message.wanted]))
        values = {name: _shown(message.arguments[name]) for name in logged if name in message.arguments}
        return (
            f'{{"method":{self._method.of(message.method or None)},"names":{names},'
            f'"arguments":{self._digest(message)},"logged":{self._logged.of(values)}}}'
        )

    def _digest(self, message: Message) -> str:
        arguments: Mapping[str, Any] | None = message.params.get("arguments")
        if not message.wanted or arguments is None:
            return "null"
        canonical = orjson.dumps(arguments, option=orjson.OPT_SORT_KEYS)
        return f'"{hmac.digest(self._key, canonical, "sha256").hex()}"'


def _shown(value: Any) -> str:
    return value if isinstance(value, str) else orjson.dumps(value, option=orjson.OPT_SORT_KEYS).decode()
