"""The feed as text: server-sent events that one side writes and the other reads strictly; knows no connection.

Each event is two lines and an empty one: `event: NAME`, then `data:` with one JSON object. `start` comes first and says where
the stream begins, `keys` says who signs, `revoked` and `restored` carry a number each, `renewed` none, and `beat` proves a read
of the store.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple, Protocol

import orjson

from gateway.limits.wishes import Reply, UnreadableEventError, as_wire, read_reply
from gateway.model import AGENT, CREDENTIAL, KEY, TASK, TENANT, TOKEN, Restoration, Revocation

VERSION: Final = 3
"""Of the events. Whoever reads another one does not follow it, for an event it does not know could be a revocation."""
LONGEST_EVENT: Final = 256 * 1024
"""In bytes; a longer one breaks the stream."""

_KINDS: Final = frozenset((TOKEN, TASK, AGENT, TENANT, CREDENTIAL, KEY))
_LONGEST_TEXT: Final = 2048
_END: Final = b"\n\n"


class MalformedEventError(Exception):
    """What was read is no event of this version; the text is a sentence that repeats nothing of it."""


class Start(NamedTuple):
    """How a stream begins: whether it goes on where the reader was, and the boot time of the machine that writes it."""

    resumed: bool
    at: float


class Beat(NamedTuple):
    """A heartbeat: `at` is the writer's boot time when its read of the store began, `policy` the digest of its policy.

    `horizon` is in Unix seconds, see `Subscriber.beat`.
    """

    epoch: str
    seq: int
    at: float
    horizon: float
    policy: str


class Reader(Protocol):
    """Whoever follows a stream. Its methods return at once and do not raise."""

    def started(self, start: Start) -> None:
        """The stream begins."""
        ...

    def keys(self, issuer: str, jwks: Mapping[str, object]) -> None:
        """See `Subscriber.keys`."""
        ...

    def beaten(self, beat: Beat) -> None:
        """A heartbeat came, with the time of the machine that sent it."""
        ...

    def revoked(self, revocation: Revocation) -> None:
        """See `Subscriber.revoked`."""
        ...

    def restored(self, restoration: Restoration) -> None:
        """See `Subscriber.restored`."""
        ...

    def renewed(self, task: str, until: float) -> None:
        """See `Subscriber.renewed`."""
        ...


def start(*, epoch_kept: bool, at: float) -> bytes:
    """The first event of a stream."""
    return _event("start", {"version": VERSION, "resumed": epoch_kept, "at": at})


def keys(issuer: str, jwks: Mapping[str, object]) -> bytes:
    """Who signs task tokens."""
    return _event("keys", {"issuer": issuer, "jwks": jwks})


def revoked(entry: Revocation) -> bytes:
    """Something is revoked."""
    return _event("revoked", {**_entry(entry), "cause": entry.cause, "until": entry.until})


def restored(entry: Restoration) -> bytes:
    """Something is accepted again."""
    return _event("restored", _entry(entry))


def _entry(entry: Revocation | Restoration) -> dict[str, object]:
    return {"seq": entry.seq, "time": entry.time, "kind": entry.kind, "id": entry.id, "tenant": entry.tenant}


def renewed(task: str, until: float) -> bytes:
    """A task has a newer token."""
    return _event("renewed", {"task": task, "until": until})


def replied(said: Reply) -> bytes:
    """A lender answers, or wants back."""
    return _event("reply", as_wire(said))


def reply(members: Mapping[str, Any]) -> Reply:
    """What a lender says. Raises `MalformedEventError`."""
    try:
        return read_reply(members)
    except UnreadableEventError as error:
        raise MalformedEventError(str(error)) from None


def beat(heard: Beat) -> bytes:
    """The store was read."""
    return _event("beat", heard._asdict())


def events(chunks: bytearray) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """The whole events at the beginning of what was read, which are taken away from it. Raises `MalformedEventError`."""
    taken = 0
    try:
        while (end := chunks.find(_END, taken)) >= 0:
            text = bytes(chunks[taken:end])
            taken = end + len(_END)
            yield _parse(text)
    finally:
        del chunks[:taken]
    if len(chunks) > LONGEST_EVENT:
        raise MalformedEventError("an event is too long")


def tell(reader: Reader, name: str, members: Mapping[str, Any]) -> None:
    """Tell a reader of one event. Raises `MalformedEventError`; then it has been told nothing of it."""
    if name == "beat":
        at, horizon = _number(members, "at"), _number(members, "horizon")
        reader.beaten(Beat(_text(members, "epoch"), _whole(members, "seq"), at, horizon, _text(members, "policy")))
    elif name == "revoked":
        cause, until = _text(members, "cause"), _number(members, "until")
        reader.revoked(Revocation(*_of_entry(members), cause, until, _text(members, "tenant")))
    elif name == "restored":
        reader.restored(Restoration(*_of_entry(members), _text(members, "tenant")))
    elif name == "renewed":
        reader.renewed(_text(members, "task"), _number(members, "until"))
    elif name == "keys":
        jwks = members.get("jwks")
        if not isinstance(jwks, dict):
            raise MalformedEventError("the keys are no JWK set")
        reader.keys(_text(members, "issuer"), jwks)
    elif name == "start":
        if members.get("version") != VERSION or not isinstance(members.get("resumed"), bool):
            raise MalformedEventError("the authority speaks another version of the feed")
        reader.started(Start(members["resumed"], _number(members, "at")))
    else:
        raise MalformedEventError("an event has an unknown name")


def _event(name: str, members: Mapping[str, object]) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (name.encode(), orjson.dumps(members))


def _parse(text: bytes) -> tuple[str, Mapping[str, Any]]:
    first, _, second = text.partition(b"\n")
    if len(text) > LONGEST_EVENT or not first.startswith(b"event: ") or not second.startswith(b"data: "):
        raise MalformedEventError("there is something else than an event")
    try:
        members = orjson.loads(second[6:])
        name = first[7:].decode("ascii")
    except ValueError:
        members, name = None, ""
    if not isinstance(members, dict):
        raise MalformedEventError("an event holds no JSON object")
    return name, members


def _of_entry(members: Mapping[str, Any]) -> tuple[int, float, str, str]:
    return _whole(members, "seq"), _number(members, "time"), _kind(members), _text(members, "id")


def _kind(members: Mapping[str, Any]) -> str:
    kind = _text(members, "kind")
    if kind not in _KINDS:
        raise MalformedEventError("an event is of an unknown kind")
    return kind


def _text(members: Mapping[str, Any], name: str) -> str:
    value = members.get(name)
    if not isinstance(value, str) or len(value) > _LONGEST_TEXT:
        raise MalformedEventError(f"an event has no usable '{name}'")
    return value


def _whole(members: Mapping[str, Any], name: str) -> int:
    value = members.get(name)
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise MalformedEventError(f"an event has no usable '{name}'")
    return value


def _number(members: Mapping[str, Any], name: str) -> float:
    value = members.get(name)
    if not isinstance(value, (int, float)) or isinstance(value, bool):
        raise MalformedEventError(f"an event has no usable '{name}'")
    return float(value)
