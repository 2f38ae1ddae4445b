"""AuthZEN on the authority: the policy answers others as it would decide, and tells nobody about somebody else unasked."""

import pytest
from fakes.house import AGENT, Build, House

from gateway.endpoints.evaluation import DESCRIBED, EVALUATION, EVALUATIONS, MOST_EVALUATIONS
from gateway.fetch import Answer, Fetch

OTHER = "spiffe://flows.test/other"
ASKERS = "listen: [unix:authority.sock]\n  issuer: http://authority.test\n  askers: [spiffe://flows.test/*]"


def question(target: str = "/api/items/1", intent: str | None = "items.read", method: str = "GET", agent: str = AGENT) -> dict:
    return {
        "subject": {"type": "agent", "id": agent},
        "action": {"name": method, "properties": {} if intent is None else {"intent": intent}},
        "resource": {"type": "http", "id": target},
    }


async def ask(it: House, document: object, path: str = EVALUATION, **headers: str) -> Answer:
    async with Fetch() as fetch:
        return await fetch.request(
            "POST", f"http://a{path}", json=document, unix=str(it.folder / "authority.sock"), headers=headers
        )


async def decided(it: House, document: dict) -> tuple[bool, str | None]:
    answer = await ask(it, document)
    assert answer.status == 200, answer.body
    told = answer.json()
    return told["decision"], told["context"].get("code")


async def test_the_policy_answers_as_it_would_decide(house: Build) -> None:
    """A refusal is an answer with its code, and no error; what is unknown is ignored."""
    it = await house(declare="required\n    when: path.id != '7'")
    assert await decided(it, question()) == (True, None)
    assert await decided(it, {**question(), "surplus": 1}) == (True, None)
    assert await decided(it, question("/api/items/7")) == (False, "condition_failed")
    assert await decided(it, question(intent=None)) == (False, "intent_missing")
    assert await decided(it, question(intent="items.write")) == (False, "intent_mismatch")
    assert await decided(it, question(method="DELETE")) == (False, "denied")
    assert await decided(it, question("/api/items/%2e%2e/x")) == (False, "request_malformed")
    assert await decided(it, question("/elsewhere")) == (False, "upstream_unknown")


async def test_several_are_answered_at_once(house: Build) -> None:
    """What stands beside them holds for all, and they stop where they are told to."""
    it = await house()
    wrong, right = {"action": {"name": "DELETE"}}, {"resource": {"type": "http", "id": "/api/items"}}
    document = {**question(), "evaluations": [right, wrong, right]}

    async def answers(**options: str) -> list[bool]:
        answer = await ask(it, {**document, "options": options}, EVALUATIONS)
        return [each["decision"] for each in answer.json()["evaluations"]]

    assert await answers() == [True, False, True]
    assert await answers(evaluations_semantic="deny_on_first_deny") == [True, False]
    assert await answers(evaluations_semantic="permit_on_first_permit") == [True]
    assert (await ask(it, {**document, "options": {"evaluations_semantic": "x"}}, EVALUATIONS)).status == 400
    assert (await ask(it, {**question(), "evaluations": [right] * (MOST_EVALUATIONS + 1)}, EVALUATIONS)).status == 400
    assert (await ask(it, question(), EVALUATIONS)).json()["decision"] is True


async def test_an_agent_asks_about_itself_and_named_ones_about_all(house: Build) -> None:
    """Policy is told to whom it concerns."""
    it = await house()
    assert (await ask(it, question(agent=OTHER))).status == 403
    await it.stop()


async def test_named_askers_ask_about_all(house: Build) -> None:
    """They are in the configuration."""
    it = await house(authority=ASKERS)
    assert await decided(it, question(agent=OTHER)) == (False, "intent_not_granted")


@pytest.mark.parametrize(
    "document",
    [
        {}, [], "x", {"subject": {}}, {**question(), "resource": {"type": "http", "id": "no path"}},
        {**question(), "action": {"name": "GET /x HTTP/1.1\r\nX: y"}}, {**question(), "subject": {"type": "user", "id": AGENT}},
        {**question(), "resource": {"type": "http", "id": "/x", "properties": {"headers": {"X": "a\r\nY: b"}}}},
    ],
)  # fmt: skip
async def test_what_is_no_question_is_an_error(house: Build, document: object) -> None:
    """So that nobody takes it for a no, or puts a line into the request that is decided."""
    it = await house()
    assert (await ask(it, document)).status == 400


async def test_it_says_where_it_answers_and_repeats_the_request_id(house: Build) -> None:
    """As a client of the API looks for it."""
    it = await house()
    async with Fetch() as fetch:
        told = (await fetch.request("GET", f"http://a{DESCRIBED}", unix=str(it.folder / "authority.sock"))).json()
    assert told["policy_decision_point"] == "http://authority.test"
    assert told["access_evaluation_endpoint"] == f"http://authority.test{EVALUATION}"
    answer = await ask(it, question(), **{"X-Request-ID": "r-1"})
    assert answer.headers["X-Request-ID"] == "r-1"
