"""What is open when access ends, whatever it waits for: cut, told so that it can be told from a whole answer, and recorded."""

import asyncio
import json
import socket
from collections.abc import Callable
from functools import partial

import pytest
from fakes.clock import SetClock, TurnedClock
from fakes.house import AGENT, Build, House, RawClient, ScriptedUpstream, get
from fakes.websocket import frame

from gateway.model import Revocation

EVENTS = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n5\r\ndata:\r\n"
HALF = b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf"
ASKING = (
    "Connection: Upgrade",
    "Upgrade: websocket",
    "Sec-WebSocket-Version: 13",
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
)
SWITCHED = (
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"
)


async def begin(answer: bytes, upstream: ScriptedUpstream, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer as told and go on for ever; ends when the gateway lets go."""
    upstream.seen.append(await reader.readuntil(b"\r\n\r\n"))
    writer.write(answer)
    while await reader.read(65536):
        pass


events = partial(begin, EVENTS)
silence = partial(begin, b"")


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.01)


async def open_stream(door: House, token: str, path: str = "/api/items") -> RawClient:
    client = await door.connect()
    await client.send(get(path, token))
    await asyncio.wait_for(client.reader.readuntil(b"data:\r\n"), 10)
    return client


async def rest(client: RawClient) -> bytes:
    """Everything up to the end of the connection."""
    return await asyncio.wait_for(client.reader.read(), 10)


async def released(door: House) -> None:
    """The upstream has been let go of, and nothing is kept for reuse."""
    await until(lambda: door.upstream.open == 0)
    assert door.doorward.pool.size == 0


async def the_response(door: House) -> dict:
    await door.stop()
    _, (response,) = door.exchanges()
    return response


def principal_of(door: House) -> dict[str, str]:
    (connection,) = [each for each in door.doorward.listener.connections if each.bearer is not None]
    bearer = connection.bearer
    assert bearer is not None
    (key,) = door.doorward.standing.signing_keys
    return {"token": bearer.token, "task": bearer.task, "agent": bearer.agent, "tenant": bearer.tenant, "key": key}


@pytest.mark.parametrize("kind", ["token", "task", "agent", "tenant", "key"])
async def test_each_rung_of_the_ladder_cuts_what_is_open(house: Build, kind: str) -> None:
    """A stream of events breaks off without its last chunk, its upstream is released, and the record says why."""
    door = await house(events)
    client = await open_stream(door, await door.token())
    standing = door.doorward.standing
    named = principal_of(door)
    standing.revoked(Revocation(99, 0.0, kind, named[kind], "operator", door.clock.now() + 300, named["tenant"]))
    assert await rest(client) == b""
    await released(door)
    response = await the_response(door)
    assert (response["status"], response["ending"], response["code"]) == (200, "cut", "token_revoked")
    assert response["sent"] == 5


async def test_the_end_of_a_task_cuts_its_exchanges_and_no_others(house: Build) -> None:
    """By the authority's own way, through store and feed; the stream of another task and an idle connection go on."""
    door = await house(events)
    first, second = await door.issue("items.read"), await door.issue("items.read")
    doomed, spared = await open_stream(door, first["access_token"]), await open_stream(door, second["access_token"])
    idle = await door.connect()
    await idle.send(get("/api/items", first["access_token"], "items.write"))
    assert (await idle.answer()).problem["code"] == "intent_not_granted"
    assert await door.tell(f"/tasks/{first['task']}/complete") == 200
    assert await rest(doomed) == b""
    await until(lambda: door.upstream.open == 1)
    await idle.send(get("/api/items", first["access_token"]))
    assert (await idle.answer()).problem["code"] == "token_revoked"
    assert not spared.reader.at_eof()


async def test_what_is_open_has_ended_when_the_end_is_acknowledged(house: Build) -> None:
    """Whoever ended the task and then looks at the connection of its stream finds it closed; not some time later."""
    door = await house(events)
    issued = await door.issue("items.read")
    with socket.socket() as stream:
        stream.setblocking(False)
        host, _, port = door.doorward.addresses[0].rpartition(":")
        loop = asyncio.get_running_loop()
        await loop.sock_connect(stream, (host, int(port)))
        await loop.sock_sendall(stream, get("/api/items", issued["access_token"]))
        seen = b""
        while not seen.endswith(b"data:\r\n"):
            seen += await asyncio.wait_for(loop.sock_recv(stream, 65536), 10)
        with pytest.raises(BlockingIOError):
            stream.recv(1)
        await door.doorward.authority.endings.end(issued["task"], "failed", "failed", by="user:alice")
        assert stream.recv(1) == b""


async def test_a_transfer_that_was_announced_falls_short(house: Build) -> None:
    """A download of known length ends before it is whole."""
    door = await house(partial(begin, HALF))
    issued = await door.issue("items.read")
    client = await door.connect()
    await client.send(get("/api/items", issued["access_token"]))
    await asyncio.wait_for(client.reader.readuntil(b"half"), 10)
    assert await door.tell(f"/tasks/{issued['task']}/fail") == 200
    assert await rest(client) == b""
    await released(door)


async def test_an_upload_is_answered_with_the_problem(house: Build) -> None:
    """While the body still comes there is no answer yet, so the caller gets one, and the upstream no more of the body."""
    door = await house(silence)
    issued = await door.issue("items.write")
    client = await door.connect()
    head = get("/api/items", issued["access_token"], "items.write", "Content-Length: 1000000", method="POST")
    await client.send(head + b"x" * 1000)
    await until(lambda: bool(door.upstream.seen))
    assert await door.tell(f"/tasks/{issued['task']}/complete") == 200
    answer = await client.answer()
    assert (answer.status, answer.problem["code"], answer.fields["connection"]) == (401, "token_revoked", "close")
    assert 'error_description="token_revoked"' in answer.values("www-authenticate")[0]
    await released(door)
    response = await the_response(door)
    assert (response["status"], response["ending"], response["code"]) == (401, "refused", "token_revoked")


async def test_who_waits_for_a_head_is_answered_and_may_go_on(house: Build) -> None:
    """The request was whole, so the connection can be kept for another task."""
    door = await house(silence)
    issued = await door.issue("items.read")
    client = await door.connect()
    await client.send(get("/api/items", issued["access_token"]))
    await until(lambda: bool(door.upstream.seen))
    assert await door.tell(f"/tasks/{issued['task']}/complete") == 200
    assert (await client.answer()).problem["code"] == "token_revoked"
    await released(door)
    await client.send(get("/api/items", await door.token()))
    await until(lambda: len(door.upstream.seen) == 2)


async def test_who_waits_for_a_connection_is_answered_and_it_is_given_up(house: Build) -> None:
    """An upstream that accepts and never shakes hands: the attempt ends with the access that it was for."""
    silent = ScriptedUpstream(silence)
    door = await house(url=f"https://127.0.0.1:{await silent.start()}")
    issued = await door.issue("items.read")
    client = await door.connect()
    await client.send(get("/api/items", issued["access_token"]))
    await until(lambda: silent.open == 1)
    assert await door.tell(f"/tasks/{issued['task']}/complete") == 200
    assert (await client.answer()).problem["code"] == "token_revoked"
    await until(lambda: silent.open == 0)
    assert not any(name.startswith("dial") for name in door.clock.running)
    await silent.stop()


@pytest.mark.parametrize("declare", ["required", "required\n    limits: {bytes: 64MiB}"], ids=["unmetered", "metered"])
@pytest.mark.parametrize(("scrub", "told"), [("full", b"\x88\x0f\x03\xf0token_revoked"), ("none", b"")])
async def test_a_websocket_is_told_why_where_a_frame_may_stand(house: Build, scrub: str, told: bytes, declare: str) -> None:
    """Where frames are read anyway, a Close frame with 1008 follows the last whole one; elsewhere it just ends."""
    hello = frame(b"hello")
    door = await house(partial(begin, SWITCHED + hello), upstream=f"scrub: {scrub}", declare=declare)
    issued = await door.issue("items.watch")
    client = await door.connect()
    await client.send(get("/api/items/7/events", issued["access_token"], "items.watch", *ASKING))
    await asyncio.wait_for(client.reader.readuntil(hello), 10)
    assert await door.tell(f"/tasks/{issued['task']}/complete") == 200
    assert await rest(client) == told
    await released(door)
    response = await the_response(door)
    assert (response["status"], response["ending"], response["code"]) == (101, "cut", "token_revoked")


async def test_no_frame_is_put_into_another(house: Build) -> None:
    """Within a frame that has not come whole nothing may stand, so the WebSocket just ends."""
    door = await house(partial(begin, SWITCHED + frame(b"x" * 100)[:50]))
    issued = await door.issue("items.watch")
    client = await door.connect()
    await client.send(get("/api/items/7/events", issued["access_token"], "items.watch", *ASKING))
    await asyncio.wait_for(client.reader.readuntil(b"x" * 8), 10)
    assert await door.tell(f"/tasks/{issued['task']}/complete") == 200
    assert set(await rest(client)) <= set(b"x")


async def test_an_http_1_0_client_is_reset(house: Build) -> None:
    """To it, any other end would be the end of the answer."""
    door = await house(events)
    issued = await door.issue("items.read")
    client = await door.connect()
    await client.send(get("/api/items", issued["access_token"]).replace(b"HTTP/1.1", b"HTTP/1.0"))
    await asyncio.wait_for(client.reader.readuntil(b"data:"), 10)
    assert await door.tell(f"/tasks/{issued['task']}/complete") == 200
    with pytest.raises(ConnectionResetError):
        await rest(client)


async def test_who_reads_slowly_gets_no_more_of_it(house: Build) -> None:
    """What waits in the gateway for a client that does not read is dropped with the access to it."""

    async def pour(upstream: ScriptedUpstream, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        upstream.seen.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100000000\r\n\r\n")
        while True:
            writer.write(b"x" * 65536)
            await writer.drain()

    door = await house(pour)
    issued = await door.issue("items.read")
    client = await door.connect()
    client.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client.writer.transport.pause_reading()
    await client.send(get("/api/items", issued["access_token"]))
    await until(lambda: any(each.full for each in door.doorward.listener.connections))
    assert await door.tell(f"/tasks/{issued['task']}/complete") == 200
    await until(lambda: not door.doorward.listener.connections)
    await released(door)


async def test_a_gateway_that_hears_nothing_cuts(house: Build) -> None:
    """Without heartbeats it cannot tell what was revoked, so nothing stays open."""
    clock = TurnedClock()
    door = await house(events, clock=clock)
    client = await open_stream(door, await door.token())
    waiting = await door.connect()
    door.doorward.authority.feed.unsubscribe(door.doorward.standing)
    await asyncio.sleep(0.6)
    assert not client.reader.at_eof()
    clock.ahead = 11
    assert await rest(client) == b""
    await waiting.send(get("/api/items", await door.token()))
    assert (await waiting.answer()).problem["code"] == "revocations_stale"
    await door.stop()
    _, responses = door.exchanges()
    assert [record["code"] for record in responses] == ["revocations_stale", "revocations_stale"]


async def test_a_new_epoch_cuts_what_was_opened_in_the_old_one(house: Build) -> None:
    """The authority has lost its records, and with them perhaps a revocation."""
    door = await house(events)
    client = await open_stream(door, await door.token())
    door.doorward.standing.beat("another epoch", 0, horizon=0.0)
    assert await rest(client) == b""
    response = await the_response(door)
    assert (response["ending"], response["code"]) == ("cut", "token_invalid")


async def test_a_vanished_key_cuts_what_it_has_signed(house: Build) -> None:
    """The same keys once more change nothing."""
    door = await house(events)
    client = await open_stream(door, await door.token())
    standing, key = door.doorward.standing, door.doorward.authority.keys.current
    standing.keys(standing.issuer, key.jwks())
    await asyncio.sleep(0.05)
    assert not client.reader.at_eof()
    standing.keys(standing.issuer, {"keys": []})
    assert await rest(client) == b""
    response = await the_response(door)
    assert (response["ending"], response["code"]) == ("cut", "token_invalid")


async def test_an_exchange_ends_with_its_token(house: Build) -> None:
    """Nobody has renewed the task, so nothing outlives the token."""
    clock = SetClock()
    door = await house(events, clock=clock)
    client = await open_stream(door, await door.token())
    clock.ahead = 301
    assert await rest(client) == b""
    response = await the_response(door)
    assert (response["ending"], response["code"]) == ("cut", "token_expired")


async def test_a_renewal_keeps_open_what_the_task_has_opened(house: Build) -> None:
    """For as long as the newest token is good, and not longer."""
    clock = SetClock()
    door = await house(events, clock=clock)
    issued = await door.issue("items.read", "items.write")
    client = await open_stream(door, issued["access_token"])
    clock.ahead = 200
    await door.issue(task=issued["task"])
    clock.ahead = 400
    await asyncio.sleep(0.6)
    assert not client.reader.at_eof()
    clock.ahead = 501
    assert await rest(client) == b""


async def test_a_narrower_renewal_keeps_nothing_open(house: Build) -> None:
    """What is open could rest on an intent that the newer token lacks."""
    clock = SetClock()
    door = await house(events, clock=clock)
    issued = await door.issue("items.read", "items.write")
    client = await open_stream(door, issued["access_token"])
    clock.ahead = 200
    await door.issue("items.write", task=issued["task"])
    clock.ahead = 301
    assert await rest(client) == b""


async def test_a_renewal_that_is_given_back_keeps_nothing_open(house: Build) -> None:
    """The newer token is revoked by itself; the older one that opened the exchange has expired."""
    clock = SetClock()
    door = await house(events, clock=clock)
    issued = await door.issue("items.read")
    client = await open_stream(door, issued["access_token"])
    clock.ahead = 200
    renewed = await door.issue(task=issued["task"])
    clock.ahead = 301
    await asyncio.sleep(0.6)
    assert not client.reader.at_eof()
    authority = door.doorward.authority
    await authority.tasks.revoke_token(renewed["access_token"], AGENT)
    assert await rest(client) == b""


async def test_the_body_of_a_problem_says_what_to_do(house: Build) -> None:
    """An agent that waited reads the same problem that its next request would get."""
    door = await house(silence)
    issued = await door.issue("items.read")
    client = await door.connect()
    await client.send(get("/api/items", issued["access_token"]))
    await until(lambda: bool(door.upstream.seen))
    assert await door.tell(f"/tasks/{issued['task']}/complete") == 200
    waited = await client.answer()
    await client.send(get("/api/items", issued["access_token"]))
    asked = await client.answer()
    ids = [json.loads(answer.body).pop("request_id") for answer in (waited, asked)]
    assert len(set(ids)) == 2
    assert waited.problem["remedy"] == asked.problem["remedy"]
