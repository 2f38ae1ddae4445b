"""Agents with SVIDs before a whole Doorward: over mTLS and by JWT, with bundles that an agent tells over the Workload API.

The SVIDs are fetched by the client of the package `spiffe` from a real gRPC server, and validated by it.
"""

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from datetime import timedelta
from pathlib import Path

import pytest
from fakes.certificates import Certificates
from fakes.identity_house import EXCHANGE, JWT, MTLS, IdentityHouse, Start
from fakes.spiffe import PATH, Agent, Svid, TrustDomain
from spiffe import WorkloadApiClient

from gateway.fetch import Fetch, FetchError

FROM_AGENT = """
  mesh: {spiffe_jwt: {trust_domain: acme.example, audience: doorward, bundle: {workload_api: "unix:agent.sock"}}}
  mtls: {spiffe_x509: {trust_domain: acme.example, bundle: {workload_api: "unix:agent.sock"}}}
  other: {spiffe_x509: {trust_domain: other.example, bundle: {workload_api: "unix:agent.sock"}}}
"""


@pytest.fixture
async def start(tmp_path: Path) -> AsyncIterator[Start]:
    """Starts a Doorward, which is stopped at the end."""
    certificates = Certificates(tmp_path)
    certificates.write("own", "127.0.0.1")
    async with AsyncExitStack() as stack:
        yield IdentityHouse(tmp_path, certificates, stack).start


@pytest.fixture
def acme() -> TrustDomain:
    """The trust domain of the agents."""
    return TrustDomain("acme.example")


@pytest.fixture
def other() -> TrustDomain:
    """One that is federated with."""
    return TrustDomain("other.example")


@pytest.fixture
def agent(tmp_path: Path, acme: TrustDomain, other: TrustDomain) -> Iterator[Agent]:
    """The SPIFFE agent of this host."""
    made = Agent(tmp_path / "agent.sock", acme, other).start()
    yield made
    made.stop()


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(20):
        while not await condition():
            await asyncio.sleep(0.02)


async def trusted(house: IdentityHouse, svid: Svid) -> bool:
    """Whether the handshake goes through by now; a bundle from an agent is there a moment after the start."""
    house.look()
    try:
        return (await house.exchange(svid)).status == 200
    except FetchError:
        return False


def fetched(agent: Agent) -> tuple[str, Svid]:
    """A JWT-SVID and an X.509-SVID, as a workload gets them with the client of the package `spiffe`."""
    with WorkloadApiClient(f"unix:{agent.socket}") as client:
        token = client.fetch_jwt_svid({"doorward"})
        bundle = client.fetch_jwt_bundles().get_bundle_for_trust_domain(token.spiffe_id.trust_domain)
        assert bundle is not None
        assert bundle.get_jwt_authority("jwt-1") is not None
        certificate = client.fetch_x509_svid()
    return token.token, Svid(tuple(certificate.cert_chain), certificate.private_key)


async def test_svids_of_a_real_workload_api_open_tasks(start: Start, agent: Agent) -> None:
    """By JWT over TLS without a certificate, and by the certificate alone; both are the same agent."""
    token, svid = await asyncio.to_thread(fetched, agent)
    house = await start(FROM_AGENT)
    assert house.agent_of(await house.exchange(token=token, kind=JWT)) == f"spiffe://acme.example{PATH}"
    await until(lambda: trusted(house, svid))
    assert house.agent_of(await house.exchange(svid)) == f"spiffe://acme.example{PATH}"


async def test_a_certificate_is_enough_to_end_a_task(start: Start, agent: Agent, acme: TrustDomain) -> None:
    """On every endpoint of the authority the connection says who calls; another workload finds no such task."""
    assert agent
    house, svid = await start(FROM_AGENT), acme.x509_svid()
    await until(lambda: trusted(house, svid))
    task = (await house.exchange(svid)).json()["task"]
    stranger = acme.x509_svid("spiffe://acme.example/ns/agents/sa/other")
    assert (await house.ask(f"/tasks/{task}/complete", stranger)).status == 404
    assert (await house.ask(f"/tasks/{task}/complete", svid)).status == 200


async def test_a_rotated_root_counts_for_new_connections_and_the_old_one_no_more(
    start: Start, agent: Agent, acme: TrustDomain
) -> None:
    """As soon as the agent tells of it."""
    house, old = await start(FROM_AGENT), acme.x509_svid()
    await until(lambda: trusted(house, old))
    acme.rotate("jwt-2")
    agent.tell()
    await until(lambda: trusted(house, acme.x509_svid()))
    assert not await trusted(house, old)
    answer = await house.exchange(token=acme.jwt_svid(), kind=JWT)
    assert house.agent_of(answer) == f"spiffe://acme.example{PATH}"


async def test_a_root_that_leaves_counts_no_more_on_an_open_connection(start: Start, agent: Agent, acme: TrustDomain) -> None:
    """The handshake was long ago; the certificate is judged by the bundle of now."""
    house, svid = await start(FROM_AGENT), acme.x509_svid()
    await until(lambda: trusted(house, svid))
    form = {"grant_type": EXCHANGE, "subject_token": "peer", "subject_token_type": MTLS, "scope": "items.read"}
    url = f"https://127.0.0.1:{house.doorward._authority.ports[0]}/token"
    tls = house.context(svid)
    async with Fetch() as fetch:
        assert (await fetch.request("POST", url, form=form, tls=tls)).status == 200
        provider = house.doorward._authority._identities.minters["mtls"].provider
        before = provider.roots()
        acme.rotate()
        agent.tell()

        async def told() -> bool:
            return provider.roots() != before

        await until(told)
        answer = await fetch.request("POST", url, form=form, tls=tls)
    assert (answer.status, answer.json()["error"]) == (400, "invalid_request")
    assert "does not verify against the trust bundle" in answer.json()["error_description"]


