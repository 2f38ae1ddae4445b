"""`gateway.client` with the HTTP libraries that agents use, against a Doorward that runs; knows no internals of either."""

import asyncio
import json
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import aiohttp
import httpx
import jwt
import pytest
import requests
from cryptography.hazmat.primitives.asymmetric import ec
from fakes.installation import Installation, free_port
from jwt.algorithms import ECAlgorithm

from gateway.client import (
    AuthorityRefusedError,
    AuthorityUnreachableError,
    Client,
    IdentityUnavailableError,
    IntentRefusedError,
    MisusedError,
    Task,
    TaskEndedError,
    TokenFile,
    TokenFrom,
    TokenRefusedError,
    TokenVariable,
    raise_for_refusal,
    raise_for_refusal_async,
)
from gateway.client.wire import Wire

KEY = ec.generate_private_key(ec.SECP256R1())
CLUSTER = """
  cluster:
    oidc:
      issuer: https://kubernetes.default.svc
      audience: doorward
      jwks: {file: jwks.json}
      agent: |
        "spiffe://cluster.test/ns/agents/sa/" + segment(claims.sub)
    mints: spiffe://cluster.test/ns/agents/*

upstreams:"""


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """An installation that serves, with tokens that live for two seconds and tasks that fall silent after four."""
    installation = Installation(tmp_path_factory.mktemp("client"))
    installation.start_upstream()
    installation.initialise()
    file = installation.folder / "doorward.yaml"
    text = file.read_text().replace("\nadmin:", "  tokens: {ttl: 2s, heartbeat: 4s}\n\nadmin:", 1)
    text = text.replace("\nupstreams:", CLUSTER, 1).replace("    agents: [", "    agents: [spiffe://cluster.test/ns/agents/*, ")
    file.write_text(text)
    jwk = {**ECAlgorithm.to_jwk(KEY.public_key(), as_dict=True), "kid": "k1", "use": "sig", "alg": "ES256"}
    (installation.folder / "jwks.json").write_text(json.dumps({"keys": [jwk]}))
    installation.serve()
    yield installation
    installation.stop()


@pytest.fixture
def client(served: Installation) -> Client:
    """A client of it, by the Unix socket."""
    return client_of(served)


def client_of(served: Installation, **options: object) -> Client:
    socket = f"unix:{served.folder}/var/authority.sock"
    return Client(**{"authority": socket, "gateway": f"http://127.0.0.1:{served.port}", **options})


def state(served: Installation, task: str) -> dict:
    return json.loads(served.doorward("task", "show", task, "--json").stdout)


def until(holds: Callable[[], bool]) -> None:
    for _ in range(200):
        if holds():
            return
        time.sleep(0.05)
    raise AssertionError("it never came to hold")


def test_requests_and_httpx_send_the_token_of_the_task(served: Installation, client: Client) -> None:
    """Both take the same object in `auth=`, for one call or for a session; the upstream sees its own key alone."""
    with client.task("billing.read", "billing.write") as task:
        read, write = task.auth("billing.read", reason='the "end" of March'), task.auth("billing.write")
        assert requests.get(task.url("/billing/x"), auth=read, timeout=10).status_code == 200
        with requests.Session() as session:
            session.auth = write
            assert session.post(task.url("/billing/x"), data=b"abc", timeout=10).json()["received"] == 3
        with httpx.Client(auth=read) as http:
            assert http.get(task.url("/billing/x")).status_code == 200
        name = task.id
        refused = requests.post(task.url("/billing/x"), auth=read, timeout=10)
        with pytest.raises(IntentRefusedError) as caught:
            raise_for_refusal(refused)
    assert (caught.value.code, caught.value.status) == ("intent_mismatch", 403)
    assert caught.value.remedy
    assert caught.value.request_id
    assert state(served, name)["state"] == "completed"
    reasons = {record["intent"]["reason"] for record in served.records() if record["type"] == "request"}
    assert 'the "end" of March' in reasons


