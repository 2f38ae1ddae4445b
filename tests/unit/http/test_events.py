"""Streams of events are taken apart and put together again, wherever they are split; knows nothing of MCP."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import Refusal
from gateway.http.events import LONGEST_ID, Events


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
