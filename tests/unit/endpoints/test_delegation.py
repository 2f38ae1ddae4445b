"""Starters, subjects and parents: what those get who may, and what their tokens say (RFC 8693 §1.1, §4; design §5 and §9)."""

import os

import jwt
import pytest
from fakes.authority import NOW
from fakes.chartered import (
    ACCESS_TOKEN,
    ANN,
    ASSERTION,
    EXCHANGE,
    HELPER,
    ORCHESTRATOR,
    RECONCILER,
    WORKER,
    Chartered,
    element,
)
from fakes.dpop import Prover
from fakes.served_authority import AUTHORITY

from gateway.authority.drafts import DEEPEST
from gateway.endpoints.callers import SPIFFE_ASSERTION_TYPE
from gateway.identity.provider import JWT_TYPE, UNIX_PEER_TYPE

TESTER = "spiffe://acme.example/host/tester"


def claims(answer: dict) -> dict:
    """What the token of an answer says."""
    return jwt.decode(answer["access_token"].removeprefix("dwt_"), options={"verify_signature": False})


async def test_a_starter_opens_a_task_and_its_agent_joins_it(chartered: Chartered):
    """The starter gets an id and no token; the agent gets its tokens by the id, with what the starter has set."""
    bounds = {"params": {"customer": "42"}, "limits": {"requests": 10, "rate": "5/s"}, "duration": 3600}
    started = await chartered.start("orchestrator", WORKER, "invoices.read invoices.write", **bounds)
    task = started.json()
    assert (started.status, started.headers["Location"]) == (201, f"/tasks/{task['task']}")
    assert b"dwt_" not in started.body
    assert (task["agent"], task["subject"], task["starter"]) == (WORKER, ORCHESTRATOR, ORCHESTRATOR)
    assert (task["state"], task["params"], task["limits"]) == ("open", bounds["params"], bounds["limits"])
    joined = await chartered.own("worker", task=task["task"])
    said = claims(joined.json())
    assert (said["sub"], said["act"], said["client_id"]) == (ORCHESTRATOR, {"sub": WORKER}, WORKER)
    (details,) = said["authorization_details"]
    assert (details["params"], details["limits"], details["starter"]) == (bounds["params"], bounds["limits"], ORCHESTRATOR)
    assert len(details["met"]) == 1
    assert joined.json()["authorization_details"] == [
        {"type": "agent_task", "intents": ["invoices.read", "invoices.write"], **{k: bounds[k] for k in ("params", "limits")}}
    ]
    assert [record["event"] for record in chartered.world.log.of("task")] == ["opened"]
    chartered.world.clock.seconds = NOW + 3599.5
    assert (await chartered.own("worker", task=task["task"])).json()["error"] == "invalid_request"
    chartered.world.clock.seconds = NOW + 3600
    assert (await chartered.own("worker", task=task["task"])).json()["error"] == "invalid_grant"


@pytest.mark.parametrize("who", ["orchestrator", "worker"])
@pytest.mark.parametrize("action", ["heartbeat", "complete", "fail"])
async def test_the_agent_and_the_starter_say_how_the_task_goes(chartered: Chartered, who: str, action: str):
    """And nobody else, even an agent that knows the id."""
    task = (await chartered.joined())["task"]
    for name, status in (("helper", 404), (who, 200)):
        bearer = {"Authorization": f"Bearer {chartered.identity(name)}"}
        assert (await chartered.world.ask("POST", f"/tasks/{task}/{action}", headers=bearer)).status == status


async def test_starting_without_being_known(chartered: Chartered):
    """A starter authenticates itself, and the agent is one SPIFFE ID."""
    form = {"agent": WORKER, "scope": "invoices.read"}
    answers = [
        await chartered.world.post("/tasks", form),
        await chartered.world.post("/tasks", {**form, **chartered.client("orchestrator"), "agent": "worker"}),
        await chartered.world.post("/tasks", {**form, **chartered.client("orchestrator"), "scope": ""}),
    ]
    assert [(answer.status, answer.json()["error"]) for answer in answers] == [
        (401, "invalid_client"), (400, "invalid_request"), (400, "invalid_scope"),
    ]  # fmt: skip


