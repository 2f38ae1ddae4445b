"""A stranger floods the authority with bad identities while agents come and go: they are served, also from its own address."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from fakes.certificates import Certificates
from fakes.identity_house import EXCHANGE, JWT, IdentityHouse
from fakes.spiffe import TrustDomain

from gateway.fetch import Fetch
from gateway.identity.failures import ALLOWANCE

ROUNDS = 30


@pytest.fixture
async def here(tmp_path: Path) -> AsyncIterator[IdentityHouse]:
    """A Doorward whose agents come by JWT-SVID."""
    certificates = Certificates(tmp_path)
    certificates.write("own", "127.0.0.1")
    async with AsyncExitStack() as stack:
        yield IdentityHouse(tmp_path, certificates, stack)


async def test_a_flood_of_bad_tokens_leaves_agents_served(here: IdentityHouse, tmp_path: Path) -> None:
    """Past its allowance the stranger is told to wait; who was let in from there before is let in again, with new SVIDs."""
    acme, forger = TrustDomain("acme.example"), TrustDomain("acme.example")
    acme.write(tmp_path / "acme.json")
    mesh = "  mesh: {spiffe_jwt: {trust_domain: acme.example, audience: doorward, bundle: {file: acme.json}}}"
    await here.start(mesh, agents="spiffe://acme.example/*")
    assert (await here.exchange(token=acme.jwt_svid(), kind=JWT)).status == 200
    url = f"https://127.0.0.1:{here.doorward._authority.ports[0]}/token"
    told: dict[int, int] = {}
    tls, done = here.context(), asyncio.Event()
    async with Fetch() as fetch:

        async def bad(number: int) -> None:
            while not done.is_set():
                number += 1000
                token = forger.jwt_svid(f"/stranger/{number}")
                form = {"grant_type": EXCHANGE, "subject_token": token, "subject_token_type": JWT, "scope": "items.read"}
                answer = await fetch.request("POST", url, form=form, tls=tls)
                told[answer.status] = told.get(answer.status, 0) + 1
                assert (answer.status == 429) == (answer.headers.get("Retry-After") is not None)

        strangers = [asyncio.create_task(bad(number)) for number in range(8)]
        async with asyncio.timeout(60):
            while told.get(429, 0) < ROUNDS:
                await asyncio.sleep(0.01)
            for number in range(ROUNDS):
                answer = await here.exchange(token=acme.jwt_svid(number=number), kind=JWT)
                assert answer.status == 200, answer.body
        done.set()
        await asyncio.gather(*strangers)
    assert told[400] >= ALLOWANCE
    assert told.keys() == {400, 429}
