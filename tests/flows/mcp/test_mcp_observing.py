"""Observe mode before a server of MCP: a batch passes only if each of its elements would have passed by itself."""

import json

import pytest
from fakes.mcp_wire import answering, ask, call, post, result

OLDEST = "2025-03-26"
TRIAL = """\
  - name: number one alone is looked at, on trial
    agents: [spiffe://mcp.test/agent]
    intents: [issues.read]
    declare: implied
    mode: observe
    when: 'tool.arguments.issue == 1'
  - name: enforced
    agents: [spiffe://mcp.test/agent]
    intents: [issues.write, issues.burn]
    declare: implied
    when: 'tool.arguments.issue == 1'
    limits: {requests: 4}
"""
TRIED = call("look", {"issue": 2})
BURN = call("burn", {}, "b")


@pytest.fixture
async def trial(tracker):
    return await tracker(answering(result({})), grants=TRIAL)


@pytest.mark.parametrize("declared", [(), ("Agent-Intent: issues.read",)])
@pytest.mark.parametrize("batch", [[TRIED, BURN], [BURN, TRIED], [TRIED, call("look", {"issue": 1}, 3), BURN]])
async def test_no_batch_carries_what_is_denied_past_a_denial(trial, batch, declared):
    """An element that an observing grant lets pass takes none along that an enforced denial forbids."""
    token = await trial.token("issues.read")
    assert (await ask(trial, post(token, TRIED, *declared))).status == 200
    assert (await ask(trial, post(token, BURN, *declared))).status == 403
    assert (await ask(trial, post(token, batch, f"MCP-Protocol-Version: {OLDEST}", *declared))).status == 403
    assert [json.loads(each.body) for each in trial.upstream.seen] == [TRIED]


async def test_no_batch_carries_one_intent_past_the_conditions_of_another(trial):
    """What a trial lets pass is of its own intent: nothing of an enforced one goes with it, and nothing uncounted."""
    token = await trial.token("issues.read", "issues.write")
    fine, wrong = call("write", {"issue": 1}, "w"), call("write", {"issue": 2}, "w")
    for batch in ([TRIED, wrong], [wrong, TRIED], [TRIED, fine], [fine, TRIED]):
        assert (await ask(trial, post(token, batch))).status == 403, batch
    assert not trial.upstream.seen


async def test_no_declaration_carries_one_intent_past_the_conditions_of_another(trial):
    """A single call is of the intent that it is, whatever else it is declared to be."""
    token = await trial.token("issues.read", "issues.write")
    for declared in ((), ("Agent-Intent: issues.read",), ("Agent-Intent: issues.write",)):
        assert (await ask(trial, post(token, call("write", {"issue": 2}), *declared))).status == 403
    assert not trial.upstream.seen


async def test_a_batch_on_trial_passes_and_each_of_its_calls_counts(tracker):
    """Limits are no matter of what is tried out: what the grant allows in a batch counts beside what it lets pass."""
    house = await tracker(
        answering(result({})), grants=TRIAL.replace("mode: observe", "mode: observe\n    limits: {requests: 5}")
    )
    token = await house.token("issues.read")
    batch = [call("look", {"issue": 1}), TRIED | {"id": 2}, call("look", {"issue": 1}, 3)]
    assert (await ask(house, post(token, batch))).status == 200
    assert (await ask(house, post(token, batch))).status == 429
    await house.stop()
    asked_for, _ = house.exchanges()
    assert [(record["decision"], record["code"], record["enforced"]) for record in asked_for[:1]] == [
        ("deny", "condition_failed", False)
    ]
