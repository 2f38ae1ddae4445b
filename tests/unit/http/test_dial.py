"""Which addresses of an upstream's name are tried, in which order, and when it is given up."""

import asyncio
import contextlib
import socket
from pathlib import Path

import pytest
from fakes.certificates import Certificates

from gateway.errors import Refusal
from gateway.http.dial import MOST_ADDRESSES, dial
from gateway.http.outbound import PoolKey
from gateway.http.sender import Turn
from gateway.http.tls_context import calling
from gateway.http.tls_watch import LiveContext
from gateway.http.upstream import UpstreamConnection
from gateway.lookups import Lookups, TooManyLookupsError
from gateway.model import Origin, TlsFiles, Upstream

ADDRESSES = [f"127.0.0.{number}" for number in range(2, 10)]


def named(monkeypatch: pytest.MonkeyPatch, addresses: list[str]) -> None:
    """Let these be the addresses of `api.example`."""

    def resolve(host: str, _port: None, **_more: object) -> list[tuple]:
        assert host == "api.example"
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, 0)) for address in addresses]

    monkeypatch.setattr(socket, "getaddrinfo", resolve)


async def reached(port: int, *networks: str, live: LiveContext | None = None, patience: float = 5.0) -> str:
    """The address that `api.example` leads to; or the refusal."""
    upstream = Upstream(
        tenant="t", name="api", origin=Origin("http" if live is None else "https", "api.example", port), prefix="/api",
        base_path="", protocol="http", credential="key", networks=networks or ("127.0.0.0/8",), connect_timeout=patience,
    )  # fmt: skip
    key = PoolKey(upstream, "key", "v")
    async with asyncio.timeout(patience):  # as the pool does
        result = await dial(upstream, lambda: UpstreamConnection(key, lambda _: None, 1024, Turn()), Lookups(), live)
    if isinstance(result, Refusal):
        return f"{result.code}: {result.detail}"
    address = result._transport.get_extra_info("peername")[0]
    result.abort()
    await asyncio.sleep(0)
    return address


async def dialled(monkeypatch: pytest.MonkeyPatch, addresses: list[str], listening: str, *networks: str) -> str:
    """The address that a name with these addresses leads to, where one listens and the others refuse; or the refusal."""
    named(monkeypatch, addresses)
    with socket.create_server((listening, 0)) as server:
        return await reached(server.getsockname()[1], *networks)


async def test_the_next_address_is_tried_when_one_refuses(monkeypatch: pytest.MonkeyPatch) -> None:
    """In the order in which the name has them."""
    assert await dialled(monkeypatch, ADDRESSES[:3], ADDRESSES[2]) == ADDRESSES[2]


async def test_only_so_many_addresses_are_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    """A name with a hundred dead addresses does not keep a request for a hundred attempts."""
    assert await dialled(monkeypatch, ADDRESSES, ADDRESSES[MOST_ADDRESSES - 1]) == ADDRESSES[MOST_ADDRESSES - 1]
    refused = await dialled(monkeypatch, ADDRESSES, ADDRESSES[MOST_ADDRESSES])
    assert refused == "upstream_failed: The upstream api cannot be reached: it refuses connections."


async def test_addresses_that_never_answer_leave_time_for_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """As behind a firewall that drops: each that is tried has its part of the time in which there has to be a connection."""
    with contextlib.ExitStack() as opened:
        port = opened.enter_context(socket.create_server((ADDRESSES[2], 0))).getsockname()[1]
        for address in ADDRESSES[:2]:
            opened.enter_context(socket.create_server((address, port), backlog=0))
            opened.enter_context(socket.create_connection((address, port)))  # nobody takes it, and there is room for one
        named(monkeypatch, ADDRESSES[:3])
        assert await reached(port, patience=3) == ADDRESSES[2]


async def test_the_next_address_is_tried_when_one_fails_over_tls(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """One refuses, one shows a certificate for another name, one never shakes hands, and the one that is right is taken."""
    certificates = Certificates(tmp_path)
    wrong, right = (certificates.upstream(certificates.issue(name)) for name in ("other.example", "api.example"))
    loop = asyncio.get_running_loop()
    impostor = await loop.create_server(asyncio.Protocol, ADDRESSES[1], 0, ssl=wrong)
    port = impostor.sockets[0].getsockname()[1]
    silent = socket.create_server((ADDRESSES[2], port))
    genuine = await loop.create_server(asyncio.Protocol, ADDRESSES[3], port, ssl=right)
    named(monkeypatch, ADDRESSES[:4])
    live = LiveContext("api", TlsFiles(ca=str(tmp_path / "ca.pem")), calling, 0.0)
    assert await reached(port, live=live, patience=4) == ADDRESSES[3]
    impostor.close()
    silent.close()
    genuine.close()
    await asyncio.sleep(0.05)


async def test_an_address_outside_the_networks_is_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    """It does not count as an attempt, and never hears anything."""
    assert await dialled(monkeypatch, ADDRESSES, ADDRESSES[6], f"{ADDRESSES[6]}/32") == ADDRESSES[6]
    refused = await dialled(monkeypatch, ADDRESSES, ADDRESSES[0], "10.0.0.0/8")
    assert refused.startswith("upstream_failed: The upstream api resolves to no address in the networks")


async def test_a_name_without_an_address_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """The caller hears which upstream it is, and no name."""
    named(monkeypatch, [])
    assert await reached(1) == "upstream_failed: The name of the upstream api cannot be resolved."


async def test_names_that_nobody_answers_for_are_told_from_those(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is the gateway that has no room, so the caller may come again at once when it has."""

    async def none_left(_lookups: Lookups, _host: str) -> None:
        raise TooManyLookupsError

    monkeypatch.setattr(Lookups, "addresses_of", none_left)
    assert await reached(1) == "overloaded: The gateway waits for the addresses of too many names."
