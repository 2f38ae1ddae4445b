"""A token of one tenant is refused for everything of another one, in one installation: one test for each crossing."""

import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from fakes.house import get
from fakes.several import ACCESS_TYPE, ACME, GLOBEX, JWT_TYPE, Several, several

from gateway.cli.main import main


@pytest.fixture
async def both(tmp_path: Path) -> AsyncIterator[Several]:
    """Two tenants, each with an upstream `api`, a credential `key`, an intent `items.read` and an agent of its own."""
    async with AsyncExitStack() as stack:
        yield await several(tmp_path, stack)


async def test_each_tenant_reaches_its_own_upstream_with_its_own_secret(both: Several) -> None:
    """Names are local: both have the same, and each request is decided and served by those of its tenant."""
    for tenant, token in (("acme", await both.acme()), ("globex", await both.globex())):
        assert (await both.call(f"/{tenant}/api/items", token["access_token"])).status == 200
        seen = both.upstream.seen[-1]
        assert seen.head.startswith(f"GET /{tenant}/items ".encode())
        assert seen.fields["x-api-key"] == [f"the secret of {tenant} 0123456789"]
    await both.stop()
    requests, _ = both.exchanges()
    told = [(record["tenant"], record["agent"], record["upstream"], record["credential"]) for record in requests]
    assert told == [("acme", ACME, "api", "key"), ("globex", GLOBEX, "api", "key")]


async def test_another_tenants_route_is_unknown(both: Several) -> None:
    """Whether the token is new or remembered, it looks like an upstream that does not exist, and nothing is forwarded."""
    token = (await both.acme())["access_token"]
    client = await both.connect()
    unknown = await both.call("/nowhere/api/items", token, client)
    first = await both.call("/globex/api/items", token, client)
    assert (await both.call("/acme/api/items", token, client)).status == 200
    again = await both.call("/globex/api/items", token, client)
    for answer in (first, again):
        assert (answer.status, answer.problem["code"]) == (404, "upstream_unknown")
        assert {**answer.problem, "request_id": ""} == {**unknown.problem, "request_id": ""}
        assert set(answer.fields) == set(unknown.fields)
    assert len(both.upstream.seen) == 1
    await both.stop()
    requests, _ = both.exchanges()
    told = [(record["tenant"], record["upstream"], record["code"]) for record in requests]
    crossed = ("acme", None, "upstream_unknown")
    assert told == [(None, None, "upstream_unknown"), crossed, ("acme", "api", None), crossed]


async def test_another_tenants_token_is_not_active_and_not_revoked(both: Several) -> None:
    """Introspection says nothing of it, giving it back has no effect, and its own agent can do both."""
    token = (await both.globex())["access_token"]
    assert (await both.ask("POST", "/introspect", form={"token": token})).json() == {"active": False}
    assert (await both.ask("POST", "/revoke", form={"token": token})).status == 200
    assert (await both.call("/globex/api/items", token)).status == 200
    own = {"token": token, **both.by_globex()}
    assert (await both.ask("POST", "/introspect", form=own)).json()["tenant"] == "globex"
    assert (await both.ask("POST", "/revoke", form=own)).status == 200
    assert (await both.call("/globex/api/items", token)).problem["code"] == "token_revoked"


@pytest.mark.parametrize("call", ["heartbeat", "complete", "fail"])
async def test_another_tenants_task_is_unknown(both: Several, call: str) -> None:
    """To its agent, and to its token."""
    task = await both.globex()
    other = (await both.acme())["access_token"]
    for headers in ({}, {"Authorization": f"Bearer {other}"}):
        assert (await both.ask("POST", f"/tasks/{task['task']}/{call}", headers=headers)).status == 404
    assert (await both.call("/globex/api/items", task["access_token"])).status == 200
    own = {"Authorization": f"Bearer {task['access_token']}"}
    assert (await both.ask("POST", f"/tasks/{task['task']}/{call}", headers=own)).status == 200


async def test_another_tenants_token_is_no_ground_for_a_token(both: Several) -> None:
    """Not as a parent, not as a subject, not to join its task, and not for an upstream there."""
    theirs = await both.globex()
    form = {"grant_type": "urn:ietf:params:oauth:grant-type:token-exchange", "scope": "items.read"}
    peer = {"subject_token": "peer", "subject_token_type": "urn:doorward:unix-peer"}
    actor = {"actor_token": "peer", "actor_token_type": "urn:doorward:unix-peer"}
    for wrong in (
        {"subject_token": theirs["access_token"], "subject_token_type": ACCESS_TYPE},
        {"subject_token": theirs["access_token"], "subject_token_type": ACCESS_TYPE, **actor},
        {"subject_token": both.identity_token(), "subject_token_type": JWT_TYPE, **actor},
        {**peer, "task": theirs["task"]},
        {**peer, "resource": "http://127.0.0.1:1/globex/api"},
    ):
        answer = await both.ask("POST", "/token", form={**form, **wrong})
        assert answer.status == 400, answer.body
        assert "access_token" not in answer.json()
    assert (await both.acme(resource="http://127.0.0.1:1/acme/api"))["scope"] == "items.read"