async def test_federated_trust_domains_vouch_for_their_own_alone(
    start: Start, agent: Agent, acme: TrustDomain, other: TrustDomain
) -> None:
    """Both may shake hands; whose root has signed for whom is looked at after that."""
    assert agent
    house = await start(FROM_AGENT)
    for domain in (acme, other):
        svid = domain.x509_svid(between=True)
        await until(lambda svid=svid: trusted(house, svid))
        assert house.agent_of(await house.exchange(svid)) == f"spiffe://{domain.name}{PATH}"
    forged = other.x509_svid(f"spiffe://acme.example{PATH}")
    answer = await house.exchange(forged)
    assert answer.status == 400
    assert "does not verify against the trust bundle" in answer.json()["error_description"]


async def test_a_certificate_of_nobody_known_shakes_no_hands(start: Start, agent: Agent, acme: TrustDomain) -> None:
    """Neither one of another root, nor one that has ended; without any a client is served, and is nobody."""
    assert agent
    house = await start(FROM_AGENT)
    await until(lambda: trusted(house, acme.x509_svid()))
    stranger = TrustDomain("acme.example")
    with pytest.raises(FetchError):
        await house.exchange(stranger.x509_svid())
    with pytest.raises(FetchError):
        await house.exchange(acme.x509_svid(lasts=-timedelta(minutes=1)))
    answer = await house.exchange()
    assert (answer.status, answer.json()["error"]) == (400, "invalid_request")
    assert "only accepted with a client certificate" in answer.json()["error_description"]
    assert (await house.ask("/tasks/" + "0" * 32 + "/complete")).status == 401


async def test_an_svid_of_another_trust_domain_makes_no_gateway(
    start: Start, acme: TrustDomain, other: TrustDomain, tmp_path: Path
) -> None:
    """Gateways are known by `client_ca` alone, whatever name a federated root puts into a certificate."""
    acme.write(tmp_path / "acme.json")
    other.write(tmp_path / "other.json")
    (tmp_path / "gateways.pem").write_bytes(ssl.DER_cert_to_PEM_cert(acme.root_der).encode())
    house = await start(
        "  mtls: {spiffe_x509: {trust_domain: acme.example, bundle: {file: acme.json}}}\n"
        "  other: {spiffe_x509: {trust_domain: other.example, bundle: {file: other.json}}}\n",
        tls=", client_ca: gateways.pem, client_certificate: optional",
        gateways='{certificates: ["spiffe://acme.example/sidecar"]}',
    )
    for domain, expected in ((other, 403), (acme, 409)):
        svid = domain.x509_svid("spiffe://acme.example/sidecar", between=True)
        url = f"https://127.0.0.1:{house.doorward._authority.ports[0]}/gateway/events"
        async with Fetch() as fetch:
            body = {"gateway": "a", "events": []}
            answer = await fetch.request("POST", url, json=body, tls=house.context(svid))
        assert answer.status == expected


async def test_an_expired_svid_ends_its_tokens(start: Start, acme: TrustDomain, tmp_path: Path) -> None:
    """A token never outlives the certificate that it came from."""
    acme.write(tmp_path / "acme.json")
    mtls = "  mtls: {spiffe_x509: {trust_domain: acme.example, bundle: {file: acme.json}}}\n"
    house = await start(mtls, agents="spiffe://acme.example/*")
    lasts = timedelta(seconds=60)
    answer = await house.exchange(acme.x509_svid(lasts=lasts))
    assert 0 < answer.json()["expires_in"] <= 60


async def test_an_identity_that_is_added_is_asked_for_and_one_that_leaves_is_followed_no_more(
    start: Start, agent: Agent, acme: TrustDomain, other: TrustDomain
) -> None:
    """While Doorward runs: the listener begins to ask for certificates, and a trust domain that is taken out is forgotten."""
    mine, theirs = FROM_AGENT.strip("\n").split("\n")[1:3]
    host = "  host: {unix: {users: {'4000000': spiffe://flows.test/a}}}\n"
    house = await start(host, agents="spiffe://flows.test/a")
    assert agent.calls == []
    house.reconfigure(f"{mine}\n{theirs}\n", "spiffe://acme.example/*, spiffe://other.example/*")
    await house.reload()
    for domain in (acme, other):
        await until(lambda domain=domain: trusted(house, domain.x509_svid()))
    house.reconfigure(f"{mine}\n", "spiffe://acme.example/*")
    await house.reload()
    house.look()
    assert house.doorward.ground.clock.running & {"the trust bundle of acme.example", "the trust bundle of other.example"} == {
        "the trust bundle of acme.example"
    }
    assert await trusted(house, acme.x509_svid())
    assert not await trusted(house, other.x509_svid())


async def test_an_agent_that_is_gone_is_told_to_operators(
    start: Start, agent: Agent, acme: TrustDomain, tmp_path: Path
) -> None:
    """Doorward stays ready, and its readiness says in a notice what it cannot hear of any more."""
    house, svid = await start(FROM_AGENT), acme.x509_svid()
    await until(lambda: trusted(house, svid))

    async def notices() -> list[str]:
        async with Fetch() as fetch:
            answer = await fetch.request("GET", "http://doorward/readyz", unix=str(tmp_path / "admin.sock"))
        assert answer.json()["ready"]
        return list(answer.json()["notices"])

    assert await notices() == []
    await asyncio.to_thread(agent.stop)

    async def told() -> bool:
        return any(
            each.startswith("identity mtls: the trust bundle of acme.example cannot be had: ") for each in await notices()
        )

    await until(told)
    assert await trusted(house, svid)