async def test_an_agent_acts_on_behalf_of_a_subject(chartered: Chartered):
    """The token names both, lives no longer than either proof, and is renewed with both."""
    form = {"exp": int(NOW) + 120}
    answer = (await chartered.behalf("ann", "worker", "mail.read", **form)).json()
    said = claims(answer)
    assert (said["sub"], said["act"], said["client_id"], said["exp"]) == (ANN, {"sub": WORKER}, WORKER, NOW + 120)
    chartered.world.clock.seconds = NOW + 100
    again = (await chartered.behalf("ann", "worker", task=answer["task"])).json()
    assert (claims(again)["txn"], again["expires_in"]) == (answer["task"], 300)
    task = await chartered.world.authority.tasks.show(answer["task"])
    assert (task.agent, task.subject, task.starter, task.delegated) == (WORKER, ANN, ANN, True)


async def test_a_task_keeps_the_claims_of_its_subject(chartered: Chartered):
    """Those that policy reads, as they were when it was opened: for each of its tokens, and for every task below it."""
    answer = (await chartered.behalf("ann", "worker", "mail.read", region="eu", email="ann@acme.example")).json()
    again = (await chartered.behalf("ann", "worker", task=answer["task"], region="us")).json()
    child = (await chartered.below("worker", answer["access_token"], "mail.read")).json()
    below = (await chartered.below("worker", child["access_token"], "mail.read")).json()
    assert [claims(each)["subject_claims"] for each in (answer, again, child, below)] == [{"region": "eu"}] * 4
    assert not any("subject_lacks" in claims(each) for each in (answer, again, child, below))
    handed = await chartered.own("worker", "status.read", may_act=HELPER)
    other = (await chartered.behalf("ann", "worker", "mail.read")).json()
    assert not any("subject_claims" in claims(each) for each in (handed.json(), other))
    assert claims(other)["subject_lacks"] == ["region"]
    assert "subject_lacks" not in claims(handed.json())
    assert "eu" not in repr(await chartered.world.authority.tasks.show(answer["task"]))
    assert "region" not in str(chartered.world.log.of("task")) + str(chartered.world.log.of("token"))


async def test_claims_of_a_subject_reach_no_one_with_a_token_to_hand_on(chartered: Chartered):
    """A token that only opens a task below carries none; the task that it opens has them."""
    form = {"agent": WORKER, "scope": "invoices.read", "authorization_details": element(params={"customer": "42"})}
    form |= {"client_assertion_type": ASSERTION, "client_assertion": chartered.identity("orchestrator", region="eu")}
    started = await chartered.world.post("/tasks", form)
    handed = await chartered.handed(started.json()["task"])
    child = (await chartered.below("helper", handed, "invoices.read")).json()
    assert "subject_claims" not in claims({"access_token": handed})
    assert claims(child)["subject_claims"] == {"region": "eu"}


@pytest.mark.parametrize(
    "claim",
    [
        {"may_act": {"sub": WORKER}},
        {"may_act": {"sub": "worker"}},
        {"may_act": {"iss": "https://issuer.example", "sub": "worker"}},
        {"act": {"sub": WORKER, "act": {"sub": HELPER}}},
        {"act": {"sub": HELPER}, "may_act": {"sub": WORKER}},
    ],
)
async def test_may_act_names_the_actor(chartered: Chartered, claim: dict):
    """By its SPIFFE ID, or by issuer and subject of its own token; a token that is at an actor already names it so."""
    assert (await chartered.behalf("ann", "worker", "mail.read", **claim)).status == 200


@pytest.mark.parametrize(
    "claim",
    [
        {"may_act": {}},
        {"may_act": WORKER},
        {"may_act": [{"sub": WORKER}]},
        {"may_act": {"sub": HELPER}},
        {"may_act": {"iss": "https://other.example", "sub": "worker"}},
        {"may_act": {"iss": "https://other.example", "sub": WORKER}},
        {"may_act": {"iss": 1, "sub": "worker"}},
        {"act": {"sub": HELPER, "act": {"sub": WORKER}}},
        {"act": {"sub": WORKER}, "may_act": {"sub": HELPER}},
    ],
)
async def test_may_act_names_another(chartered: Chartered, claim: dict):
    """Then the subject token is not acceptable, which is an invalid request (RFC 8693 §2.2.2)."""
    answer = await chartered.behalf("ann", "worker", "mail.read", **claim)
    assert (answer.status, answer.json()["error"]) == (400, "invalid_request")


