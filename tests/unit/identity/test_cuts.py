"""The watch over open exchanges: how often it looks, how long it holds up the loop, and that it ends what it should."""

import asyncio
from typing import Any

import pytest

from gateway.errors import Refusal
from gateway.identity.cuts import BUDGET, LOOK, REST, Cuts
from gateway.identity.standing import Standing
from gateway.model import Principal, Revocation, marks_of


class Connection:
    """What is open on a connection, and how it was ended. To end one can take time."""

    def __init__(self, clock: Any, number: int = 0, seconds: float = 0.0) -> None:
        task = f"task {number}"
        self.bearer: Principal | None = Principal(
            agent="a", subject="s", tenant="acme", task=task, token=f"j{number}", intents=frozenset(), expires=4e9,
            epoch="first epoch", marks=marks_of(token=f"j{number}", task=task, agent="a", tenant="acme", key="first"), issuer="https://issuer.example",
        )  # fmt: skip
        self.ends: list[str] = []
        self._clock = clock
        self._seconds = seconds

    def interrupt(self, error: Refusal) -> None:
        self.bearer = None
        self.ends.append(error.code)
        self._clock.passed += self._seconds


class Looks:
    """Connections that count how often they are looked through; each look takes its time."""

    def __init__(self, clock: Any, connections: list[Connection], seconds: float = 0.0) -> None:
        self.count = 0
        self._clock = clock
        self._connections = connections
        self._seconds = seconds

    def __iter__(self) -> Any:
        self.count += 1
        self._clock.passed += self._seconds
        return iter(self._connections)


@pytest.fixture
def measured(clock: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The clock of the standing, whose measure of time a test moves."""
    clock.passed = 0.0
    monkeypatch.setattr(clock, "steady", lambda: clock.passed)
    return clock


def revocation(mark: str, seq: int = 1) -> Revocation:
    kind, _, name = mark.partition(":")
    return Revocation(seq, 0.0, kind, name, "operator", 4e9)


async def turns(count: int = 3) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


async def test_many_revocations_of_one_turn_are_one_look(standing: Standing, measured: Any) -> None:
    """A page of the feed costs no more than one revocation, and everything that it names is ended."""
    connections = [Connection(measured, number) for number in range(10)]
    looks = Looks(measured, connections)
    Cuts(standing, looks, measured)
    for number in range(5):
        standing.revoked(revocation(f"task:task {number}", number))
    assert looks.count == 0
    await turns()
    assert looks.count == 1
    assert [connection.ends for connection in connections] == [["token_revoked"]] * 5 + [[]] * 5


async def test_it_rests_after_a_look(standing: Standing, measured: Any) -> None:
    """However many revocations come, looks take at most a fifth of the time, and what came meanwhile is not forgotten."""
    connections = [Connection(measured, number) for number in range(10)]
    looks = Looks(measured, connections, seconds=0.01)
    Cuts(standing, looks, measured)
    standing.revoked(revocation("task:task 0"))
    await turns()
    standing.revoked(revocation("task:task 1", 2))
    await turns(20)
    assert looks.count == 1
    assert connections[1].ends == []
    async with asyncio.timeout(10):
        while not connections[1].ends:
            await asyncio.sleep(0.005)
    assert looks.count == 2
    assert REST * 0.01 < LOOK


async def test_many_ends_do_not_hold_up_the_loop(standing: Standing, measured: Any) -> None:
    """To end ten thousand exchanges takes a second; others have their turn every few milliseconds of it."""
    connections = [Connection(measured, number, seconds=BUDGET / 4) for number in range(40)]
    Cuts(standing, Looks(measured, connections), measured)
    standing.revoked(revocation("tenant:acme"))
    most = before = 0
    for _ in range(40):
        await asyncio.sleep(0)
        ended = sum(1 for connection in connections if connection.ends)
        most, before = max(most, ended - before), ended
    assert before == len(connections)
    assert most <= 5


async def test_what_comes_while_it_ends_others_is_not_forgotten(standing: Standing, measured: Any) -> None:
    """A look that is under way ends first; then there is another."""
    connections = [Connection(measured, number, seconds=BUDGET) for number in range(4)]
    Cuts(standing, Looks(measured, connections), measured)
    standing.revoked(revocation("task:task 0"))
    standing.revoked(revocation("task:task 1", 2))
    await turns(2)
    standing.revoked(revocation("task:task 3", 3))
    await turns(20)
    assert [connection.ends for connection in connections] == [["token_revoked"], ["token_revoked"], [], ["token_revoked"]]


async def test_another_exchange_of_the_connection_is_spared(standing: Standing, measured: Any) -> None:
    """Between finding and ending, the one that was found can have ended by itself and another one begun."""
    connections = [Connection(measured, number, seconds=BUDGET) for number in range(2)]
    Cuts(standing, Looks(measured, connections), measured)
    standing.revoked(revocation("task:task 0"))
    standing.revoked(revocation("task:task 1", 2))
    await turns(1)
    assert connections[0].ends == ["token_revoked"]
    connections[1].bearer = Connection(measured, 7).bearer
    await turns(20)
    assert connections[1].ends == []


async def test_time_is_looked_after_without_any_event(
    standing: Standing, measured: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What expires or grows stale tells nobody, so there is a look every quarter of a second."""
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)
        if len(slept) == 2:
            measured.seconds += 11.0
        if len(slept) == 3:
            raise asyncio.CancelledError

    monkeypatch.setattr(measured, "sleep", sleep)
    connection = Connection(measured)
    with pytest.raises(asyncio.CancelledError):
        await Cuts(standing, Looks(measured, [connection]), measured).run()
    assert connection.ends == ["revocations_stale"]
    assert slept == [LOOK] * 3
