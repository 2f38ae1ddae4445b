"""Target: values of Agent-Intent, read a second time character by character as RFC 9651 says; knows no intent.

The gateway accepts exactly those items that are a token with string parameters, of the known names, each once; what it
made of one can be written down again and read as the same.
"""

from collections.abc import Hashable
from string import ascii_letters, ascii_lowercase, digits

from gateway.errors import Refusal
from gateway.intent.declaration import LONGEST, parse
from gateway.model import DeclaredIntent

KNOWN = frozenset(("reason", "tool"))
_TOKEN_START = frozenset(ascii_letters + "*")
_TOKEN = frozenset(ascii_letters + digits + "!#$%&'*+-.^_`|~:/")
_KEY_START = frozenset(ascii_lowercase + "*")
_KEY = frozenset(ascii_lowercase + digits + "_-.*")


class NotThisItemError(Exception):
    """Not a bare token with string parameters."""


def check(raw: bytes) -> Hashable:
    """Read the value twice. What came of it; raises `AssertionError` where an invariant broke."""
    ours = _ours(raw)
    theirs = _theirs(raw)
    if isinstance(theirs, str):
        assert ours is None, f"accepted, although: {theirs}"
        return None, theirs
    name, parameters = theirs
    names = [key for key, _ in parameters]
    acceptable = set(names) <= KNOWN and len(names) == len(set(names)) and len(raw) <= LONGEST
    assert (ours is not None) == acceptable
    if ours is None:
        return None, "unknown or repeated parameter, or too long"
    values = dict(parameters)
    assert ours == DeclaredIntent(name, values.get("reason"), values.get("tool"))
    assert parse(_written(ours)) == ours
    return tuple(names), any("\\" in value or '"' in value for value in values.values())


def verdict(raw: bytes) -> str:
    """In words, for a named case."""
    return "refused" if _ours(raw) is None else "read"


def _ours(raw: bytes) -> DeclaredIntent | None:
    try:
        return parse(raw)
    except Refusal:
        return None


def _theirs(raw: bytes) -> tuple[str, list[tuple[str, str]]] | str:
    """Name and parameters, or why it is no such item."""
    try:
        return _plainly(raw.decode("latin-1"))
    except NotThisItemError as reason:
        return str(reason)


def _written(declared: DeclaredIntent) -> bytes:
    """RFC 9651 §4.1.3 and its parts."""
    text = declared.name
    for key in sorted(KNOWN):
        value = getattr(declared, key)
        if value is not None:
            text += f';{key}="' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
    return text.encode("ascii")


def _plainly(text: str) -> tuple[str, list[tuple[str, str]]]:
    """RFC 9651 §4.2 for an item (§4.2.3), of which the bare item is a token (§4.2.6) and each parameter a string."""
    rest = text.strip(" ")
    if not rest or rest[0] not in _TOKEN_START:
        raise NotThisItemError("no token")
    name, rest = _while(rest, _TOKEN)
    parameters = []
    while rest.startswith(";"):
        rest = rest[1:].lstrip(" ")
        if not rest or rest[0] not in _KEY_START:
            raise NotThisItemError("no key")
        key, rest = _while(rest, _KEY)
        if not rest.startswith('="'):
            raise NotThisItemError("a parameter that is no string")
        value, rest = _string(rest[2:])
        parameters.append((key, value))
    if rest:
        raise NotThisItemError("something follows")
    if text != text.strip(" "):
        raise NotThisItemError("spaces around it, which no header line leaves there")
    return name, parameters


def _while(text: str, allowed: frozenset[str]) -> tuple[str, str]:
    end = 0
    while end < len(text) and text[end] in allowed:
        end += 1
    return text[:end], text[end:]


def _string(text: str) -> tuple[str, str]:
    """RFC 9651 §4.2.5, after the opening quote."""
    value, at = "", 0
    while at < len(text):
        character = text[at]
        at += 1
        if character == "\\":
            if text[at : at + 1] not in ('"', "\\"):
                raise NotThisItemError("an escape of something else")
            value += text[at]
            at += 1
        elif character == '"':
            return value, text[at:]
        elif not " " <= character <= "~":
            raise NotThisItemError("a character that no string holds")
        else:
            value += character
    raise NotThisItemError("no closing quote")
