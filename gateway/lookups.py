"""Looks up the addresses of names, so that one whose servers never answer holds up nobody else; knows no use of an address."""

import asyncio
import socket
from collections.abc import Sequence
from contextlib import suppress
from ipaddress import IPv4Address, IPv6Address, ip_address
from threading import Thread
from typing import Final, final

Address = IPv4Address | IPv6Address

MOST: Final = 64
"""How many names are looked up at once."""


class TooManyLookupsError(OSError):
    """Those names that are looked up already are all that can be, here or on this machine."""


@final
class Lookups:
    """One lookup for each name, however many wait for it; it goes on when they have given up, and the next one joins it.

    The C library looks a name up in one go that nobody can end, which takes half a minute where no server answers. The event
    loop has two threads for that, so two such names would hold up all. Here each name has a thread of its own, and the end
    of the program waits for none of them.
    """

    def __init__(self) -> None:
        self._under_way: Final[dict[str, asyncio.Future[Sequence[Address]]]] = {}

    async def addresses_of(self, host: str) -> Sequence[Address]:
        """The addresses of a name in the order in which to try them, none if it has none; of an address, itself.

        Raises `TooManyLookupsError` at once.
        """
        with suppress(ValueError):
            return [ip_address(host)]
        return await asyncio.shield(self._under_way.get(host) or self._begin(host))

    def _begin(self, host: str) -> "asyncio.Future[Sequence[Address]]":
        if len(self._under_way) >= MOST:
            raise TooManyLookupsError
        loop = asyncio.get_running_loop()
        try:
            Thread(target=self._look_up, args=(host, loop), name=f"lookup of {host}", daemon=True).start()
        except RuntimeError:  # the system has no thread for it
            raise TooManyLookupsError from None
        found = self._under_way[host] = loop.create_future()
        return found

    def _look_up(self, host: str, loop: asyncio.AbstractEventLoop) -> None:
        """What the thread does."""
        found: Sequence[Address] = ()
        try:
            found = [_address(*entry[4]) for entry in socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)]
        except (OSError, ValueError):
            pass  # it has none
        finally:
            with suppress(RuntimeError):  # the loop has ended meanwhile
                loop.call_soon_threadsafe(self._end, host, found)

    def _end(self, host: str, found: Sequence[Address]) -> None:
        self._under_way.pop(host).set_result(found)


def _address(host: str | int, _port: object, _flow: object = 0, scope: object = 0) -> Address:
    """An address as the socket module gives it, with its scope where it has one."""
    return ip_address(f"{host}%{scope}" if scope else host)