async def test_no_task_is_started_for_an_agent_of_another_tenant(both: Several) -> None:
    """The policy of the starter's tenant knows no such agent."""
    answer = await both.ask("POST", "/tasks", form={"agent": GLOBEX, "scope": "items.read"})
    assert (answer.status, answer.json()["error"]) == (400, "invalid_scope")


async def test_policy_is_asked_of_ones_own_tenant(both: Several) -> None:
    """AuthZEN: about another tenant's agents and routes there is nothing to say."""
    question = {
        "subject": {"type": "agent", "id": ACME},
        "action": {"name": "GET", "properties": {"intent": "items.read"}},
        "resource": {"type": "http", "id": "/acme/api/items"},
    }
    asked = [
        question,
        {**question, "resource": {"type": "http", "id": "/globex/api/items"}},
        {**question, "subject": {"type": "agent", "id": GLOBEX}},
    ]
    answer = await both.ask("POST", "/access/v1/evaluations", json={"evaluations": asked})
    assert [each["decision"] for each in answer.json()["evaluations"]] == [True, False, False]
    assert answer.json()["evaluations"][1]["context"]["code"] == "upstream_unknown"


async def test_a_tenant_is_stopped_alone(both: Several) -> None:
    """By the feed: its tokens end at every gateway, those of the other one live; and so when it is restored."""
    acme, globex = await both.acme(), await both.globex()
    body = {"kind": "tenant", "id": "globex"}
    assert (await both.ask("POST", "/revocations", socket="admin.sock", json=body)).status == 201
    assert (await both.call("/globex/api/items", globex["access_token"])).problem["code"] == "token_revoked"
    assert (await both.call("/acme/api/items", acme["access_token"])).status == 200
    assert (await both.ask("DELETE", "/revocations/tenant:globex", socket="admin.sock")).status == 200
    assert (await both.call("/globex/api/items", (await both.globex())["access_token"])).status == 200


async def test_operators_name_the_tenant_of_an_agent_that_they_stop(both: Several) -> None:
    """And see of whom each task and each stop is."""
    await both.acme()
    await both.globex()
    body = {"kind": "agent", "id": GLOBEX}
    refused = await both.ask("POST", "/revocations", socket="admin.sock", json=body)
    assert (refused.status, "tenant" in refused.json()["error_description"]) == (400, True)
    tasks = (await both.ask("GET", "/tasks", socket="admin.sock")).json()["tasks"]
    assert sorted(task["tenant"] for task in tasks) == ["acme", "globex"]
    (task,) = (await both.ask("GET", "/tasks?tenant=globex", socket="admin.sock")).json()["tasks"]
    assert (await both.ask("GET", f"/tasks/{task['task']}", socket="admin.sock")).json()["agent"] == GLOBEX
    wrong = await both.ask("POST", "/revocations", socket="admin.sock", json={**body, "tenant": "acme"})
    assert (wrong.status, "globex" in wrong.json()["error_description"]) == (400, True)
    assert (await both.ask("POST", "/revocations", socket="admin.sock", json={**body, "tenant": "globex"})).status == 201
    (stop,) = (await both.ask("GET", "/revocations", socket="admin.sock")).json()["revocations"]
    assert (stop["id"], stop["tenant"]) == (GLOBEX, "globex")


async def test_an_audit_query_of_one_tenant_shows_nothing_of_another(both: Several, capsys: pytest.CaptureFixture[str]) -> None:
    """What was crossed is shown to the tenant whose token it was."""
    acme, globex = await both.acme(), await both.globex()
    client = await both.connect()
    for path, token in (("/acme/api/items", acme), ("/globex/api/items", globex), ("/globex/api/items", acme)):
        await client.send(get(path, token["access_token"]))
        await client.answer()
    await both.stop()
    shown = {}
    for tenant in ("acme", "globex"):
        assert main(["audit", "show", "--json", str(both.folder / "audit.jsonl"), "--tenant", tenant]) == 0
        shown[tenant] = [json.loads(line)["request"] for line in capsys.readouterr().out.splitlines()]
    assert [(record["agent"], record["code"]) for record in shown["acme"]] == [(ACME, None), (ACME, "upstream_unknown")]
    assert [(record["agent"], record["code"]) for record in shown["globex"]] == [(GLOBEX, None)]


async def test_anybody_learns_of_an_upstream_no_intent(both: Several) -> None:
    """The metadata of a protected resource (RFC 9728) is for all, and names none of a tenant's intents."""
    document = (await both.call("/.well-known/oauth-protected-resource/globex/api", None)).problem
    assert (document["resource"], "scopes_supported" in document) == ("http://127.0.0.1:1/globex/api", False)


async def test_a_change_of_one_tenants_policy_ends_none_of_anothers_tasks(both: Several) -> None:
    """Only the tasks of the tenant whose grants give them no more are revoked."""
    acme, globex = await both.acme(), await both.globex()
    file = both.folder / "globex.yaml"
    file.write_text(file.read_text().replace("globex.test/*", "globex.test/other"))
    answer = await both.ask("POST", "/reload?confirm=true", socket="admin.sock")
    assert (answer.status, answer.json()["revoked"]) == (200, 1)
    assert (await both.call("/globex/api/items", globex["access_token"])).problem["code"] == "token_revoked"
    assert (await both.call("/acme/api/items", acme["access_token"])).status == 200