async def test_work_for_who_was_stopped_goes_no_further(chartered: Chartered):
    """Neither on behalf of the one who was stopped, nor in a task that was started before, nor below it."""
    mail = (await chartered.behalf("ann", "worker", "mail.read")).json()
    task = await chartered.joined()
    handed = await chartered.handed(task["task"])
    for stopped in (ANN, ORCHESTRATOR):
        await chartered.world.authority.stops.stop("agent", stopped, "operator", None, by="tester")
    answers = [
        await chartered.behalf("ann", "worker", task=mail["task"]),
        await chartered.own("worker", task=task["task"]),
        await chartered.below("helper", handed, "invoices.read"),
    ]
    assert [answer.json()["error"] for answer in answers] == ["unauthorized_client", "unauthorized_client", "invalid_request"]


async def test_a_token_at_an_actor_is_no_proof_of_its_subject(chartered: Chartered):
    """Whoever acts for the reconciler holds such a token: shown alone it would make the actor the reconciler itself."""
    held = chartered.identity("reconciler", act={"sub": HELPER})
    client = {"client_assertion_type": ASSERTION, "client_assertion": held}
    own = await chartered.own("reconciler", "status.read")
    attempts = [
        {"grant_type": EXCHANGE, "subject_token": held, "subject_token_type": JWT_TYPE},
        {"grant_type": EXCHANGE, "subject_token": held, "subject_token_type": JWT_TYPE, **client},
        {"grant_type": EXCHANGE, "subject_token": chartered.identity("ann"), "subject_token_type": JWT_TYPE,
         "actor_token": held, "actor_token_type": JWT_TYPE},
        {"grant_type": "client_credentials", **client},
    ]  # fmt: skip
    answers = [await chartered.token({**form, "scope": "status.read"}) for form in attempts]
    assert [answer.json()["error"] for answer in answers] == [
        "invalid_request", "invalid_client", "invalid_request", "invalid_client",
    ]  # fmt: skip
    bearer = {"Authorization": f"Bearer {held}"}
    told = await chartered.world.ask("POST", f"/tasks/{own.json()['task']}/complete", headers=bearer)
    assert (told.status, told.json()["error"]) == (401, "invalid_token")


async def test_the_client_is_the_actor(chartered: Chartered):
    """A client assertion beside a subject token is the actor's; with an actor token too it has to be the same agent's."""
    form = {
        "grant_type": EXCHANGE, "subject_token": chartered.identity("ann"), "subject_token_type": JWT_TYPE,
        "scope": "mail.read",
    }  # fmt: skip
    one = await chartered.token({**form, **chartered.client("worker")})
    assert claims(one.json())["act"] == {"sub": WORKER}
    actor = {"actor_token": chartered.identity("worker"), "actor_token_type": JWT_TYPE}
    both = await chartered.token({**form, **actor, **chartered.client("worker"), "client_id": WORKER})
    assert both.status == 200
    for other in ({**actor, **chartered.client("helper")}, {**actor, "client_id": ANN}):
        answer = await chartered.token({**form, **other})
        assert (answer.status, answer.json()["error"]) == (401, "invalid_client")


async def test_of_two_proofs_of_one_agent_the_sooner_counts(chartered: Chartered):
    """A token outlives neither of the tokens that it came from."""
    form = {
        "grant_type": EXCHANGE, "subject_token": chartered.identity("reconciler"), "subject_token_type": JWT_TYPE,
        "actor_token": chartered.identity("reconciler", exp=int(NOW) + 50), "actor_token_type": JWT_TYPE,
        "scope": "status.read",
    }  # fmt: skip
    assert (await chartered.token(form)).json()["expires_in"] == 50


async def test_an_agent_works_below_its_own_task(chartered: Chartered):
    """The child narrows: its intents, limits and life are within the parent's, its params the same, and it ends with it."""
    task = await chartered.joined(limits={"requests": 10, "rate": "5/s"})
    answer = await chartered.below(
        "worker", task["access_token"], "invoices.read", limits={"requests": 3, "rate": "4/s"}, duration=60
    )
    child = answer.json()
    said = claims(child)
    assert (said["act"], said["sub"], child["expires_in"]) == ({"sub": WORKER}, ORCHESTRATOR, 60)
    (details,) = said["authorization_details"]
    assert details["params"] == {"customer": "42"}
    assert details["above"] == [{"task": task["task"], "limits": {"requests": 10, "rate": "5/s"}}]
    again = await chartered.below("worker", task["access_token"], task=child["task"])
    assert (again.status, again.json()["scope"]) == (200, "invoices.read")
    same = await chartered.below("worker", task["access_token"], "invoices.read", params={"customer": "42"})
    assert same.status == 200
    await chartered.world.authority.tasks.complete(task["task"], WORKER)
    ended = await chartered.world.authority.tasks.show(child["task"])
    assert (ended.state, ended.cause, ended.parent) == ("revoked", "parent_ended", task["task"])


