"""What a second review broke by attacking a running Doorward: each attack is played again, and must fail."""

import asyncio

import pytest
from fakes.house import Build, ScriptedUpstream, get

from gateway.audit.flood import BURST, RATE


async def test_nothing_is_sent_again_for_a_task_that_has_ended(house: Build, monkeypatch: pytest.MonkeyPatch) -> None:
    """A kept connection dies after the end was acknowledged: the request was cut, and the upstream hears it once."""
    monkeypatch.setattr("gateway.http.relay.AT_ONCE", 30.0)  # to end the task may take a slow disk longer
    asked = asyncio.Event()
    release = asyncio.Event()

    async def script(upstream: ScriptedUpstream, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await upstream.request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        await writer.drain()
        await upstream.request(reader)
        asked.set()
        await release.wait()

    door = await house(script)
    issued = await door.issue("items.read")
    client = await door.connect()
    await client.send(get("/api/items", issued["access_token"]))
    await client.answer()
    await client.send(get("/api/items", issued["access_token"]))
    await asked.wait()
    assert await door.tell(f"/tasks/{issued['task']}/complete") == 200
    release.set()
    assert (await client.answer()).problem["code"] == "token_revoked"
    assert len(door.upstream.seen) == 2
    await door.stop()
    _, responses = door.exchanges()
    assert [(record["attempts"], record["code"]) for record in responses] == [(1, None), (1, "token_revoked")]


@pytest.mark.interpreted("a method of a compiled object cannot be replaced")
async def test_an_end_during_the_dial_stops_the_request(house: Build) -> None:
    """What waited for a connection is judged again before it goes out."""
    door = await house()
    issued = await door.issue("items.read")
    pool = door.doorward.pool
    opened = pool.open

    async def slow_open(key, caller):
        connection = await opened(key, caller)
        door.doorward.standing.ended.add(f"task:{issued['task']}")
        return connection

    pool.open = slow_open
    client = await door.connect()
    await client.send(get("/api/items", issued["access_token"]))
    assert (await client.answer()).problem["code"] == "token_revoked"
    assert door.upstream.seen == []
    assert pool.idle == 1


async def test_an_upstream_that_thought_for_long_is_not_asked_twice(house: Build) -> None:
    """A connection that dies late may have died in the middle of the work."""

    async def script(upstream: ScriptedUpstream, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await upstream.request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        await writer.drain()
        await upstream.request(reader)
        await asyncio.sleep(0.7)

    door = await house(script)
    token = await door.token()
    client = await door.connect()
    await client.send(get("/api/items", token) * 2)
    assert (await client.answer()).status == 200
    assert (await client.answer()).problem["code"] == "upstream_failed"
    assert len(door.upstream.seen) == 2


async def test_a_response_cannot_strip_its_own_length(house: Build) -> None:
    """`Connection: content-length` would leave the caller without an end of the body."""

    async def script(upstream: ScriptedUpstream, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await upstream.request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nConnection: Content-Length\r\nContent-Length: 5\r\n\r\nfirst")
        await writer.drain()

    door = await house(script)
    client = await door.connect()
    await client.send(get("/api/items", await door.token()))
    assert (await client.answer()).problem["code"] == "upstream_failed"


async def test_a_refused_body_leaves_two_attributed_records(house: Build) -> None:
    """A head that was parsed is known, whatever its body announces."""
    door = await house(gateway_limits="{body: 1KiB}")
    token = await door.token()
    client = await door.connect()
    await client.send(get("/api/items", token, "items.write", "Content-Length: 5000", method="POST"))
    assert (await client.answer()).problem["code"] == "body_too_large"
    other = await door.connect()
    await other.send(get("/api/items", token, "items.write", "Transfer-Encoding: chunked", method="POST") + b"zz\r\n")
    assert (await other.answer()).problem["code"] == "request_malformed"
    await door.stop()
    requests, responses = door.exchanges()
    assert [(record["method"], record["path"]) for record in requests] == [("POST", "/api/items")] * 2
    assert len(responses) == 2


async def test_a_flood_of_strangers_is_counted(house: Build) -> None:
    """Refusals without a token cannot push the past out of the log; what a task does is recorded one by one."""
    door = await house()
    client = await door.connect()
    began = door.clock.steady()
    for _ in range(20):
        await client.send(get("/api/items", None) * 50)
        for _ in range(50):
            assert (await client.answer()).status == 401
    took = door.clock.steady() - began
    token = await door.token("items.read")
    for _ in range(300):
        await client.send(get("/api/items", token, "items.write"))
        assert (await client.answer()).status == 403
    await door.stop()
    requests, responses = door.exchanges()
    strangers = [record for record in requests if record["code"] == "token_missing"]
    assert BURST <= len(strangers) <= BURST + RATE * took + 1
    assert len(requests) == len(responses) == len(strangers) + 300
    counted = [record for record in door.records() if record["type"] == "refusals"]
    assert sum(record["codes"]["token_missing"] for record in counted) + len(strangers) == 1000


async def test_a_flood_with_a_token_that_has_ended_is_counted(house: Build) -> None:
    """Whoever finds one in a ticket is a stranger: some requests are attributed to its task, and the others counted."""
    door = await house()
    issued = await door.issue("items.read")
    assert await door.tell(f"/tasks/{issued['task']}/complete") == 200
    client = await door.connect()
    began = door.clock.steady()
    for _ in range(20):
        await client.send(get("/api/items", issued["access_token"]) * 50)
        for _ in range(50):
            assert (await client.answer()).status == 401
    took = door.clock.steady() - began
    await door.stop()
    requests, responses = door.exchanges()
    assert {(record["code"], record["task"]) for record in requests} == {("token_revoked", issued["task"])}
    assert BURST <= len(requests) == len(responses) <= BURST + RATE * took + 1
    counted = [record for record in door.records() if record["type"] == "refusals"]
    assert sum(record["codes"]["token_revoked"] for record in counted) + len(requests) == 1000


async def test_an_upstream_that_ends_lines_in_lf_is_given_up_at_once(house: Build) -> None:
    """A head that no strict reader would see the end of is not waited for."""

    async def script(upstream: ScriptedUpstream, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await upstream.request(reader)
        writer.write(b"HTTP/1.1 200 OK\nContent-Length: 2\n\nok")
        await writer.drain()
        await reader.read()

    door = await house(script)
    client = await door.connect()
    await client.send(get("/api/items", await door.token()))
    assert (await client.answer()).problem["code"] == "upstream_failed"
