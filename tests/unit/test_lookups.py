"""Names whose servers never answer: what they hold up, and what they do not."""

import asyncio
import socket
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from ipaddress import ip_address
from threading import Event, Thread
from threading import enumerate as threads

import pytest

from gateway.lookups import MOST, Lookups, TooManyLookupsError


class Servers:
    """The name servers: they know each name under `.example`, and answer for `hung` ones when the test lets them."""

    def __init__(self) -> None:
        self.asked: Counter[str] = Counter()
        self.answer = Event()
        self._others = set(threads())

    def threads(self) -> list[Thread]:
        """Those that look names up; not what another test has left."""
        return [thread for thread in threads() if thread.name.startswith("lookup of ") and thread not in self._others]

    def getaddrinfo(self, host: str, _port: None, **how: object) -> list[tuple]:
        assert how == {"type": socket.SOCK_STREAM}
        self.asked[host] += 1
        host.encode("idna")  # as the real one does first
        if "\0" in host:
            raise ValueError("embedded null character")
        if "hung" in host:
            self.answer.wait()
        if not host.endswith(".example"):
            raise socket.gaierror(socket.EAI_NONAME, "no such name")
        return [
            (socket.AF_INET6, socket.SOCK_STREAM, 6, "", ("fe80::1", 0, 0, 2)),
            (socket.AF_INET6, socket.SOCK_STREAM, 6, "", ("2001:db8::1", 0, 0, 0)),
            (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("192.0.2.1", 0)),
        ]


ANSWER = [ip_address(text) for text in ("fe80::1%2", "2001:db8::1", "192.0.2.1")]


@pytest.fixture
def servers(monkeypatch: pytest.MonkeyPatch) -> Iterator[Servers]:
    """All names are looked up here; what hangs ends with the test."""
    made = Servers()
    monkeypatch.setattr(socket, "getaddrinfo", made.getaddrinfo)
    yield made
    made.answer.set()
    for thread in made.threads():
        thread.join(10)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.001)


async def give_up(lookups: Lookups, host: str) -> None:
    """Begin to wait for a name, and wait no more."""
    task = asyncio.ensure_future(lookups.addresses_of(host))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_addresses_come_in_the_order_of_the_system(servers: Servers) -> None:
    """With the scope of those that are nothing without it; what is an address is looked up nowhere."""
    lookups = Lookups()
    assert await lookups.addresses_of("api.example") == ANSWER
    assert await lookups.addresses_of("::1") == [ip_address("::1")]
    assert await lookups.addresses_of("192.0.2.7") == [ip_address("192.0.2.7")]
    assert servers.asked == {"api.example": 1}


async def test_a_real_name_is_found() -> None:
    """By the C library, as the machine is set up."""
    assert {ip_address("127.0.0.1"), ip_address("::1")} & set(await Lookups().addresses_of("localhost"))


@pytest.mark.parametrize("host", ["unknown.test", "a" * 64 + ".example", "a\0.example"])
async def test_a_name_that_is_none_has_no_addresses(servers: Servers, host: str) -> None:
    """Also one that no server may be asked for."""
    assert servers
    assert not await Lookups().addresses_of(host)


async def test_a_name_that_hangs_takes_one_place_and_nobodys_time(servers: Servers) -> None:
    """Fifty who wait for it are one lookup, and another name is answered meanwhile."""
    lookups = Lookups()
    waiting = [asyncio.ensure_future(lookups.addresses_of("hung.example")) for _ in range(50)]
    await until(lambda: bool(servers.asked))
    assert await lookups.addresses_of("api.example") == ANSWER
    await until(lambda: len(servers.threads()) == 1)
    servers.answer.set()
    assert await asyncio.gather(*waiting) == [ANSWER] * 50
    assert servers.asked == {"hung.example": 1, "api.example": 1}
    assert await lookups.addresses_of("hung.example") == ANSWER
    assert servers.asked["hung.example"] == 2


async def test_a_lookup_outlives_who_wanted_it(servers: Servers) -> None:
    """Whoever comes next joins it, for nobody can end it: who comes and gives up again and again leaves one behind."""
    lookups = Lookups()
    for _ in range(50):
        await give_up(lookups, "hung.example")
    joined = asyncio.ensure_future(lookups.addresses_of("hung.example"))
    await until(lambda: bool(servers.asked))
    servers.answer.set()
    assert await joined == ANSWER
    assert servers.asked == {"hung.example": 1}


async def test_so_many_names_are_looked_up_at_once(servers: Servers) -> None:
    """One more is told so at once and costs no thread; when one is through there is a place again."""
    lookups = Lookups()
    for number in range(MOST - 1):
        await give_up(lookups, f"hung{number}.example")
    assert await lookups.addresses_of("api.example") == ANSWER
    await give_up(lookups, "hung.example")
    with pytest.raises(TooManyLookupsError):
        await lookups.addresses_of("api.example")
    joined = asyncio.ensure_future(lookups.addresses_of("hung.example"))
    await until(lambda: servers.asked.total() == MOST + 1 and len(servers.threads()) == MOST)
    assert await lookups.addresses_of("192.0.2.7") == [ip_address("192.0.2.7")]
    servers.answer.set()
    assert await joined == ANSWER
    await until(lambda: not servers.threads())
    await asyncio.sleep(0)
    assert await lookups.addresses_of("api.example") == ANSWER


async def test_a_machine_that_has_no_thread_left_is_told_as_too_many(servers: Servers, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing stays behind of it, and the next one may find one."""

    def start(_thread: Thread) -> None:
        raise RuntimeError("can't start new thread")

    lookups = Lookups()
    with monkeypatch.context() as full:
        full.setattr(Thread, "start", start)
        with pytest.raises(TooManyLookupsError):
            await lookups.addresses_of("api.example")
    assert await lookups.addresses_of("api.example") == ANSWER
    assert servers.asked == {"api.example": 1}


def test_the_end_of_a_program_waits_for_no_lookup() -> None:
    """Neither the end of the event loop nor that of the interpreter; what comes after the former goes nowhere."""
    program = (
        "import asyncio, socket, threading\n"
        "from gateway.lookups import Lookups\n"
        "later = threading.Event()\n"
        "def hang(host, *_, **__):\n"
        "    later.wait() if host == 'late.example' else threading.Event().wait()\n"
        "    return []\n"
        "socket.getaddrinfo = hang\n"
        "async def main():\n"
        "    lookups = Lookups()\n"
        "    for host in ('late.example', 'never.example'):\n"
        "        try:\n"
        "            async with asyncio.timeout(0.1):\n"
        "                await lookups.addresses_of(host)\n"
        "        except TimeoutError:\n"
        "            print('waited for', host)\n"
        "asyncio.run(main())\n"
        "late, = [one for one in threading.enumerate() if 'late' in one.name]\n"
        "later.set()\n"
        "late.join()\n"
    )
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    assert (ended.stdout, ended.stderr) == ("waited for late.example\nwaited for never.example\n", "")
