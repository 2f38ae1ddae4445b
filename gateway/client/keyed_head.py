"""Takes a key out of a request head wherever SDKs put their API keys; knows no token, and judges nothing else of the head.

The gateway reads whatever is passed on as strictly as everything else.
"""

import base64
import binascii
import re
from collections.abc import Iterator, Mapping
from typing import Final, NamedTuple, final
from urllib.parse import unquote_plus

HEAD_BYTES: Final = 64 * 1024
"""The largest head."""
KEY_HEADERS: Final = frozenset(("x-api-key", "api-key", "x-goog-api-key"))
"""Headers that hold an API key and nothing else."""
KEY_PARAMETER: Final = "key"
"""The parameter of a query that does."""

_FIRST = re.compile(rb"([A-Za-z]{1,32}) (/[\x21-\x7e]*) (HTTP/1\.[01])").fullmatch
# The blanks before the value are not given back (`*+`): it could take each, and a wrong byte would cost their square.
_LINE = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*+([^\x00-\x08\x0a-\x1f\x7f]*)").fullmatch
_DROPPED: Final = frozenset(("host", "keep-alive", "proxy-connection"))


class BadHeadError(Exception):
    """A head that is none; the sentence may be shown."""


@final
class KeyedHead(NamedTuple):
    """A head without what was found as its key. `lines` came so; `keys` stood in places of keys."""

    method: bytes
    path: str
    version: bytes
    lines: tuple[bytes, ...]
    keys: tuple[str, ...]
    declares: bool
    upgrades: bool

    def with_headers(self, added: Mapping[str, str]) -> bytes:
        """The bytes of the head with these headers. Its connection ends with its answer, unless it becomes another protocol."""
        lines = [
            b"%b %b %b" % (self.method, self.path.encode("ascii"), self.version),
            *(f"{name}: {value}".encode("latin-1") for name, value in added.items()),
            *self.lines,
            b"Connection: Upgrade" if self.upgrades else b"Connection: close",
        ]
        return b"\r\n".join((*lines, b"", b""))


def read_head(raw: bytes) -> KeyedHead:
    """Read a head with its final empty line. Raises `BadHeadError`."""
    first, *lines = raw.removesuffix(b"\r\n\r\n").split(b"\r\n")
    request = _FIRST(first)
    if request is None:
        raise BadHeadError("The request line is not a method, a path and HTTP/1.1.")
    path, keys = _without_key(request[2].decode("ascii"))
    kept: list[bytes] = []
    declares = upgrades = False
    for line in lines:
        parts = _LINE(line)
        if parts is None:
            raise BadHeadError("A header line is not a name, a colon and a value.")
        name, value = parts[1].decode("ascii").lower().replace("_", "-"), parts[2].decode("latin-1").strip()
        if name == "authorization" or name in KEY_HEADERS:
            keys.extend(_keys(name, value))
        elif name == "connection":
            upgrades = upgrades or "upgrade" in value.lower()
        elif name not in _DROPPED:
            declares = declares or name == "agent-intent"
            kept.append(line)
    return KeyedHead(request[1], path, request[3], tuple(kept), tuple(keys), declares, upgrades)


def _keys(name: str, value: str) -> Iterator[str]:
    """What a header shows as a key: one that is empty shows none."""
    if not value:
        return
    scheme, _, rest = value.partition(" ")
    if name != "authorization":
        yield value
    elif scheme.lower() == "basic":
        yield _password(rest.strip())
    else:
        yield rest.strip() if scheme.lower() == "bearer" else value


def _password(text: str) -> str:
    """The password of `Basic` (RFC 7617); what is none is no key."""
    try:
        return base64.b64decode(text, validate=True).decode().partition(":")[2]
    except (binascii.Error, UnicodeDecodeError):
        return ""


def _without_key(target: str) -> tuple[str, list[str]]:
    """A target without the parameters that hold a key, and what they held."""
    path, mark, query = target.partition("?")
    kept, keys = [], []
    for pair in query.split("&") if mark else ():
        name, _, value = pair.partition("=")
        if unquote_plus(name) == KEY_PARAMETER:
            keys.append(unquote_plus(value))
        else:
            kept.append(pair)
    return (path + "?" + "&".join(kept) if kept else path), keys