async def test_a_child_without_a_scope_has_that_of_the_token(chartered: Chartered):
    """Not that of the task: the token may be narrower."""
    task = await chartered.joined()
    narrow = (await chartered.own("worker", "invoices.read", task["task"])).json()["access_token"]
    assert (await chartered.below("worker", narrow)).json()["scope"] == "invoices.read"


async def test_an_agent_hands_a_part_to_another(chartered: Chartered):
    """The helper is the actor now, the worker stands below it as history, and the subject is still whom all of it is for."""
    task = await chartered.joined()
    handed = await chartered.handed(task["task"])
    said = claims({"access_token": handed})
    assert (said["may_act"], said["aud"]) == ({"sub": HELPER}, "http://127.0.0.1:8081")
    child = (await chartered.below("helper", handed, "invoices.read")).json()
    assert claims(child)["act"] == {"sub": HELPER, "act": {"sub": WORKER}}
    assert claims(child)["sub"] == ORCHESTRATOR
    row = await chartered.world.authority.tasks.show(child["task"])
    assert (row.agent, row.starter, row.parent) == (HELPER, WORKER, task["task"])
    again = await chartered.below("helper", await chartered.handed(task["task"]), task=child["task"])
    assert again.status == 200
    own = await chartered.below("worker", handed, "invoices.read")
    assert own.status == 200


async def test_a_bound_token_needs_its_proof_below_it(chartered: Chartered):
    """Whoever works below a bound token proves by the same key, and gets a token bound to it; a bearer token needs none."""
    world, prover = chartered.world, Prover()

    def proof(by: Prover) -> dict[str, str]:
        return {"DPoP": by.proof("POST", f"{AUTHORITY}/token", now=world.clock.seconds)}

    form = {"grant_type": "client_credentials", "scope": "status.read", **chartered.client("reconciler")}
    bound = (await world.post("/token", form, headers=proof(prover))).json()
    assert bound["token_type"] == "DPoP"
    below = {
        "grant_type": EXCHANGE, "subject_token": bound["access_token"], "subject_token_type": ACCESS_TOKEN,
        **chartered.client("reconciler"),
    }  # fmt: skip
    for headers in ({}, proof(Prover())):
        answer = await world.post("/token", below, headers=headers)
        assert (answer.status, answer.json()["error"]) == (400, "invalid_request")
    child = (await world.post("/token", below, headers=proof(prover))).json()
    assert (child["token_type"], claims(child)["cnf"]) == ("DPoP", {"jkt": prover.jkt})


async def test_a_token_for_another_is_bound_to_whom_it_names(chartered: Chartered):
    """Its giver's key would be of no use there; it gives no access, which its type says (RFC 8693 §2.2.1)."""
    world, task = chartered.world, await chartered.joined()
    form = {
        "grant_type": EXCHANGE, "subject_token": chartered.identity("worker"), "subject_token_type": JWT_TYPE,
        "task": task["task"], "authorization_details": element(may_act=HELPER),
    }  # fmt: skip
    proof = Prover().proof("POST", f"{AUTHORITY}/token", now=world.clock.seconds)
    handed = (await world.post("/token", form, headers={"DPoP": proof})).json()
    assert handed["token_type"] == "N_A"
    assert "cnf" not in claims(handed)
    assert (await chartered.below("helper", handed["access_token"], "invoices.read")).status == 200


async def test_children_have_children(chartered: Chartered):
    """So many levels deep, with each agent once in the history of who acts, oldest innermost."""
    task = await chartered.joined()
    token = await chartered.handed(task["task"])
    child = (await chartered.below("helper", token, "invoices.read")).json()
    for _ in range(DEEPEST - 1):
        child = (await chartered.below("helper", child["access_token"], "invoices.read")).json()
    assert claims(child)["act"] == {"sub": HELPER, "act": {"sub": WORKER}}
    assert len(claims(child)["authorization_details"][0]["above"]) == DEEPEST


async def test_a_childs_token_lives_no_longer_than_its_parents(chartered: Chartered):
    """The parent's token is one of the proofs that it comes from."""
    task = await chartered.joined()
    chartered.world.clock.seconds = NOW + 250
    assert (await chartered.below("worker", task["access_token"])).json()["expires_in"] == 50


