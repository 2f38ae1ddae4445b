"""Each call of a tool is recorded: which one, with a digest of its arguments, and how it ended; knows no single server."""

import json

import pytest
from fakes.mcp_wire import answering, as_json, ask, call, message, post, result

from gateway.intent.answers import LONGEST_ANSWER


def event_stream(*values: object) -> bytes:
    body = b"".join(b"data: " + json.dumps(value).encode() + b"\n\n" for value in values)
    return b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)


def told(value: object, call_id: object = 1) -> dict:
    return {"jsonrpc": "2.0", "id": call_id, "result": value}


async def recorded(tracker, answer, body) -> tuple[dict, dict]:
    house = await tracker(answering(answer))
    await ask(house, post(await house.token("issues.read"), body))
    await house.stop()
    requests, responses = house.exchanges()
    return requests[-1], responses[-1]


async def test_a_call_is_recorded_with_its_tool_and_a_digest(tracker):
    """The values are not there but for those that the intent names; equal arguments have equal digests."""
    house = await tracker(answering(result({"content": []})))
    token = await house.token("issues.read")
    for issue in (7, 8, 7):
        await ask(house, post(token, call("look", {"issue": issue, "text": "private words"})))
    await house.stop()
    requests, _ = house.exchanges()
    messages = [record["mcp"][0] for record in requests]
    assert [(each["method"], each["names"], each["logged"]) for each in messages] == [
        ("tools/call", ["look"], {"issue": "7"}),
        ("tools/call", ["look"], {"issue": "8"}),
        ("tools/call", ["look"], {"issue": "7"}),
    ]
    assert messages[0]["arguments"] == messages[2]["arguments"] != messages[1]["arguments"]
    assert len(messages[0]["arguments"]) == 64
    assert "private words" not in (house.folder / "audit.jsonl").read_text()


async def test_a_refused_call_is_recorded_with_its_tool(tracker):
    """Who reads the log sees what was tried."""
    house = await tracker(answering(result({})))
    await ask(house, post(await house.token("issues.read"), call("burn", {"issue": 7})))
    await house.stop()
    (request,), _ = house.exchanges()
    assert (request["decision"], request["code"], request["mcp"][0]["names"]) == ("deny", "denied", ["burn"])
    assert request["intent"]["observed"] == ["issues.burn"]


ENDINGS = {
    "ok": told({"content": []}),
    "error": told({"content": [], "isError": True}),
    "failed": {"jsonrpc": "2.0", "id": 1, "error": {"code": -32602, "message": "no"}},
    "input_required": told({"resultType": "input_required"}),
    "task": told({"resultType": "task", "taskId": "a"}),
}


@pytest.mark.parametrize("ending", ENDINGS)
async def test_how_a_call_ended_is_recorded(tracker, ending):
    """Seen in JSON and in the last event of a stream alike."""
    for answer in (
        as_json(ENDINGS[ending]),
        event_stream({"jsonrpc": "2.0", "method": "notifications/progress"}, ENDINGS[ending]),
    ):
        _, response = await recorded(tracker, answer, call("look"))
        assert response["mcp"] == {"endings": [ending], "hidden": 0}


@pytest.mark.parametrize(
    "answer",
    [
        as_json(told({}, 2)),
        as_json(b"no JSON"),
        event_stream({"jsonrpc": "2.0", "method": "x"}),
        as_json(b"{}").replace(b"json", b"xml"),
    ],
    ids=["another id", "no JSON", "no answer", "another type"],
)
async def test_an_ending_that_was_not_seen_is_not_made_up(tracker, answer):
    """It is null."""
    _, response = await recorded(tracker, answer, call("look"))
    assert response.get("mcp", {"endings": [None]})["endings"] == [None]


async def test_a_long_answer_passes_and_its_ending_is_not_seen(tracker):
    """The caller gets all of it, and nothing is kept of it here."""
    long = told({"content": [{"type": "text", "text": "x" * LONGEST_ANSWER}]})
    for answer in (as_json(long), event_stream(long)):
        house = await tracker(answering(answer))
        got = await ask(house, post(await house.token("issues.read"), call("look")))
        assert got.body == answer.partition(b"\r\n\r\n")[2]
        assert "transfer-encoding" in got.fields or int(got.fields["content-length"]) == len(got.body)
        await house.stop()
        _, (response,) = house.exchanges()
        assert response["mcp"]["endings"] == [None]
        (house.folder / "audit.jsonl").unlink()
        for file in house.folder.glob("audit.jsonl*"):
            file.unlink()


async def test_each_call_of_a_batch_is_recorded(tracker):
    """With its own tool, digest and ending, in the order of the request whatever that of the answer."""
    answers = [told({"isError": True}, "b"), told({}, 1)]
    request, response = await recorded(
        tracker, as_json(answers), [call("look"), message("ping", None, 5), call("count", {"to": 1}, "b")]
    )
    assert [each["names"] for each in request["mcp"]] == [["look"], [], ["count"]]
    assert response["mcp"]["endings"] == ["ok", "error"]


async def test_conditions_read_the_tool_and_its_arguments(tracker):
    """`tool.name` and `tool.arguments` are those of the very call, also within a batch."""
    grants = """\
  - name: only number one is looked at
    agents: [spiffe://mcp.test/agent]
    intents: [issues.read]
    declare: implied
    when: 'tool.name == "look" && tool.arguments.issue == 1'
"""
    house = await tracker(answering(result({})), grants=grants)
    token = await house.token("issues.read")
    for body, status in (
        (call("look", {"issue": 1}), 200),
        (call("look", {"issue": 2}), 403),
        (call("look", {"issue": "1"}), 403),
        (call("look", {}), 403),
        (call("count", {"issue": 1}), 403),
        (message("prompts/get", {"name": "review", "arguments": {"issue": 1}}), 403),
        ([call("look", {"issue": 1}), call("look", {"issue": 1}, 2)], 200),
        ([call("look", {"issue": 1}), call("look", {"issue": 2}, 2)], 403),
    ):
        assert (await ask(house, post(token, body))).status == status, body
    assert len(house.upstream.seen) == 2


async def test_a_batch_spends_from_limits_for_each_of_its_calls(tracker):
    """Three calls in one request are three uses; what only pings is none."""
    grants = """\
  - name: five times
    agents: [spiffe://mcp.test/agent]
    intents: [issues.read]
    declare: implied
    limits: {requests: 5}
"""
    house = await tracker(answering(result({})), grants=grants)
    token = await house.token("issues.read")
    three = [call("look", {}, number) for number in range(3)]
    for body, status in ((three, 200), (message("ping"), 200), (three[:2], 200), (message("ping"), 200), (call("look"), 429)):
        assert (await ask(house, post(token, body))).status == status, body


async def test_each_call_of_a_batch_is_one_more_request_of_the_task(tracker):
    """`task.requests` of each counts those before it in the same batch; what only pings counts as one, what is refused too."""
    grants = """\
  - name: the first five
    agents: [spiffe://mcp.test/agent]
    intents: [issues.read]
    declare: implied
    when: task.requests < 5
"""
    house = await tracker(answering(result({})), grants=grants)
    token, other = await house.token("issues.read"), await house.token("issues.read")
    three = [call("look", {}, number) for number in range(3)]
    for body, status in (
        (three, 200),
        (message("ping"), 200),
        (call("look"), 200),
        (call("look"), 403),
        (message("ping"), 200),
    ):
        assert (await ask(house, post(token, body))).status == status, body
    for body, status in ((three, 200), (three, 403), (call("look"), 403)):
        assert (await ask(house, post(other, body))).status == status, body
