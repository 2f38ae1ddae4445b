"""Tests of sending at the end of a turn: order, one write, the bounds, and what happens when the connection ends first."""

from collections.abc import Callable
from typing import cast

import pytest

from gateway.http.sender import LARGE, MOST_PARTS, Sender, Turn


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
