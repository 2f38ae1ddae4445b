"""Tests of sending at the end of a turn, or before it where nobody else sends: order, writes, bounds, early ends."""

from collections.abc import Callable
from typing import cast

import pytest

from gateway.http.deadlines import Sweep
from gateway.http.downstream import Downstream
from gateway.http.house import House
from gateway.http.limits import Limits
from gateway.http.sender import CALM, LARGE, MOST_PARTS, UNSENT, Sender, Turn
from gateway.http.waiting import Wait


class Wire:
    """A transport that notes what it is told."""

    def __init__(self) -> None:
        self.told: list[object] = []
        self.closing = False

    def is_closing(self) -> bool:
        return self.closing

    def write(self, data: bytes) -> None:
        self.told.append(data)

    def writelines(self, parts: list[bytes]) -> None:
        self.told.append(tuple(parts))

    def close(self) -> None:
        self.told.append("closed")

    def get_extra_info(self, _name: str) -> None:
        return None

    def can_write_eof(self) -> bool:
        return False

    def set_write_buffer_limits(self, high: int) -> None:
        assert high == UNSENT


class Ends:
    """Holds what is to be called at the end of the turn."""

    def __init__(self) -> None:
        self.pending: list[Callable[[], None]] = []

    def __call__(self, end: Callable[[], None]) -> None:
        self.pending.append(end)

    def come(self) -> None:
        pending, self.pending = self.pending, []
        for end in pending:
            end()


@pytest.fixture
def ends() -> Ends:
    """The end of the turn, when the test wants it."""
    return Ends()


@pytest.fixture
def turn(ends: Ends) -> Turn:
    """A turn of no event loop."""
    return Turn(ends)


def sender_on(turn: Turn) -> tuple[Sender, Wire]:
    """A sender on a wire."""
    sender, wire = Sender(turn), Wire()
    sender._transport = cast("object", wire)
    return sender, wire


def test_nothing_leaves_before_the_end_of_the_turn_and_then_all_in_order(turn: Turn, ends: Ends) -> None:
    """Two connections are written once each, and the loop was asked for one end."""
    (first, first_wire), (second, second_wire) = sender_on(turn), sender_on(turn)
    first.send(b"1")
    second.send(b"2")
    first.send(b"3")
    assert (first_wire.told, second_wire.told, len(ends.pending)) == ([], [], 1)
    ends.come()
    assert (first_wire.told, second_wire.told) == ([(b"1", b"3")], [b"2"])
    first.send(b"4")
    ends.come()
    assert first_wire.told[1:] == [b"4"]


def test_what_is_large_leaves_at_once_behind_what_waits(turn: Turn, ends: Ends) -> None:
    """A large part meets the brakes of a slow reader when it is sent, and never overtakes."""
    sender, wire = sender_on(turn)
    sender.send(b"head")
    sender.send(b"x" * LARGE)
    assert wire.told == [(b"head", b"x" * LARGE)]
    ends.come()
    assert len(wire.told) == 1


def test_many_small_parts_do_not_gather_without_bound(turn: Turn) -> None:
    """However much is sent in one turn, no more than a few parts wait."""
    sender, wire = sender_on(turn)
    for _ in range(10 * MOST_PARTS):
        sender.send(b"x" * (LARGE - 1))
        assert len(sender._unsent) < MOST_PARTS
    assert len(wire.told) == 10


def test_a_good_end_comes_after_what_was_sent(turn: Turn, ends: Ends) -> None:
    """Closing in good order loses nothing."""
    sender, wire = sender_on(turn)
    sender.send(b"answer")
    sender.close()
    ends.come()
    assert wire.told == [b"answer", "closed"]


def test_a_connection_that_is_closing_is_not_written_to(turn: Turn, ends: Ends) -> None:
    """What it would have got is dropped; the others of the turn are served."""
    (gone, gone_wire), (here, here_wire) = sender_on(turn), sender_on(turn)
    gone.send(b"1")
    here.send(b"2")
    gone_wire.closing = True
    ends.come()
    assert (gone_wire.told, here_wire.told, gone._unsent) == ([], [b"2"], [])


def pass_turns(turn: Turn, ends: Ends, senders: int, count: int = CALM) -> None:
    """Turns in which so many connections send."""
    for _ in range(count):
        for _ in range(senders):
            sender_on(turn)[0].send(b"x")
        ends.come()


@pytest.mark.parametrize(
    ("turns", "leaves"),
    [
        ([], False),
        ([1] * (CALM - 1), False),
        ([1] * CALM, True),
        ([1] * CALM + [2], False),
        ([2] * CALM, False),
        ([1] * CALM + [2] + [1] * (CALM - 1), False),
        ([1] * CALM + [2] + [1] * CALM, True),
    ],
)
def test_who_was_alone_for_a_while_need_not_wait_for_the_end(turn: Turn, ends: Ends, turns: list[int], *, leaves: bool) -> None:
    """Only a row of turns with one sender each lets the next one hurry, and one turn with two ends the row."""
    for senders in turns:
        pass_turns(turn, ends, senders, count=1)
    sender, wire = sender_on(turn)
    sender.send(b"1")
    assert wire.told == []
    turn.hurry()
    assert wire.told == ([b"1"] if leaves else [])
    sender.send(b"2")
    ends.come()
    assert wire.told == ([b"1", b"2"] if leaves else [(b"1", b"2")])


def test_a_turn_in_which_somebody_hurried_is_counted_like_others(turn: Turn, ends: Ends) -> None:
    """Two who sent in one turn are two, though the first had left before the second came."""
    pass_turns(turn, ends, senders=1)
    (first, first_wire), (second, second_wire) = sender_on(turn), sender_on(turn)
    first.send(b"1")
    turn.hurry()
    second.send(b"2")
    turn.hurry()
    assert (first_wire.told, second_wire.told, len(ends.pending)) == ([b"1"], [b"2"], 1)
    ends.come()
    first.send(b"3")
    turn.hurry()
    assert first_wire.told == [b"1"]


@pytest.mark.parametrize("calm", [False, True])
def test_an_answer_leaves_before_its_exchange_is_brought_to_its_end(turn: Turn, ends: Ends, *, calm: bool) -> None:
    """And so does what a request that waits has sent; under load both leave with what the others of the turn send."""
    left: list[list[object]] = []

    async def serve(caller: Downstream) -> None:
        onward.send(b"request")
        await Wait(1.0, TimeoutError)
        caller.start_answer(b"HTTP/1.1 200 OK\r\nContent-Length: 0", b"")
        left.append(list(wire.told))

    caller = Downstream(House(serve, Limits(), Sweep(turn)))
    onward, onward_wire = sender_on(turn)
    wire = Wire()
    caller.connection_made(cast("object", wire))
    if calm:
        pass_turns(turn, ends, senders=1)
    caller.data_received(b"GET / HTTP/1.1\r\n\r\n")
    left.append(list(onward_wire.told))
    ends.come()
    assert caller._waiting is not None
    caller.resume(caller._waiting, None)
    ends.come()
    assert onward_wire.told == [b"request"]
    assert wire.told[0].startswith(b"HTTP/1.1 200 OK\r\n")
    assert left == ([[b"request"], wire.told[:1]] if calm else [[], []])
