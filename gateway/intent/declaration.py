"""The Agent-Intent header: one RFC 9651 item, read strictly; knows nothing of which intents exist."""

import re
from typing import Final

from gateway.errors import Refusal
from gateway.model import DeclaredIntent

LONGEST: Final = 1024
"""The longest declaration that is read, in bytes."""

_ITEM = re.compile(
    r'([a-zA-Z*][a-zA-Z0-9!#$%&\'*+.^_`|~:/-]*)((?:; *[a-z*][a-z0-9_.*-]*="(?:[ !#-\[\]-~]|\\["\\])*")*)'
).fullmatch
_PARAMETER = re.compile(r'; *([a-z*][a-z0-9_.*-]*)="((?:[ !#-\[\]-~]|\\["\\])*)"').finditer
_ESCAPE = re.compile(r"\\(.)")
_KNOWN: Final = frozenset(("reason", "tool"))


def parse(value: bytes) -> DeclaredIntent:
    """Read `invoices.read;tool="list_invoices";reason="close March"` (RFC 9651 §3.3 and §4.2.3, a token with strings).

    Stricter than RFC 9651 where it would make two readers differ: a parameter may not stand twice, and only `reason` and
    `tool` are known. Raises `Refusal` with `intent_malformed`.
    """
    if len(value) > LONGEST:
        raise Refusal("intent_malformed", f"The Agent-Intent header is longer than {LONGEST} bytes.")
    item = _ITEM(value.decode("latin-1"))
    if item is None:
        raise Refusal("intent_malformed")
    parameters: dict[str, str] = {}
    for parameter in _PARAMETER(item[2]):
        name = parameter[1]
        if name not in _KNOWN:
            raise Refusal("intent_malformed", "Agent-Intent knows the parameters reason and tool, and no others.")
        if name in parameters:
            raise Refusal("intent_malformed", f"Agent-Intent has the parameter {name} twice.")
        parameters[name] = _ESCAPE.sub(r"\1", parameter[2])
    return DeclaredIntent(item[1], parameters.get("reason"), parameters.get("tool"))
