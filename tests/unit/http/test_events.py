"""Streams of events are taken apart and put together again, wherever they are split; knows nothing of MCP."""

import itertools
import re
import tracemalloc

import pytest
from fakes.steps import calls_of
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import Refusal
from gateway.http.events import LONGEST_ID, MOST_AT_ONCE, MOST_LINES, Events


class Ear:
    """Names ids anew, and hears or changes what events say."""

    def __init__(self, *, judges: bool, most: int = 1000) -> None:
        self.judges = judges
        self.most = most
        self.heard: list[bytes] = []

    def name(self, value: bytes) -> bytes:
        return b"<" + value + b">"

    def event(self, content: bytes) -> bytes:
        self.heard.append(content)
        return content.replace(b"bad", b"good") if b"bad" in content else content


def passed(ear: Ear, pieces: list[bytes]) -> bytes:
    events = Events(ear)
    return b"".join([events.pass_on(piece, last=False) for piece in pieces] + [events.pass_on(b"", last=True)])


def split(stream: bytes, at: list[int]) -> list[bytes]:
    edges = [0, *sorted(place % (len(stream) + 1) for place in at), len(stream)]
    return [stream[start:end] for start, end in itertools.pairwise(edges)]


LINES = st.sampled_from(
    (
        b"id: 1",
        b"id",
        b"id:",
        b"idle: 1",
        b"i",
        b"data: a",
        b"data:bad",
        b"data",
        b": comment",
        b"event: message",
        b"retry: 5",
        b"",
    )
)
ENDINGS = st.sampled_from((b"\n", b"\r\n", b"\r"))
MARKS = st.sampled_from((b"", b"", b"\xef\xbb\xbf", b"\xef\xbb"))
STREAMS = st.builds(
    lambda mark, lines: mark + b"".join(line + end for line, end in lines),
    MARKS,
    st.lists(st.tuples(LINES, ENDINGS), max_size=12),
)


@given(stream=STREAMS, at=st.lists(st.integers(0, 200), max_size=6), judges=st.booleans())
def test_where_a_stream_is_split_changes_nothing(stream, at, judges):
    """The same is passed on and the same is heard, whichever pieces come."""
    whole, pieces = Ear(judges=judges), Ear(judges=judges)
    assert passed(whole, [stream]).replace(b"\r\n", b"\n").replace(b"\r", b"\n") == passed(pieces, split(stream, at)).replace(
        b"\r\n", b"\n"
    ).replace(b"\r", b"\n")
    assert whole.heard == pieces.heard


@pytest.mark.parametrize("judges", [True, False])
def test_everything_but_ids_passes_as_it_came(judges):
    """Comments, names, waits and what events say stay; ids are named anew."""
    stream = b": hi\nevent: message\nid: 7\ndata: one\ndata: two\nretry: 5\n\ndata: x\r\n\r\nid\nid:\nidle: 3\n\n"
    ear = Ear(judges=judges)
    assert passed(ear, [stream]) == stream.replace(b"id: 7", b"id: <7>")
    assert ear.heard == [b"one\ntwo", b"x"]


def test_what_an_event_says_can_be_changed():
    """The lines of an event that say something are replaced by one, and the others stay."""
    assert passed(Ear(judges=True), [b"event: m\ndata: bad\ndata: x\nid: 1\n\n"]) == b"event: m\nid: <1>\ndata: good\nx\n\n"


def test_an_event_that_is_not_judged_is_not_held_back():
    """What is there of it goes on at once, but for what could be an id."""
    events = Events(Ear(judges=False))
    assert events.pass_on(b"data: par", last=False) == b"data: par"
    assert events.pass_on(b"t\ni", last=False) == b"t\n"
    assert events.pass_on(b"d: 4", last=False) == b""
    assert events.pass_on(b"2\n", last=False) == b"id: <42>\n"


def test_a_judged_event_that_never_ended_is_left_out():
    """It means nothing (HTML standard, §9.2.6), and was judged by nobody."""
    assert passed(Ear(judges=True), [b"data: a\n\ndata: bad\n"]) == b"data: a\n\n"


def test_a_longer_event_passes_unread_or_is_refused():
    """Only where it has to be judged, there is a longest one."""
    stream = b"data: " + b"x" * 50 + b"\ndata: " + b"y" * 60 + b"\n\ndata: a\n\n"
    ear = Ear(judges=False, most=100)
    assert passed(ear, [stream]) == stream
    assert ear.heard == [b"a"]
    with pytest.raises(Refusal):
        passed(Ear(judges=True, most=100), [stream])
    with pytest.raises(Refusal):
        passed(Ear(judges=True, most=100), [b"data: " + b"x" * 200])


@pytest.mark.parametrize("judges", [True, False])
def test_an_id_has_a_longest_form(judges):
    """A longer one could not be sent back in a header."""
    assert passed(Ear(judges=judges, most=9000), [b"id:" + b"x" * (LONGEST_ID - 3) + b"\n\n"])
    for piece in (b"id:" + b"x" * LONGEST_ID + b"\n\n", b"id:" + b"x" * 9001):
        with pytest.raises(Refusal):
            passed(Ear(judges=judges, most=9000), [piece])


