"""What a head says of this hop alone: how its body is delimited, and which fields stay here; knows no sockets and no time."""

from typing import Final, final

from gateway.http.fields import Field, Role, canonical
from gateway.http.framing import AmbiguousFramingError, content_length, is_chunked

CONNECTION_OPTIONS: Final = frozenset(("close", "keep-alive"))
"""Options of Connection that name no field."""
NO_NAMES: Final[frozenset[str]] = frozenset()
_ONCE: Final = frozenset((Role.CONTENT_LENGTH, Role.TRANSFER_ENCODING, Role.ONCE, Role.WATCHED_ONCE))
_PLAIN: Final = frozenset((b"", b"identity"))


@final
class Hop:
    """What a head says of this hop alone: how its body is delimited, what its Connection names, and of trailers."""

    __slots__ = ("chunked", "coded", "length", "options", "seen", "trailers", "upgrade")

    def __init__(self) -> None:
        self.length: int | None = None
        self.chunked = False
        self.coded = False
        self.options: frozenset[str] = NO_NAMES
        self.trailers: frozenset[str] = NO_NAMES
        self.seen: frozenset[str] = NO_NAMES
        self.upgrade: bytes | None = None

    def take(self, field: Field) -> bool:
        """Read a field, of most of which there may be only one; true if its line goes on. Raises `AmbiguousFramingError`."""
        role, name = field.role, field.name
        if role == Role.CONNECTION:
            self.options |= options_of(field)
            return False
        if role == Role.TRAILERS:
            self.trailers |= options_of(field)
            return False
        if role == Role.UPGRADE:  # several lines are one list (RFC 9110 §5.3)
            self.upgrade = field.value if self.upgrade is None else self.upgrade + b", " + field.value
            return False
        if role == Role.CODING:
            self.coded = self.coded or field.value.lower() not in _PLAIN
            return True
        if name in self.seen or role not in _ONCE:
            raise AmbiguousFramingError(f"The header {name} stands twice, is malformed, or is not served here.")
        self.seen |= {name}
        if role == Role.CONTENT_LENGTH:
            self.length = content_length(field)
        elif role == Role.TRANSFER_ENCODING:
            self.chunked = is_chunked(field)
            return False
        return True


def options_of(field: Field) -> set[str]:
    """The names in a list of them, canonical."""
    return {canonical(option.strip(b" \t").decode("latin-1")) for option in field.value.split(b",")} - {""}


def name_of(line: bytes) -> str:
    """The name of a header line as it was sent."""
    return line.partition(b":")[0].decode("ascii")
