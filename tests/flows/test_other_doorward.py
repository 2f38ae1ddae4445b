"""A task token of another Doorward before this one: its agent is known here as itself, and has what policy here gives it."""

import os
import pwd
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from fakes.certificates import Certificates
from fakes.house import AGENT, Build
from fakes.identity_house import JWT, IdentityHouse

ACCESS_TOKEN = "urn:ietf:params:oauth:token-type:access_token"


@pytest.fixture
async def here(tmp_path: Path) -> AsyncIterator[IdentityHouse]:
    """This Doorward, in a folder of its own."""
    folder = tmp_path / "here"
    folder.mkdir()
    certificates = Certificates(folder)
    certificates.write("own", "127.0.0.1")
    async with AsyncExitStack() as stack:
        yield IdentityHouse(folder, certificates, stack)


IDENTITIES = """
  partner:
    doorward: {{issuer: "http://127.0.0.1:{port}", tenant: {tenant}, audience: doorward}}
    mints: {mints}
  host:
    unix: {{users: {{{user}: spiffe://acme.example/host/me}}}}
    same_user: true
"""


def identities(port: int, *, tenant: str = "flows", mints: str = "spiffe://flows.test/*") -> str:
    return IDENTITIES.format(port=port, tenant=tenant, mints=mints, user=pwd.getpwuid(os.getuid()).pw_name)


@pytest.fixture
async def there(house: Build, unused_tcp_port: int) -> tuple[int, str]:
    """The other Doorward: its port, and a task token of its agent."""
    door = await house(
        authority=f"listen: [unix:authority.sock, '127.0.0.1:{unused_tcp_port}']\n  issuer: http://127.0.0.1:{unused_tcp_port}"
    )
    return unused_tcp_port, await door.token()


@pytest.mark.parametrize("kind", [JWT, ACCESS_TOKEN])
async def test_its_agent_opens_a_task_here(here: IdentityHouse, there: tuple[int, str], kind: str) -> None:
    """With its keys fetched there; a grant here says what it may, and none does what it might there."""
    port, token = there
    await here.start(identities(port), agents="spiffe://flows.test/*")
    assert here.agent_of(await here.exchange(token=token, kind=kind)) == AGENT
    form = {"subject_token": token, "subject_token_type": kind, "scope": "items.write"}
    answer = await here.ask("/token", grant_type="urn:ietf:params:oauth:grant-type:token-exchange", **form)
    assert (answer.status, answer.json()["error"]) == (400, "invalid_scope")


async def test_a_token_of_ours_is_no_identity(here: IdentityHouse, there: tuple[int, str]) -> None:
    """It belongs to a task here, and whoever has only that gets nothing more for it."""
    port, token = there
    await here.start(identities(port), agents="spiffe://flows.test/*")
    own = (await here.exchange(token=token, kind=JWT)).json()["access_token"]
    for kind in (JWT, ACCESS_TOKEN):
        answer = await here.exchange(token=own, kind=kind)
        assert answer.status in (400, 401)
        assert "access_token" not in answer.json()


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"tenant": "other"}, "of a tenant that is not known here"),
        ({"mints": "spiffe://flows.test/other/*"}, "outside its mints"),
    ],
)
async def test_what_is_not_agreed_is_refused(
    here: IdentityHouse, there: tuple[int, str], change: dict[str, str], told: str
) -> None:
    """Another tenant there, or an agent that is not to be vouched for."""
    port, token = there
    await here.start(identities(port, **change), agents="spiffe://flows.test/*")
    answer = await here.exchange(token=token, kind=JWT)
    assert answer.status == 400
    assert told in answer.json()["error_description"]