@pytest.mark.parametrize("world", [os.getuid()], indirect=True)
async def test_the_kernel_authenticates_whoever_works_below_a_task(chartered: Chartered):
    """On the Unix socket the process itself is the actor, or the client that shows a task token."""
    world = chartered.world
    peer = {"actor_token": "peer", "actor_token_type": UNIX_PEER_TYPE}
    task = await chartered.joined()
    below = {"grant_type": EXCHANGE, "subject_token": task["access_token"], "subject_token_type": ACCESS_TOKEN}
    for form in (below, {**below, **peer}):
        answer = await world.post("/token", form, socket=world.socket)
        assert (answer.status, answer.json()["error"]) == (400, "invalid_request")
        assert "may_act" in answer.json()["error_description"]
    assert (await world.post("/token", {**below, **peer})).json()["error"] == "invalid_request"


async def test_client_credentials(chartered: Chartered):
    """An identity as client_assertion is a grant of its own (RFC 6749 §4.4); the task lives as long as a token at most."""
    form = {"grant_type": "client_credentials", "scope": "invoices.read status.read", **chartered.client("reconciler")}
    answer = (await chartered.token(form)).json()
    assert "issued_token_type" not in answer
    assert (answer["scope"], claims(answer)["act"], answer["token_type"]) == (form["scope"], {"sub": RECONCILER}, "Bearer")
    task = await chartered.world.authority.tasks.show(answer["task"])
    assert task.ends == NOW + 900
    longer = await chartered.token({**form, **chartered.client("reconciler"), "authorization_details": element(duration=7200)})
    assert (await chartered.world.authority.tasks.show(longer.json()["task"])).ends == NOW + 7200
    renewed = await chartered.token({**form, **chartered.client("reconciler"), "task": longer.json()["task"], "scope": None})
    assert renewed.json()["task"] == longer.json()["task"]
    alone = await chartered.token({"grant_type": "client_credentials", "scope": "status.read", "client_id": RECONCILER})
    assert (alone.status, alone.json()["error"]) == (401, "invalid_client")


async def test_an_svid_as_client_assertion_is_for_this_authority_alone(chartered: Chartered):
    """draft-ietf-oauth-spiffe-client-auth §3.1: subject is the agent, and the audience this issuer and nobody else."""
    form = {"grant_type": "client_credentials", "scope": "status.read", "client_assertion_type": SPIFFE_ASSERTION_TYPE}
    issuer = chartered.world.authority.issuer
    chartered.world.trust(issuer)
    for claim, status in (
        ({"sub": RECONCILER, "aud": issuer}, 200),
        ({"sub": RECONCILER, "aud": [issuer]}, 200),
        ({"sub": RECONCILER, "aud": [issuer, "other"]}, 401),
        ({"sub": WORKER, "aud": issuer}, 401),
        ({"aud": issuer}, 401),
    ):
        answer = await chartered.token({**form, "client_assertion": chartered.identity("reconciler", **claim)})
        assert answer.status == status
    plain = {**form, "client_assertion_type": ASSERTION}
    assert (await chartered.token({**plain, "client_assertion": chartered.identity("reconciler", aud=issuer)})).status == 200


async def test_a_token_for_one_upstream(chartered: Chartered):
    """RFC 8707: its audience is the resource too, and all of its scope means something there."""
    form = {
        "grant_type": EXCHANGE, "subject_token": chartered.identity("reconciler"), "subject_token_type": JWT_TYPE,
        "scope": "invoices.read", "resource": "http://gateway.example/billing/",
    }  # fmt: skip
    answer = (await chartered.token(form)).json()
    assert claims(answer)["aud"] == ["doorward", "http://gateway.example/billing"]
    assert await chartered.world.authority.tasks.live_token(answer["access_token"]) is not None
    other = await chartered.token({**form, "scope": "invoices.read status.read"})
    assert (other.status, other.json()["error"]) == (400, "invalid_target")
    both = (await chartered.own("reconciler", "invoices.read status.read")).json()
    narrowed = (await chartered.token({**form, "scope": None, "task": both["task"]})).json()
    assert narrowed["scope"] == "invoices.read"
    everywhere = (
        await chartered.token({**form, "scope": None, "task": both["task"], "resource": "http://gateway.example"})
    ).json()
    assert everywhere["scope"] == "invoices.read status.read"
    strange = await chartered.own("reconciler", "status.read")
    nothing = await chartered.token({**form, "scope": None, "task": strange.json()["task"]})
    assert (nothing.status, nothing.json()["error"]) == (400, "invalid_scope")