async def test_aiohttp_and_httpx_in_a_loop(served: Installation, client: Client) -> None:
    """The same task serves coroutines, with a middleware for aiohttp; refusals are told the same way."""
    async with client.task("billing.read") as task:
        name = task.id
        async with aiohttp.ClientSession(middlewares=(task.middleware(),)) as session:
            async with session.get(task.url("/billing/x")) as answer:
                assert (await raise_for_refusal_async(answer)).status == 200
            async with session.post(task.url("/billing/x")) as answer:
                with pytest.raises(IntentRefusedError, match="intent_mismatch"):
                    await raise_for_refusal_async(answer)
        async with httpx.AsyncClient(auth=task.auth()) as http:
            assert raise_for_refusal(await http.get(task.url("/billing/x"))).status_code == 200
    assert state(served, name)["state"] == "completed"


def test_a_token_is_renewed_for_as_long_as_the_block_lasts(client: Client) -> None:
    """Requests go on through several lives of a token, and each is answered."""
    tokens = set()
    with client.task("billing.read") as task, requests.Session() as session:
        session.auth = task.auth()
        while len(tokens) < 4:
            tokens.add(task.token)
            assert session.get(task.url("/billing/x"), timeout=10).status_code == 200
            time.sleep(0.05)


@pytest.mark.parametrize("kind", ["with", "async with"])
async def test_an_exception_fails_the_task(served: Installation, client: Client, kind: str) -> None:
    """What is raised in the block goes on to the caller, and the task has failed before it arrives."""
    task = client.task("billing.read")
    names = []

    async def work() -> None:
        if kind == "with":
            with task:
                names.append(task.id)
                raise ZeroDivisionError
        async with task:
            names.append(task.id)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await work()
    assert (state(served, names[0])["state"], state(served, names[0])["cause"]) == ("failed", "failed")


@pytest.mark.parametrize(("status", "ended"), [(0, "completed"), (3, "failed")])
def test_leaving_the_program_with_success_completes_the_task(
    served: Installation, client: Client, status: int, ended: str
) -> None:
    """`sys.exit(0)` is a good end, any other status is none."""
    names = []

    def work() -> None:
        with client.task("billing.read") as task:
            names.append(task.id)
            raise SystemExit(status)

    with pytest.raises(SystemExit):
        work()
    assert state(served, names[0])["state"] == ended


def test_a_revoked_task_says_so(served: Installation, client: Client) -> None:
    """The gateway refuses at once; the client learns of it, gives out no token any more, and the block does not end well."""

    def work() -> None:
        with client.task("billing.read") as task:
            headers = task.headers()
            Wire(f"unix:{served.folder}/var/admin.sock").post(f"/tasks/{task.id}/revoke", {})
            with pytest.raises(TokenRefusedError, match="token_revoked"):
                raise_for_refusal(requests.get(task.url("/billing/x"), headers=headers, timeout=10))
            until(lambda: learned(task))

    with pytest.raises(TaskEndedError, match="revoked"):
        work()


def learned(task: Task) -> bool:
    try:
        return not task.token
    except TaskEndedError:
        return True


async def test_a_cancelled_opening_leaves_no_task_behind(served: Installation, client: Client) -> None:
    """Whoever is cancelled while the task is being opened never gets it; then it is failed as soon as it is there."""
    waiting = asyncio.get_running_loop().create_task(client.task("billing.read").__aenter__())
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting

    def failed() -> bool:
        tasks = json.loads(served.doorward("task", "list", "--json").stdout)["tasks"]
        return tasks[0]["state"] == "failed" and not any(task["state"] == "open" for task in tasks)

    await asyncio.to_thread(until, failed)


def test_a_token_goes_nowhere_but_to_the_gateway(served: Installation, client: Client) -> None:
    """A hook refuses to put it on a request to any other origin, before a byte is sent."""
    elsewhere = f"http://127.0.0.1:{served.upstream_port}/x"
    with client.task("billing.read") as task:
        with pytest.raises(MisusedError, match="goes nowhere else"):
            requests.get(elsewhere, auth=task.auth(), timeout=10)
        with pytest.raises(MisusedError, match="goes nowhere else"):
            httpx.get(elsewhere, auth=task.auth())