@pytest.mark.parametrize("judges", [True, False])
@pytest.mark.parametrize("pieces", [[b"\xef\xbb\xbfid: 1\n\n"], [b"\xef", b"\xbb", b"\xbf", b"id: 1\n\n"]])
def test_a_byte_order_mark_hides_no_line(judges, pieces):
    """Readers take it off the beginning of a stream, so it is taken off here, before the first line is read."""
    assert passed(Ear(judges=judges), pieces) == b"id: <1>\n\n"


@pytest.mark.parametrize("line", [b": still here\n", b"event: m\n", b"id: 1\n", b"data\n", b"x" * 99 + b"\n"])
def test_what_is_held_of_one_event_is_bounded(line):
    """Whatever its lines say: of an event that never ends no more is held than may be read."""
    with pytest.raises(Refusal):
        passed(Ear(judges=True), [line] * 2000)


def plainly(stream: bytes, ear: Ear) -> bytes:
    """Line after line, once all is here."""
    passed: list[bytes] = []
    held: list[tuple[bytes, bytes]] = []
    said: list[bytes] = []
    for line, ending in re.findall(rb"([^\r\n]*)(\r\n|\n|\r|\Z)", stream.removeprefix(b"\xef\xbb\xbf")):
        name, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if not ending:
            begins = ear.judges or b"id:".startswith(line[:3])
            passed.append(b"" if begins else line)
        elif line:
            if name == b"data":
                said.append(value)
            told = b"id: " + ear.name(value) if name == b"id" and value else line
            held.append((name, told + ending))
            if not ear.judges:
                passed.append(told + ending)
        else:
            content = b"\n".join(said)
            told = ear.event(content) if content else content
            if told is not content:
                held = [(name, line) for name, line in held if name != b"data"] + [(b"data", b"data: " + told + b"\n")]
            if ear.judges:
                passed += [line for _, line in held]
            passed.append(ending)
            held, said = [], []
    return b"".join(passed)


@given(
    stream=STREAMS, rest=st.sampled_from((b"", b"i", b"id: 9", b"data: x")), at=st.lists(st.integers(0, 200), max_size=6),
    judges=st.booleans(),
)  # fmt: skip
def test_a_stream_is_read_as_line_after_line(stream, rest, at, judges):
    """The very bytes that a plain reading of the whole gives, and the same is heard."""
    ear, plain = Ear(judges=judges), Ear(judges=judges)
    assert passed(ear, split(stream + rest, at)) == plainly(stream + rest, plain)
    assert ear.heard == plain.heard


@pytest.mark.parametrize("ending", [b"\n", b"\r", b"\r\n"])
def test_a_judged_event_has_only_so_many_lines(ending):
    """Each costs work when the event is judged; of one that is not judged no line is looked at."""
    event = (b"data: bad" + ending) * MOST_LINES
    assert passed(Ear(judges=True, most=len(event)), [event + ending]).count(b"good") == MOST_LINES
    with pytest.raises(Refusal):
        passed(Ear(judges=True, most=10**7), [event + b"data" + ending + ending])
    event += b"data" + ending + ending
    assert passed(Ear(judges=False), [event]) == event


@pytest.mark.parametrize("judges", [True, False])
@pytest.mark.parametrize("piece", [b"data:x\n\n", b":\r\r", b"id:1\n"])
def test_one_read_brings_only_so_many_events_and_ids(judges, piece):
    """No server has so much to say in so few bytes."""
    ear = Ear(judges=judges, most=10**7)
    read = piece * MOST_AT_ONCE + b"\n"
    assert passed(ear, [read, read]) == (read * 2).replace(b"id:1", b"id: <1>")
    with pytest.raises(Refusal):
        passed(ear, [piece + read])


@pytest.mark.parametrize("judges", [True, False])
@pytest.mark.parametrize("line", [b"\n", b"\r", b"\r\n", b"a\n", b"a\r", b"data\n", b"id\n"])
@pytest.mark.interpreted("only interpreted modules tell of their calls")
def test_short_lines_are_little_work(judges, line):
    """No line takes more than two calls, however many others a read has, and a run of empty ones takes as many as one."""
    few, many = (
        calls_of(lambda read=line * count: Events(Ear(judges=judges, most=10**7)).pass_on(read, last=False))
        for count in (10, 20_000)
    )
    assert many - few <= (0 if not line.strip() else 2 * (20_000 - 10))


@pytest.mark.parametrize("part", [b":\n", b"data:xy\n", b"x"])
@pytest.mark.interpreted("only interpreted lines are told with what they allocate")
def test_what_is_held_takes_its_bytes_and_little_more(part):
    """However short its lines and however small the reads."""
    events = Events(Ear(judges=True, most=10**6))
    events.pass_on(b"event: m\n", last=False)
    tracemalloc.start()
    try:
        for _ in range(500):
            events.pass_on(part * 200, last=False)
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert held <= 500 * 200 * len(part) * 1.5
