"""Trust bundles from a real gRPC server with the messages of the package `spiffe`: told, changed, lost and back."""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
import structlog
from fakes.spiffe import Agent, TrustDomain
from spiffe._proto import workload_pb2

from gateway.clock import Clock
from gateway.fetch import Fetch, FetchError
from gateway.identity import kept as kept_module
from gateway.identity import workload_api
from gateway.identity.kept import STALE, Kept, UnavailableError
from gateway.identity.provider import Tools
from gateway.identity.spiffe_bundle import Bundle
from gateway.identity.trust_bundle import BundleRule, open_bundle
from gateway.identity.workload_api import follow


@pytest.fixture
def acme() -> TrustDomain:
    """A trust domain."""
    return TrustDomain("acme.example")


@pytest.fixture
def agent(tmp_path: Path, acme: TrustDomain) -> Iterator[Agent]:
    """An agent that knows it and a federated one."""
    made = Agent(tmp_path / "agent.sock", acme, TrustDomain("other.example")).start()
    yield made
    made.stop()


@pytest.fixture
async def opened(agent: Agent, clock: Any, fetch: Fetch) -> AsyncIterator[Callable[..., Kept[Bundle]]]:
    """Opens bundles from the agent, and closes them."""
    rule = BundleRule.model_validate({"workload_api": f"unix:{agent.socket}"})
    made: list[Kept[Bundle]] = []
    clock.sleep = Clock().sleep

    def build(kind: Any = "JWT", trust_domain: str = "acme.example") -> Kept[Bundle]:
        made.append(open_bundle(rule, kind, trust_domain, Tools(clock, fetch, Path)))
        return made[-1]

    yield build
    for each in made:
        each.close()
    await asyncio.sleep(0)


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("kind", ["JWT", "X509"])
def test_the_messages_are_those_of_the_standard(kind: Any) -> None:
    """What is made here reads what the generated classes write, and the other way round."""
    made = workload_api._messages(kind)
    theirs = getattr(workload_pb2, f"{kind}BundlesResponse")
    written = theirs(bundles={"spiffe://a.example": b"\x00\xff"}).SerializeToString()
    assert dict(made.response.FromString(written).bundles) == {"spiffe://a.example": b"\x00\xff"}
    assert made.request().SerializeToString() == b""


async def test_a_bundle_is_told_for_each_trust_domain_alone(opened: Callable[..., Kept[Bundle]], agent: Agent) -> None:
    """Federated ones come from the same socket, and none holds a key of another."""
    acme, other = agent.domains
    assert set((await opened("JWT").current()).keys) == {acme.kid}
    assert (await opened("X509").current()).roots == (acme.root_der,)
    assert (await opened("X509", "other.example").current()).roots == (other.root_der,)
    assert all(metadata["workload.spiffe.io"] == "true" for _, metadata in agent.calls)


async def test_a_change_replaces_everything_at_once(
    opened: Callable[..., Kept[Bundle]], agent: Agent, acme: TrustDomain
) -> None:
    """A key that is not in the newest message is no more."""
    bundle = opened("JWT")
    assert set((await bundle.current()).keys) == {"jwt-1"}
    acme.rotate("jwt-2")
    agent.tell()
    await until(lambda: (known := bundle.latest()) is not None and set(known.keys) == {"jwt-2"})


async def test_an_agent_that_is_gone_leaves_its_bundle_for_a_bounded_time(
    opened: Callable[..., Kept[Bundle]], agent: Agent, clock: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It serves on, then nothing is known, and the return of the agent heals it; loss and return are logged once."""
    monkeypatch.setattr(kept_module, "_PAUSE", 0.05)
    bundle = opened("JWT")
    await bundle.current()
    with structlog.testing.capture_logs() as logged:
        await asyncio.to_thread(agent.stop)
        await until(lambda: any("cannot be reached" in str(bundle._problem) for _ in logged))
        clock.seconds += STALE
        assert await bundle.current()
        clock.seconds += 1
        with pytest.raises(UnavailableError, match=r"the trust bundle of acme\.example cannot be had: .*cannot be reached"):
            await bundle.current()
        assert bundle.latest() is None
        agent.start()
        await until(bundle.latest)
    assert [entry["event"] for entry in logged] == ["identity_source_lost", "identity_source_back"]


async def test_a_process_that_the_agent_does_not_know_is_told_what_to_do(
    opened: Callable[..., Kept[Bundle]], agent: Agent
) -> None:
    """The agent refuses whom it has no registration for."""
    agent.code = grpc.StatusCode.PERMISSION_DENIED
    with pytest.raises(UnavailableError, match="register Doorward as a workload"):
        await opened("JWT").current()


async def test_a_trust_domain_that_the_agent_does_not_know_is_said_to_be_one(opened: Callable[..., Kept[Bundle]]) -> None:
    """It is not federated with."""
    with pytest.raises(UnavailableError, match=r"no bundle of the trust domain third\.example"):
        await opened("JWT", "third.example").current()


async def test_an_agent_that_says_nothing_is_not_waited_for_without_end(
    opened: Callable[..., Kept[Bundle]], agent: Agent, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A socket that nobody serves."""
    monkeypatch.setattr(kept_module, "FIRST", 0.2)
    agent.stop()
    with socket.socket(socket.AF_UNIX) as silence:
        silence.bind(str(agent.socket))
        silence.listen()
        with pytest.raises(UnavailableError, match=r"nothing was said for 0\.2 seconds"):
            await opened("JWT").current()


async def test_a_message_has_a_largest_size(agent: Agent, acme: TrustDomain, monkeypatch: pytest.MonkeyPatch) -> None:
    """What an agent could send is bounded, whatever it sends."""
    monkeypatch.setattr(workload_api, "MESSAGE_BYTES", 64)
    with pytest.raises(FetchError, match="RESOURCE_EXHAUSTED"):
        await anext(follow(str(agent.socket), "JWT", acme.name))


async def test_what_is_no_certificate_is_no_bundle(opened: Callable[..., Kept[Bundle]], acme: TrustDomain) -> None:
    """A broken message is a problem of the source, and is told."""
    acme.root = type("Broken", (), {"public_bytes": lambda *_: b"\x30\x03abc"})()
    with pytest.raises(UnavailableError, match="a certificate in it cannot be read"):
        await opened("X509").current()


async def test_without_grpc_a_configuration_says_what_to_install(
    tmp_path: Path, clock: Any, fetch: Fetch, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When the configuration is read, not when the first agent comes."""
    monkeypatch.setattr(workload_api, "find_spec", lambda _name: None)
    rule = BundleRule.model_validate({"workload_api": "unix:agent.sock"})
    with pytest.raises(ValueError, match=r"pip install 'doorward\[spiffe\]'"):
        open_bundle(rule, "JWT", "acme.example", Tools(clock, fetch, tmp_path.joinpath))
