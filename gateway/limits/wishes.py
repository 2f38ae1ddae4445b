"""What a gateway and its lender say to each other, as plain values; knows neither the line between them nor any store.

Every value is a NamedTuple of texts and numbers, so `_asdict()` beside its name is its form on the wire:

    {"wish":   {"number": 7, "kind": "requests", "key": "…", "wanted": 64, "need": 0, "most": 500, "window": 0.0}}
    {"back":   {"key": "…", "drawn": "…", "amount": 12}}
    {"hold":   {"key": "…", "most": 4, "amount": 1}}
    {"answer": {"number": 7, "amount": 64, "drawn": "…", "lasts": 0.0, "after": 0.0}}
    {"recall": {"kind": "requests", "key": "…"}}

A gateway sends the first three, a lender the other two. Of labels of tasks a gateway sends `learn`, `mark`, `heard` and
`forgot`, and hears `labelled` and `told`; of how many requests there were it sends `count`, and hears `counted`; of what a task
may not have it sends `drifted`. Whoever carries them keeps their order and never sends one twice: a wish whose answer is lost
counts as spent, and what is given back twice would be spent twice.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple, Protocol

REQUESTS: Final = "requests"
BYTES: Final = "bytes"
RATE: Final = "rate"
CONCURRENT: Final = "concurrent"
KINDS: Final = (REQUESTS, BYTES, RATE, CONCURRENT)
LONGEST_KEY: Final = 16_384
"""Characters of a name that a lender reads."""
LARGEST_AMOUNT: Final = 1 << 60
"""The most of anything that one event may speak of."""


class Wish(NamedTuple):
    """A gateway asks for more of a limit: for `wanted` in addition, or for `concurrent` for that many in all.

    `need` is how much of it somebody waits for; 0 if the wish is ahead of need. `number` is the gateway's own. `most` may be
    used under the key, in each `window` of so many seconds unless that is 0.
    """

    number: int
    kind: str
    key: str
    wanted: int
    need: int
    most: int
    window: float


class Back(NamedTuple):
    """A gateway gives back what it has not spent, nothing included, of what an answer has `drawn` it from."""

    key: str
    drawn: str
    amount: int


class Hold(NamedTuple):
    """A gateway holds so many places of a `concurrent` limit from now on, and no more."""

    key: str
    most: int
    amount: int


class Answer(NamedTuple):
    """What a wish has brought, nothing included; for `concurrent` how many places the gateway now holds in all.

    What was lent ends `lasts` seconds after the wish was made, unless that is 0. A wish that brought too little has better
    prospects `after` so many seconds, if that is not 0.
    """

    number: int
    amount: int
    drawn: str
    lasts: float
    after: float


class Learn(NamedTuple):
    """A gateway asks for the labels of a task, and wants to be told of more."""

    number: int
    task: str


class Mark(NamedTuple):
    """A gateway puts labels, separated by spaces, on a task; it is answered when all that know the task know them."""

    number: int
    task: str
    labels: str


class Heard(NamedTuple):
    """A gateway goes by what it was told under this number."""

    number: int


class Forgot(NamedTuple):
    """A gateway knows the labels of no task any more."""


class Labelled(NamedTuple):
    """All labels of a task, separated by spaces: the answer to a `Learn` or a `Mark`.

    `lasts` is 1 if the gateway will be told of what is added later, and 0 if it has to ask again for the next request.
    """

    number: int
    task: str
    labels: str
    lasts: int


class Told(NamedTuple):
    """A task has these labels, for somebody else has added some: say `Heard` with the number."""

    number: int
    task: str
    labels: str


class Count(NamedTuple):
    """A gateway counts so many more requests under this key, and asks how many there were before."""

    number: int
    key: str
    amount: int


class Counted(NamedTuple):
    """How many requests there were before those of a `Count`."""

    number: int
    before: int


class Drifted(NamedTuple):
    """A request of this task was refused for what it asked for."""

    task: str


class Recall(NamedTuple):
    """Somebody else needs what a gateway holds and does not use: it gives it back at once, or says that there is nothing."""

    kind: str
    key: str


Event = Wish | Back | Hold | Learn | Mark | Heard | Forgot | Count | Drifted
Reply = Answer | Recall | Labelled | Told | Counted

_EVENTS: Final[Mapping[str, type[Event]]] = {
    "wish": Wish, "back": Back, "hold": Hold, "learn": Learn, "mark": Mark, "heard": Heard, "forgot": Forgot,
    "count": Count, "drifted": Drifted,
}  # fmt: skip
_REPLIES: Final[Mapping[str, type[Reply]]] = {
    "answer": Answer, "recall": Recall, "labelled": Labelled, "told": Told, "counted": Counted,
}  # fmt: skip


class Lender(Protocol):
    """Whoever lends to one gateway: the authority in this program, or the line to it."""

    def take(self, events: Sequence[Event]) -> None:
        """Accept what the gateway says, in this order. Returns at once, never raises, and answers later through `hear`."""
        ...


class UnreadableEventError(ValueError):
    """What came over the wire is no event; the text is a sentence without anything of it."""


def as_wire(said: Event | Reply) -> dict[str, dict[str, object]]:
    """The form on the wire."""
    return {type(said).__name__.lower(): said._asdict()}


def read_event(document: object) -> Event:
    """An event of a gateway from its form on the wire. Raises `UnreadableEventError` for anything else."""
    kind, members = _opened(document)
    made = _EVENTS.get(kind)
    if made is None:
        raise UnreadableEventError(f"an event is one of {', '.join(_EVENTS)}")
    event = made(**_checked(made, members))
    if isinstance(event, Wish) and event.kind not in KINDS:
        raise UnreadableEventError("a wish is for requests, bytes, rate or concurrent")
    return event


def read_reply(document: object) -> Reply:
    """A lender's reply from its form on the wire. Raises `UnreadableEventError` for anything else."""
    kind, members = _opened(document)
    made = _REPLIES.get(kind)
    if made is None:
        raise UnreadableEventError(f"a reply is one of {', '.join(_REPLIES)}")
    return made(**_checked(made, members))


def _opened(document: object) -> tuple[str, Mapping[str, object]]:
    if isinstance(document, dict) and len(document) == 1:
        ((kind, members),) = document.items()
        if isinstance(kind, str) and isinstance(members, dict):
            return kind, members
    raise UnreadableEventError("an event is an object with one member that is an object")


def _checked(made: type[Event] | type[Reply], members: Mapping[str, object]) -> dict[str, Any]:
    types = made.__annotations__
    if members.keys() != types.keys():
        raise UnreadableEventError("an event has exactly the members that are documented")
    if all(_fits(types[name], value) for name, value in members.items()):
        return dict(members)
    raise UnreadableEventError("a member of an event has a type or a size that it cannot have")


def _fits(wanted: type, value: object) -> bool:
    if wanted is str:
        return isinstance(value, str) and len(value) <= LONGEST_KEY
    if isinstance(value, bool) or not isinstance(value, int if wanted is int else (int, float)):
        return False
    return 0 <= value <= LARGEST_AMOUNT