def test_ways_to_prove_what_an_agent_is(served: Installation, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A file that changes, a variable and a function, over TCP; each exchange reads it again."""

    def identity(life: int = 600) -> str:
        now = int(time.time())
        claims = {
            "iss": "https://kubernetes.default.svc",
            "aud": "doorward",
            "sub": "reconciler",
            "iat": now,
            "exp": now + life,
        }
        return jwt.encode(claims, KEY, "ES256", headers={"kid": "k1"})

    projected = tmp_path / "projected"
    projected.write_text(identity() + "\n")
    monkeypatch.setenv("AGENT_IDENTITY", identity())
    monkeypatch.setenv("DOORWARD_AUTHORITY", f"http://127.0.0.1:{served.authority_port}")
    monkeypatch.setenv("DOORWARD_GATEWAY", f"http://127.0.0.1:{served.port}")
    asked = []

    def function() -> str:
        asked.append(1)
        return identity()

    for proof in (TokenFile(projected), TokenVariable("AGENT_IDENTITY"), TokenFrom(function)):
        with Client(identity=proof).task("billing.read") as task:
            assert requests.get(task.url("/billing/x"), auth=task.auth(), timeout=10).status_code == 200
            first = task.token
            until(lambda: task.token != first)  # noqa: B023 used within this turn
            name = task.id
        assert state(served, name)["agent"] == "spiffe://cluster.test/ns/agents/sa/reconciler"
    assert len(asked) >= 3
    projected.write_text(identity(-5))
    with pytest.raises(AuthorityRefusedError) as refused, Client(identity=TokenFile(projected)).task("billing.read"):
        raise AssertionError("an identity that has expired opens no task")
    assert projected.read_text() not in str(refused.value)


def test_what_cannot_be_done_is_said_in_one_sentence(served: Installation, client: Client, tmp_path: Path) -> None:
    """Before anything is sent where it can be known, and without a secret."""
    assert "DOORWARD_AUTHORITY" not in os.environ
    with pytest.raises(MisusedError, match="name the authority"):
        Client()
    with pytest.raises(MisusedError, match="unix:PATH"):
        Client(authority="127.0.0.1:8081")
    with pytest.raises(MisusedError, match="cannot tell which user"):
        Client(authority="http://127.0.0.1:1")
    with pytest.raises(MisusedError, match="what the task is for"):
        client.task()
    with pytest.raises(AuthorityRefusedError, match="grants no intent"), client.task("billing.burn"):
        raise AssertionError("policy grants no such intent")
    with pytest.raises(AuthorityUnreachableError, match="is doorward serve running there"):
        client_of(served, authority=f"http://127.0.0.1:{free_port()}", identity=TokenFrom(lambda: "x.y.z")).task(
            "a"
        ).__enter__()
    with pytest.raises(IdentityUnavailableError, match="cannot read"):
        client_of(served, identity=TokenFile(tmp_path / "none")).task("billing.read").__enter__()

    def broken() -> str:
        raise ValueError("canary")

    with pytest.raises(IdentityUnavailableError, match="raised ValueError") as failed:
        client_of(served, identity=TokenFrom(broken)).task("billing.read").__enter__()
    assert "canary" not in str(failed.value)
    task = client.task("billing.read", "billing.write")
    with pytest.raises(MisusedError, match="not open"):
        task.headers()
    with task:
        with pytest.raises(MisusedError, match="which intent"):
            task.headers()
        with pytest.raises(MisusedError, match="no intent other"):
            task.headers("other")
        with pytest.raises(MisusedError, match="ASCII"):
            task.headers("billing.read", reason="a\r\nb")
        assert task.token not in repr(task)
        assert task.token not in repr(task.auth("billing.read"))
    with pytest.raises(MisusedError, match="not open"):
        task.headers("billing.read")
    with pytest.raises(MisusedError, match="entered once"), task:
        raise AssertionError("a task is entered once")
