"""The official SDK, client and server, works through the gateway and knows nothing of it."""

import asyncio

import pytest
from fakes.house import SECRET
from fakes.mcp_house import agent
from mcp.shared.exceptions import MCPError

MODES = pytest.mark.parametrize("mode", ["legacy", "2026-07-28"])
"""The handshake with sessions, and the newest revision without either."""
READABLE = {"look", "count", "forever", "cancellations", "interrupted", "fail", "echo_key"}


@MODES
async def test_lists_are_cut_to_what_the_task_may_use(tracker, mode):
    """A task sees what its token and policy let it use, and nothing else, in each of the four lists."""
    house = await tracker()
    token = await house.token("issues.read")
    async with agent(house, token, mode=mode) as client:
        assert {tool.name for tool in (await client.list_tools()).tools} == READABLE
        assert {prompt.name for prompt in (await client.list_prompts()).prompts} == {"review"}
        assert {str(resource.uri) for resource in (await client.list_resources()).resources} == {"note://boards/rain"}
        templates = (await client.list_resource_templates()).resource_templates
        assert [template.uri_template for template in templates] == ["note://people/{name}"]


@MODES
async def test_allowed_calls_pass_and_others_are_refused(tracker, mode):
    """What the task may use answers as it would without a gateway; what it may not is an error that says why."""
    house = await tracker()
    token = await house.token("issues.read")
    async with agent(house, token, mode=mode) as client:
        assert (await client.call_tool("look", {"issue": 7})).content[0].text == "issue 7 is about rain"
        assert (await client.get_prompt("review", {"issue": "7"})).messages[0].content.text == "Review issue 7."
        assert (await client.read_resource("note://boards/rain")).contents[0].text == "It is wet."
        assert (await client.read_resource("note://people/ada")).contents[0].text == "ada is fine."
        assert (await client.call_tool("fail", {})).is_error
        for refused in (
            client.call_tool("write", {"issue": 7, "text": "x"}),
            client.call_tool("burn", {"issue": 7}),
            client.get_prompt("gossip"),
            client.read_resource("note://boards/secrets"),
        ):
            with pytest.raises(MCPError) as error:
                await refused
            assert error.value.error.code == 403
            assert error.value.error.data["code"] in ("intent_missing", "intent_mismatch", "denied")
        assert (await client.call_tool("look", {"issue": 8})).content[0].text == "issue 8 is about rain"


@MODES
async def test_progress_arrives_while_the_call_runs(tracker, mode):
    """Each report passes when it is made, before the answer."""
    house = await tracker()
    seen = []

    async def progress(done, total, message):
        seen.append((done, total, message))

    async with agent(house, await house.token("issues.read"), mode=mode) as client:
        result = await client.call_tool("count", {"to": 3}, progress_callback=progress)
    assert result.content[0].text == "counted to 3"
    assert seen == [(1, 3, "step 1"), (2, 3, "step 2"), (3, 3, "step 3")]


@MODES
async def test_a_cancelled_call_ends_at_the_server(tracker, mode):
    """Cancellation reaches the server, as a notification or as the end of the stream."""
    house = await tracker()
    begun = asyncio.Event()

    async def progress(*_):
        begun.set()

    async with agent(house, await house.token("issues.read"), mode=mode) as client:
        call = asyncio.ensure_future(client.call_tool("forever", {}, progress_callback=progress))
        await asyncio.wait_for(begun.wait(), 20)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        for _ in range(200):
            counted = (await client.call_tool("cancellations", {})).content[0].text
            if counted == "1":
                break
            await asyncio.sleep(0.02)
        assert counted == "1"


async def test_a_stream_that_broke_off_is_resumed(tracker):
    """The client asks for what came after the last event that it saw, and gets the answer."""
    house = await tracker()
    async with agent(house, await house.token("issues.read"), mode="legacy") as client:
        result = await asyncio.wait_for(client.call_tool("interrupted", {}), 30)
    assert result.content[0].text == "came late"


@MODES
async def test_the_server_gets_its_credential_and_the_agent_does_not(tracker, mode):
    """The secret goes in, and where the server repeats it, it does not come out."""
    house = await tracker()
    async with agent(house, await house.token("issues.read"), mode=mode) as client:
        told = (await client.call_tool("echo_key", {})).content[0].text
    assert SECRET not in told
    assert len(told) == len(SECRET)
