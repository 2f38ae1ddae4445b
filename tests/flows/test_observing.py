"""Observe mode on real sockets: what policy refuses goes on and is recorded as refused; everything else is refused as ever."""

import json
from collections import Counter

from fakes.house import Build, House, get

from gateway.cli.main import main


async def asked(it: House, *requests: bytes) -> list[int]:
    statuses = []
    client = await it.connect()
    for request in requests:
        await client.send(request)
        statuses.append((await client.answer()).status)
    return statuses


async def test_what_an_observing_gateway_would_refuse_goes_on_and_is_told(house: Build, capsys) -> None:
    """Each code that can be observed is recorded as a refusal that was not enforced; `doorward flips` lists them."""
    it = await house(gateway_limits="{}\n  mode: observe", declare="required\n    when: path.id != '7'")
    token = await it.token()
    requests = [
        get("/api/items/1", token),
        get("/api/items/7", token),
        get("/api/items/1", token, None),
        get("/api/items/1", token, "items.write"),
        get("/api/items/1", token, "no.such"),
        get("/api/items/1", token, "items.write", method="DELETE"),
        get("/api/nowhere", token),
    ]
    assert await asked(it, *requests) == [200] * 7
    assert await asked(it, get("/api/items", "dwt_x"), get("/api/items", token, "a b"), get("/other", token)) == [401, 400, 404]
    assert "gateway.mode is observe" in " ".join(it.doorward.warnings)
    await it.stop()
    asked_for, closed = it.exchanges()
    codes = [(record["decision"], record["code"], record["enforced"]) for record in asked_for[:7]]
    refused = ["condition_failed", "intent_missing", "intent_mismatch", "intent_not_granted", "denied", "intent_mismatch"]
    assert codes == [("allow", None, True), *(("deny", code, False) for code in refused)]
    assert [record["code"] for record in closed[:7]] == [None] * 7
    assert all(record["enforced"] for record in asked_for[7:])
    capsys.readouterr()
    assert main(["flips", str(it.folder / "audit.jsonl"), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["requests"] == 7
    assert Counter({flip["code"]: 0 for flip in told["flips"]}).keys() == set(refused)
    assert sum(flip["count"] for flip in told["flips"]) == 6
    assert main(["flips", str(it.folder / "audit.jsonl"), "--since", "2999-01-01"]) == 0
    assert capsys.readouterr().out == "0 of 0 requests that were forwarded would be refused\n"


async def test_an_observing_upstream_takes_no_strangers(house: Build) -> None:
    """Only a token that holds an intent on it is let through, and an ended task is not."""
    it = await house(upstream="protocol: http\n    mode: observe")
    issued = await it.issue("items.read")
    token = issued["access_token"]
    assert await asked(it, get("/api/items", token, "items.write"), get("/api/items/1", token, method="DELETE")) == [200, 200]
    assert await it.tell(f"/tasks/{issued['task']}/complete") == 200
    assert await asked(it, get("/api/items", token, "items.write")) == [401]


async def test_an_observing_grant_lets_only_its_own_refusals_pass(house: Build) -> None:
    """Its condition and its declaration are tried out; a denial is enforced all the same."""
    it = await house(declare="required\n    mode: observe\n    when: path.id == '1'")
    token = await it.token()
    requests = [get("/api/items/1", token), get("/api/items/2", token), get("/api/items/2", token, None)]
    assert await asked(it, *requests) == [200] * 3
    assert await asked(it, get("/api/items/1", token, method="DELETE")) == [403]
    await it.stop()
    assert [record["enforced"] for record in it.exchanges()[0]] == [True, False, False, True]


async def test_limits_hold_for_what_is_only_observed(house: Build) -> None:
    """What an upstream bears is no matter of policy."""
    it = await house(upstream="protocol: http\n    mode: observe\n    limits: {rate: 2/h}")
    token = await it.token()
    assert (await asked(it, *[get("/api/items", token, None)] * 4)).count(429) >= 2


async def test_an_observing_grant_opens_no_other_intent_to_who_declares_nothing(house: Build) -> None:
    """What another grant demands of the intent that is meant is enforced, whether that intent was named or left out."""
    trial = "  - {name: a trial, agents: [spiffe://flows.test/agent], intents: [items.watch], mode: observe}"
    it = await house(declare=f"implied\n    when: path.id == '1'\n{trial}", watched="GET /watched")
    token = await it.token("items.read", "items.watch")
    requests = [get("/api/items/1", token, None), get("/api/items/2", token), get("/api/items/2", token, None)]
    assert await asked(it, *requests) == [200, 403, 403]


async def test_a_trial_of_one_intent_leaves_the_declaration_of_another_enforced(house: Build) -> None:
    """A grant that is not tried out wants its intent declared, also from a token that holds another one on trial."""
    trial = "  - {name: a trial, agents: [spiffe://flows.test/agent], intents: [items.watch], mode: observe}"
    it = await house(declare=f"required\n{trial}", watched="GET /watched")
    token = await it.token("items.read", "items.watch")
    assert await asked(it, get("/api/items/1", token), get("/api/items/1", token, None)) == [200, 403]


async def test_an_observing_grant_lets_no_operation_of_another_intent_pass(house: Build) -> None:
    """Whatever is declared, and whatever the token holds: what is tried out says nothing of what the operation really is."""
    trial = "  - {name: a trial, agents: [spiffe://flows.test/agent], intents: [items.watch], mode: observe}"
    it = await house(declare=f"required\n    when: path.id == '1'\n{trial}", watched="GET /watched")
    both, read, watch = [await it.token(*names) for names in (("items.read", "items.watch"), ("items.read",), ("items.watch",))]
    wrong = [
        get("/api/items/2", both, "items.watch"),
        get("/api/items/2", read, "items.watch"),
        get("/api/items/2", watch, None),
        get("/api/items/1", watch, "items.read"),
        get("/api/nowhere", both, "items.watch"),
        get("/api/watched", both, "items.read"),
    ]
    assert await asked(it, *wrong) == [403] * len(wrong)
    tried = [
        get("/api/watched", both, None),
        get("/api/watched", read, "items.watch"),
        get("/api/watched", both, "items.watch"),
    ]
    assert await asked(it, *tried) == [200] * 3
    await it.stop()
    assert [record["enforced"] for record in it.exchanges()[0]] == [*[True] * len(wrong), *[False] * len(tried)]


async def test_an_observing_grant_still_demands_the_proof_that_it_demands(house: Build) -> None:
    """Only what policy says of requests is tried out, and not who may make them."""
    trial = "  - {name: a trial, agents: [spiffe://flows.test/agent], intents: [items.watch], mode: observe%s}"
    for proof, expected in (("", 200), (", proof: required", 403)):
        it = await house(declare=f"required\n    when: path.id == '1'\n{trial % proof}", watched="GET /watched")
        assert await asked(it, get("/api/watched", await it.token("items.read"), "items.watch")) == [expected]
        await it.stop()


async def test_what_is_observed_is_recorded_as_what_it_is(house: Build) -> None:
    """Also right after another operation that was declared alike."""
    it = await house(gateway_limits="{}\n  mode: observe")
    token = await it.token()
    requests = [get("/api/items/1", token, "no.such"), get("/api/items", token, "no.such", "Content-Length: 0", method="POST")]
    assert await asked(it, *requests) == [200, 200]
    await it.stop()
    assert [record["intent"]["observed"] for record in it.exchanges()[0]] == [["items.read"], ["items.write"]]
