"""Several who accept from one socket: each gets its part, and nobody waits long for one that does not move."""

import asyncio
import errno
import os
import socket
from collections.abc import Callable, Iterator

import pytest
import structlog
from fakes.clock import TurnedClock

from gateway.http.door import TAKE_OVER, Door
from gateway.http.turns import SPREAD, SharedCounts, Turns, leave_out, shared_counts

ARRIVING = 96


@pytest.fixture
def memory() -> Iterator[int]:
    """What three processes share."""
    descriptor = shared_counts(3)
    yield descriptor
    os.close(descriptor)


class Process:
    """One that accepts, and lets its connections wait."""

    def __init__(self, memory: int, number: int) -> None:
        self.guests: list[socket.socket] = []
        self.turns = Turns(SharedCounts(memory, number, 3))
        self.door = Door(self.guests.append, lambda: len(self.guests), TurnedClock(), self.turns)

    async def close(self) -> None:
        await self.door.close()
        self.turns.close()
        for each in self.guests:
            each.close()


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.001)


def arrive(opened: socket.socket, times: int) -> list[socket.socket]:
    return [socket.create_connection(opened.getsockname()) for _ in range(times)]


async def test_many_who_come_at_once_are_shared(memory: int) -> None:
    """Whoever wakes first takes no more than its part, of those who came at once and of those who come one by one."""
    opened = socket.create_server(("127.0.0.1", 0), backlog=256)
    one, other = Process(memory, 0), Process(memory, 2)
    callers = arrive(opened, ARRIVING)
    one.door.open_on(opened)
    other.door.open_on(opened.dup())
    await until(lambda: len(one.guests) + len(other.guests) == ARRIVING)
    assert abs(len(one.guests) - len(other.guests)) <= ARRIVING / 2 / SPREAD + 1
    for number in range(ARRIVING, ARRIVING + 20):
        callers += arrive(opened, 1)
        await until(lambda number=number: len(one.guests) + len(other.guests) > number)
    assert abs(len(one.guests) - len(other.guests)) <= (ARRIVING + 20) / 2 / SPREAD + 1
    for process in (one, other):
        await process.close()
    for each in callers:
        each.close()


async def test_who_does_not_move_is_not_waited_for(memory: int) -> None:
    """A process that has fewer connections and accepts none is given a moment each time, and the others go on."""
    opened = socket.create_server(("127.0.0.1", 0), backlog=256)
    frozen, lives = Turns(SharedCounts(memory, 0, 3)), Process(memory, 1)
    frozen.tell(0)
    callers = arrive(opened, 4 * TAKE_OVER)
    lives.door.open_on(opened)
    await asyncio.sleep(0)
    await until(lambda: len(lives.guests) == 4 * TAKE_OVER)
    frozen.close()
    await lives.close()
    for each in callers:
        each.close()


async def test_who_has_fewer_is_left_the_next(memory: int) -> None:
    """In the turn in which a connection comes, one that has more than another leaves it."""
    opened = socket.create_server(("127.0.0.1", 0), backlog=256)
    fewer, more = Turns(SharedCounts(memory, 0, 3)), Process(memory, 1)
    more.guests.extend(socket.socket() for _ in range(2))
    fewer.tell(1)
    callers = arrive(opened, 1)
    more.door.open_on(opened)
    for _ in range(5):
        await asyncio.sleep(0)
        assert len(more.guests) == 2
    fewer.close()
    await more.close()
    callers[0].close()


async def test_who_is_full_leaves_it_to_whoever_has_room(memory: int) -> None:
    """Though it has hardly more connections: the other one would turn nobody away. If all are full, all turn away."""
    full, other = Turns(SharedCounts(memory, 0, 3), most=100), Turns(SharedCounts(memory, 1, 3), most=100)
    full.tell(100)
    other.tell(95)
    assert not full.ours()
    assert other.ours()
    other.tell(100)
    assert full.ours()
    full.close()
    other.close()


async def test_no_descriptor_left_is_told_once_a_second(memory: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where connections are first left to another process, which cannot accept them either."""
    monkeypatch.setattr("gateway.http.door.PAUSE", 0.1)
    opened = Exhausted()
    opened.bind(("127.0.0.1", 0))
    opened.listen()
    for fewer in (0, 9):
        other, mine = Turns(SharedCounts(memory, 0, 3)), Turns(SharedCounts(memory, 1, 3))
        other.tell(fewer)
        door = Door(lambda _: None, lambda: 5, TurnedClock(), mine)
        caller = arrive(opened, 1)[0]
        with structlog.testing.capture_logs() as said:
            door.open_on(opened.dup_exhausted())
            await asyncio.sleep(0.45)
        assert 2 <= len(said) <= 6
        assert len(door._resting) == 1
        await door.close()
        for turns in (other, mine):
            turns.close()
        caller.close()
    opened.close()


class Exhausted(socket.socket):
    """A listening socket whose process has no descriptor left."""

    def accept(self) -> tuple[socket.socket, object]:
        raise OSError(errno.EMFILE, "Too many open files")

    def dup_exhausted(self) -> "Exhausted":
        return Exhausted(fileno=os.dup(self.fileno()))


def test_who_has_left_or_died_has_no_turn(memory: int) -> None:
    """Neither is anybody's measure, nor is one that has never begun."""
    one, other = Turns(SharedCounts(memory, 0, 3)), Turns(SharedCounts(memory, 1, 3))
    one.tell(1000)
    assert one.ours()
    other.tell(3)
    assert not one.ours()
    other.leave()
    assert one.ours()
    other.tell(3)
    leave_out(memory, 1)
    assert one.ours()
    assert not other.ours()
    one.close()
    other.close()


def test_alone_every_turn_is_ours() -> None:
    """A process without others never waits."""
    turns = Turns()
    turns.tell(5)
    assert turns.ours()
    turns.close()
