"""Tasks of MCP: a server gives them to whoever knows their ids, so nobody gets to one, by whatever revision or spelling."""

import pytest
from fakes.mcp_wire import META, NEW, OLD, answering, ask, call, message, post, result

METHODS = [
    "tasks/get",
    "tasks/result",
    "tasks/list",
    "tasks/cancel",
    "tasks/update",
    "tasks/delete",
    "notifications/tasks/status",
]


def of_task(method: str) -> dict:
    """One message about a task that somebody else could have."""
    return message(method, {"taskId": "786512e2"}, None if method.startswith("notifications/") else 1)


@pytest.mark.parametrize("method", METHODS)
async def test_nobody_asks_for_a_task(tracker, method):
    """In any revision, alone or in a batch, with and without its headers: the server sees none of it, and each is recorded."""
    house = await tracker(answering(result({"taskId": "786512e2", "status": "completed"})))
    token = await house.token("issues.read")
    asked = of_task(method)
    new = (f"MCP-Protocol-Version: {NEW}", f"Mcp-Method: {method}", "Mcp-Name: 786512e2")
    for request in (
        post(token, asked),
        post(token, [call("look", {"issue": 1}, 2), asked]),
        post(token, asked, f"MCP-Protocol-Version: {OLD}"),
        post(token, asked, *new),
        post(token, asked, "Agent-Intent: issues.read"),
    ):
        answer = await ask(house, request)
        assert answer.status == 404
        assert b'"method_unknown"' in answer.body
    await house.stop()
    assert house.upstream.seen == []
    requests, responses = house.exchanges()
    assert [(record["decision"], record["code"]) for record in requests] == [("deny", "method_unknown")] * 5
    assert len(responses) == 5


@pytest.mark.parametrize(
    "asked",
    [
        message("tools/call", {"name": "look", "arguments": {"issue": 1}, "task": {"ttl": 60000}}),
        message("tools/call", {"name": "look", "arguments": {"issue": 1}, "task": None}),
        message("tools/call", {"name": "look", "arguments": {"issue": 1}, "Task": {}}),
        message("prompts/get", {"name": "review", "task": {}}),
        [call("look", {"issue": 1}, 2), message("tools/call", {"name": "look", "arguments": {"issue": 1}, "task": {}})],
    ],
)
async def test_no_call_becomes_a_task(tracker, asked):
    """Its result could never be fetched, so it is refused before anything is done; without `task` it passes."""
    house = await tracker(answering(result({})))
    token = await house.token("issues.read")
    lines = [] if isinstance(asked, list) else [f"MCP-Protocol-Version: {OLD}"]
    answer = await ask(house, post(token, asked, *lines))
    assert answer.status == 400
    assert b"request_malformed" in answer.body
    assert house.upstream.seen == []
    assert (await ask(house, post(token, call("look", {"issue": 1, "task": 7}), *lines))).status == 200


async def test_the_newest_revision_ignores_the_wish(tracker):
    """There the server decides what becomes a task, and has to ignore the member (SEP-2663)."""
    house = await tracker(answering(result({})))
    asked = message("tools/call", {"name": "look", "arguments": {"issue": 1}, "task": {}, "_meta": META})
    headers = (f"MCP-Protocol-Version: {NEW}", "Mcp-Method: tools/call", "Mcp-Name: look")
    assert (await ask(house, post(await house.token("issues.read"), asked, *headers))).status == 200
